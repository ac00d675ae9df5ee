#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include "span/cache.hpp"

namespace kvspan {

std::vector<LaneNeed> SpanCache::needs(std::uint32_t slot, std::uint32_t tokens, Pages othersGap,
                                       bool tight) const {
  std::vector<LaneNeed> lanes;
  lanes.reserve(table_[slot].lanes.size());
  for (const LaneSpan& lane : table_[slot].lanes) {
    lanes.push_back(shape_.need(lane.bytes(), tokens));
    lanes.back().othersGap = othersGap;
    lanes.back().tight = tight;
  }
  return lanes;
}

bool SpanCache::grow(std::uint32_t slot, std::uint32_t tokens, Pages othersGap, Reclaim reclaim) {
  unstick(slot);
  std::vector<std::vector<Extent>> taken;
  for (;;) {
    const Pages missing =
        core_->store().takeFor(needs(slot, tokens, othersGap, core_->tight()), taken, takerOf(slot));
    if (missing == 0) break;
    if (reclaim == Reclaim::No) return false;
    std::vector<Extent> freed;
    const Pages got = core_->trimIdle(missing, freed);
    core_->store().put(freed);
    if (got == 0) return false;
  }
  mapAll(slot, taken);
  return true;
}

// All lanes or none. If the driver fails half-way, what was mapped for this growth is unmapped
// again rather than kept: the extents go back to the magazine, where another slot can use them,
// and lanes stay of one length. Only what the driver will not unmap either stays, as mapping
// beyond what is published: it is harmless, counted, and used by the next growth.
void SpanCache::mapAll(std::uint32_t slot, std::vector<std::vector<Extent>>& taken) {
  Slot& cold = table_[slot];
  std::vector<std::size_t> before;
  for (std::size_t lane = 0; lane < cold.lanes.size(); ++lane) {
    before.push_back(cold.lanes[lane].extents().size());
    cold.lanes[lane].expect(taken[lane].size());
  }
  std::size_t lane = 0;
  std::size_t done = 0;
  try {
    for (; lane < taken.size(); ++lane) {
      for (done = 0; done < taken[lane].size(); ++done) {
        mapOne(slot, static_cast<std::uint32_t>(lane), taken[lane][done]);
      }
    }
  } catch (...) {
    // mapOne has disposed of the extent that failed; those after it were never mapped.
    for (++done; lane < taken.size(); ++lane, done = 0) {
      for (; done < taken[lane].size(); ++done) core_->store().put(taken[lane][done]);
    }
    unmapBack(slot, before);
    table_.publish(slot, table_.state(slot));
    throw;
  }
  table_.publish(slot, table_.state(slot));
}

void SpanCache::mapOne(std::uint32_t slot, std::uint32_t lane, const Extent& extent) {
  LaneSpan& span = table_[slot].lanes[lane];
  const Address at = shape_.laneAddress(base_, lane, slot) + span.bytes();
  Device& device = core_->device();
  try {
    device.map(at, extent.handle, extent.bytes);
  } catch (...) {
    core_->store().put(extent);
    throw;
  }
  try {
    device.access(at, extent.bytes, Access::ReadWrite);
  } catch (...) {
    try {
      device.unmap(at, extent.bytes);
      core_->store().put(extent);
    } catch (...) {
      span.stuck = extent;
    }
    throw;
  }
  span.push(extent);
}

// Unmaps what a failed growth has added to each lane, as far as the driver will.
void SpanCache::unmapBack(std::uint32_t slot, const std::vector<std::size_t>& keep) {
  Slot& cold = table_[slot];
  for (std::uint32_t lane = 0; lane < cold.lanes.size(); ++lane) {
    if (cold.lanes[lane].stuck) continue;
    try {
      while (cold.lanes[lane].extents().size() > keep[lane]) {
        core_->store().put(unmapTail(slot, lane));
      }
    } catch (...) {
      core_->noteDriverFailure();
    }
  }
}

Extent SpanCache::unmapTail(std::uint32_t slot, std::uint32_t lane) {
  LaneSpan& span = table_[slot].lanes[lane];
  const Address at = shape_.laneAddress(base_, lane, slot) + span.tailOffset();
  core_->device().unmap(at, span.tail().bytes);
  return span.pop();
}

// Clears what an earlier double failure has left at the ends of lanes. Throws if it fails again.
void SpanCache::unstick(std::uint32_t slot) {
  Slot& cold = table_[slot];
  for (std::uint32_t lane = 0; lane < cold.lanes.size(); ++lane) {
    LaneSpan& span = cold.lanes[lane];
    if (!span.stuck) continue;
    const Address at = shape_.laneAddress(base_, lane, slot) + span.bytes();
    core_->device().unmap(at, span.stuck->bytes);
    core_->store().put(*span.stuck);
    span.stuck.reset();
  }
}

bool SpanCache::fencesReached(Slot& cold) const {
  try {
    return cold.fences.allReached();
  } catch (...) {
    core_->noteDriverFailure();
    return false;
  }
}

Pages SpanCache::trimIdle(std::uint32_t slot, Pages want, std::vector<Extent>& out) {
  Slot& cold = table_[slot];
  const std::unique_lock lock(cold.mutex, std::try_to_lock);
  if (!lock || closed() || table_.state(slot) != SlotState::Idle) return 0;
  Pages got = 0;
  if (fencesReached(cold)) {
    try {
      unstick(slot);
      while (got < want) {
        // The longest lane first: what a slot can use is what its shortest lane has.
        const auto longest = std::max_element(
            cold.lanes.begin(), cold.lanes.end(),
            [](const LaneSpan& a, const LaneSpan& b) { return a.bytes() < b.bytes(); });
        if (longest->empty()) break;
        out.push_back(unmapTail(slot, static_cast<std::uint32_t>(longest - cold.lanes.begin())));
        got += shape_.pages(out.back().bytes);
      }
    } catch (...) {
      core_->noteDriverFailure();
    }
  }
  table_.publish(slot, SlotState::Idle);
  return got;
}

Pages SpanCache::trimAhead(std::uint32_t slot, Pages want, std::vector<Extent>& out) {
  Slot& cold = table_[slot];
  const std::unique_lock lock(cold.mutex, std::try_to_lock);
  if (!lock || closed() || table_.state(slot) != SlotState::Live) return 0;
  // What it has was counted off the promise: given back it would have to be promised again.
  if (cold.promised) return 0;
  // Work of an earlier request may reach further than this one has ever been.
  if (!fencesReached(cold)) return 0;
  const std::uint64_t keep = shape_.neededBytes(table_.peak(slot));
  std::uint64_t left = cold.leastBytes();
  bool longer = false;
  for (const LaneSpan& lane : cold.lanes) {
    left = std::min(left, lane.bytesTrimmedTo(keep));
    longer |= lane.bytesTrimmedTo(keep) < lane.bytes();
  }
  if (!longer) return 0;
  // Publish first, then look again: a step that took the old word for it has told its length.
  table_.publishAs(slot, SlotState::Live, left);
  table_.meetStep();
  Pages got = 0;
  if (shape_.neededBytes(table_.peak(slot)) <= std::max(left, keep)) {
    try {
      for (std::uint32_t lane = 0; lane < cold.lanes.size(); ++lane) {
        LaneSpan& span = cold.lanes[lane];
        while (got < want && !span.stuck && !span.empty() && span.tailOffset() >= keep) {
          out.push_back(unmapTail(slot, lane));
          got += shape_.pages(out.back().bytes);
        }
      }
    } catch (...) {
      core_->noteDriverFailure();
    }
  }
  table_.publish(slot, SlotState::Live);
  return got;
}

AheadOutcome SpanCache::mapAhead() {
  AheadOutcome outcome;
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    if (!table_.flagged(slot)) continue;
    // Flags of a slot go down, or up again for want of memory, under its mutex: none outlives its
    // request.
    const std::lock_guard lock(table_[slot].mutex);
    // Down before the length is read: a longer one flags it again.
    table_.unflag(slot);
    try {
      if (mapAheadOf(slot)) continue;
      outcome.starved = true;
    } catch (...) {
      core_->noteDriverFailure();
      outcome.failed = true;
    }
    table_.flag(slot);
  }
  return outcome;
}

