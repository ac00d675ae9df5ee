#include <algorithm>
#include <chrono>
#include <exception>

#include "base/error.hpp"
#include "device/counting_device.hpp"
#include "span/cache.hpp"

namespace kvspan {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t nanosecondsSince(Clock::time_point start) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count());
}

}  // namespace

// The common case is three passes over dense arrays: are all lengths within what is mapped, take
// them on, is that still so. No lock, no allocation, no driver call.
const StepReport& SpanCache::step(const std::int32_t* lengths, std::size_t count) {
  const auto start = Clock::now();
  checkOpen();
  if (count != table_.size()) {
    throw Error::badField("lengths.length", std::to_string(count), std::to_string(table_.size()));
  }
  report_.outcome = StepOutcome::Nothing;
  report_.driverCalls = 0;
  report_.shortSlots.clear();
  report_.need = {};
  const bool quiet = table_.allQuiet(lengths);
  if (!quiet) {
    checkOpen();
    table_.validate(lengths);
  }
  table_.adopt(lengths);
  if (!quiet || !table_.allQuiet(lengths)) stepSlow(lengths);
  steps_[static_cast<std::size_t>(report_.outcome)].record(nanosecondsSince(start));
  return report_;
}

void SpanCache::stepSlow(const std::int32_t* lengths) {
  bool flagged = false;
  growing_.clear();
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    if (lengths[slot] == 0) continue;
    const auto length = static_cast<std::uint32_t>(lengths[slot]);
    if (length > table_.usable(slot)) {
      growing_.push_back(slot);
    } else {
      flagged |= flagAhead(slot, length);
    }
  }
  const std::uint64_t callsBefore = driverCallsOfThisThread();
  std::exception_ptr failure;
  if (!growing_.empty()) {
    try {
      growAll(lengths, flagged);
    } catch (...) {
      failure = std::current_exception();
    }
  }
  report_.driverCalls = static_cast<std::uint32_t>(driverCallsOfThisThread() - callsBefore);
  if (report_.driverCalls > 0) {
    stepsWithDriverCall_.store(stepsWithDriverCall_.load(std::memory_order_relaxed) + 1,
                               std::memory_order_relaxed);
  }
  if (!report_.shortSlots.empty()) {
    report_.outcome = StepOutcome::Short;
  } else if (report_.driverCalls > 0) {
    report_.outcome = StepOutcome::MappedNow;
  } else if (flagged) {
    report_.outcome = StepOutcome::Ahead;
  }
  // The mapper has slots to serve, or perhaps a magazine to fill again.
  if (flagged || failure || report_.outcome == StepOutcome::Short) {
    core_->mapper().wake();
  } else if (report_.driverCalls > 0) {
    core_->mapper().extentsTaken();
  }
  if (failure) std::rethrow_exception(failure);
}

// True if the mapper did not know yet.
bool SpanCache::flagAhead(std::uint32_t slot, std::uint32_t length) {
  if (length <= shape_.quietTokens(table_.usable(slot))) return false;
  return table_.flag(slot);
}

// Serves every slot that can be served, whatever happens to the others, and throws the first
// failure of the driver at the end.
void SpanCache::growAll(const std::int32_t* lengths, bool& flagged) {
  std::exception_ptr failure;
  Pages gap = 0;
  for (const std::uint32_t slot : growing_) {
    gap += gapOf(slot, static_cast<std::uint32_t>(lengths[slot]));
  }
  for (const std::uint32_t slot : growing_) {
    const auto length = static_cast<std::uint32_t>(lengths[slot]);
    gap -= std::min(gap, gapOf(slot, length));
    try {
      if (growOne(slot, length, gap)) {
        flagged |= flagAhead(slot, length);
        continue;
      }
      report_.shortSlots.push_back(slot);
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
    table_.revert(slot);
  }
  if (!report_.shortSlots.empty()) reportNeed(lengths);
  if (failure) std::rethrow_exception(failure);
}

bool SpanCache::growOne(std::uint32_t slot, std::uint32_t length, Pages othersGap) {
  // If the mapper is growing this very slot, this waits until it has.
  const std::lock_guard lock(table_[slot].mutex);
  checkOpen();
  if (length <= table_.usable(slot)) return true;
  return grow(slot, length, othersGap, Reclaim::Yes);
}

// What the slot's lanes lack, taken together; a guess that no lock guards, for dividing the stock.
Pages SpanCache::gapOf(std::uint32_t slot, std::uint32_t length) const {
  const std::uint32_t lanes = shape_.plan().laneCount;
  return shape_.need(table_.bytes(slot) / lanes, length).gap() * lanes;
}

void SpanCache::reportNeed(const std::int32_t* lengths) {
  std::vector<LaneNeed> lanes;
  Taker taker = Taker::Promised;
  for (const std::uint32_t slot : report_.shortSlots) {
    const std::lock_guard lock(table_[slot].mutex);
    if (takerOf(slot) == Taker::Any) taker = Taker::Any;
    const auto more = needs(slot, static_cast<std::uint32_t>(lengths[slot]), 0, true);
    lanes.insert(lanes.end(), more.begin(), more.end());
  }
  report_.need = missingFor(lanes, core_->store().magazineFor(taker));
}

}  // namespace kvspan