bool SpanCache::mapAheadOf(std::uint32_t slot) {
  if (closed() || table_.state(slot) != SlotState::Live) return true;
  const std::uint32_t most = shape_.plan().maxTokens;
  const std::uint32_t length = table_.length(slot);
  const std::uint32_t ahead = std::min(most - length, shape_.options().lookaheadTokens);
  if (table_.usable(slot) >= length + ahead) return true;
  const std::uint32_t before = table_.extents(slot);
  if (!grow(slot, length + ahead, 0, Reclaim::No)) return false;
  core_->noteMapped(table_.extents(slot) - before);
  return true;
}

void SpanCache::starvedLanes(std::vector<LaneNeed>& lanes) const {
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    if (!table_.flagged(slot)) continue;
    const std::lock_guard lock(table_[slot].mutex);
    if (table_.state(slot) != SlotState::Live) continue;
    const std::uint32_t length = table_.length(slot);
    const std::uint32_t ahead =
        std::min(shape_.plan().maxTokens - length, shape_.options().lookaheadTokens);
    const auto more = needs(slot, length + ahead, 0, true);
    lanes.insert(lanes.end(), more.begin(), more.end());
  }
}

void SpanCache::nextGrowths(OrderCounts& counts) const {
  const std::uint32_t lanes = shape_.plan().laneCount;
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    if (table_.state(slot) != SlotState::Live) continue;
    LaneNeed lane = shape_.need(table_.bytes(slot) / lanes, 1);
    if (lane.mapped >= lane.capacity) continue;
    counts[wantedOrder(lane, kExtentPagesMax)] += lanes;
  }
}

// Waits for the work under way, then unmaps all of it into the magazine.
void SpanCache::unmapSlot(std::uint32_t slot) {
  Slot& cold = table_[slot];
  std::unique_lock lock(cold.mutex);
  for (;;) {
    try {
      if (cold.fences.allReached()) break;
    } catch (...) {
      // A device that cannot say runs nothing any more; unmapping tells the rest.
      core_->noteDriverFailure();
      cold.fences.forget();
      break;
    }
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::microseconds(kDestroyPollUs));
    lock.lock();
  }
  table_.publishAs(slot, SlotState::Never, 0);
  try {
    unstick(slot);
    for (std::uint32_t lane = 0; lane < cold.lanes.size(); ++lane) {
      while (!cold.lanes[lane].empty()) core_->store().put(unmapTail(slot, lane));
    }
  } catch (...) {
    table_.publish(slot, SlotState::Never);
    throw;
  }
  table_.publish(slot, SlotState::Never);
}

}  // namespace kvspan
