#include "span/cache.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/error.hpp"

namespace kvspan {

SpanCache::SpanCache(std::shared_ptr<SessionCore> core, const CachePlan& plan,
                     const CacheOptions& options)
    : core_(std::move(core)),
      number_(core_->nextCacheNumber()),
      shape_(plan, options, core_->store().pageBytes()),
      table_(shape_) {
  growing_.reserve(plan.slotCount);
  report_.shortSlots.reserve(plan.slotCount);
  base_ = core_->device().reserve(plan.totalBytes, plan.wantedBase);
}

SpanCache::~SpanCache() {
  try {
    destroy();
  } catch (...) {
    core_->noteDriverFailure();
  }
}

void SpanCache::checkOpen() const {
  if (closed()) throw Error(Code::Closed, name() + " was destroyed");
}

void SpanCache::checkTokens(std::uint32_t tokens) const {
  if (tokens >= 1 && tokens <= shape_.plan().maxTokens) return;
  throw Error::badField("tokens", std::to_string(tokens),
                        "1.." + std::to_string(shape_.plan().maxTokens));
}

std::string SpanCache::name() const {
  char text[64];
  std::snprintf(text, sizeof text, "cache %u at 0x%llx", number_,
                static_cast<unsigned long long>(base_));
  return text;
}

std::uint32_t SpanCache::length(std::uint32_t slot) const {
  checkOpen();
  table_.checkIndex(slot);
  if (table_.state(slot) != SlotState::Live) {
    table_.throwNotLive(slot, "length of slot " + std::to_string(slot));
  }
  return table_.length(slot);
}

std::uint32_t SpanCache::mappedTokens(std::uint32_t slot) const {
  checkOpen();
  table_.checkIndex(slot);
  const std::lock_guard lock(table_[slot].mutex);
  const std::uint64_t rows = table_[slot].leastBytes() / shape_.plan().rowBytes;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(rows, shape_.plan().maxTokens));
}

struct SpanCache::Rows {
  std::uint32_t slot, lane, firstToken, tokens;
  std::uint64_t offset, width;
  const void* data;
};

// Under the slot's mutex: the address of the first row's bytes, once all of it is checked.
Address SpanCache::locate(const Rows& rows) const {
  const auto bad = [](const char* field, std::uint64_t value, std::uint64_t low,
                      std::uint64_t high) {
    if (value >= low && value <= high) return;
    throw Error::badField(field, std::to_string(value),
                          std::to_string(low) + ".." + std::to_string(high));
  };
  checkOpen();
  if (table_.state(rows.slot) != SlotState::Live) {
    table_.throwNotLive(rows.slot, "rows of slot " + std::to_string(rows.slot));
  }
  const CachePlan& plan = shape_.plan();
  const std::uint32_t length = table_.length(rows.slot);
  bad("lane", rows.lane, 0, plan.laneCount - 1);
  bad("firstToken", rows.firstToken, 0, length - 1);
  bad("tokens", rows.tokens, 1, length - rows.firstToken);
  bad("offset", rows.offset, 0, plan.rowBytes - 1);
  bad("width", rows.width, 1, plan.rowBytes - rows.offset);
  if (rows.data == nullptr) throw Error::badField("data", "null", "tokens x width bytes");
  return shape_.laneAddress(base_, rows.lane, rows.slot) + rows.firstToken * plan.rowBytes +
         rows.offset;
}

void SpanCache::write(std::uint32_t slot, std::uint32_t lane, std::uint32_t firstToken,
                      std::uint32_t tokens, std::uint64_t offset, std::uint64_t width,
                      const void* data) {
  checkOpen();
  table_.checkIndex(slot);
  const std::lock_guard lock(table_[slot].mutex);
  const Address at = locate({slot, lane, firstToken, tokens, offset, width, data});
  core_->device().copyIn(at, shape_.plan().rowBytes, data, width, width, tokens);
}

void SpanCache::read(std::uint32_t slot, std::uint32_t lane, std::uint32_t firstToken,
                     std::uint32_t tokens, std::uint64_t offset, std::uint64_t width, void* data) {
  checkOpen();
  table_.checkIndex(slot);
  const std::lock_guard lock(table_[slot].mutex);
  const Address at = locate({slot, lane, firstToken, tokens, offset, width, data});
  core_->device().copyOut(data, width, at, shape_.plan().rowBytes, width, tokens);
}

namespace {

StepCount summary(const Histogram& histogram) {
  return {histogram.count(), histogram.quantile(0.5), histogram.quantile(0.99),
          histogram.quantile(0.999), histogram.max()};
}

}  // namespace

CacheStats SpanCache::stats() const {
  CacheStats stats;
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    const SlotState state = table_.state(slot);
    const std::uint64_t bytes = table_.bytes(slot);
    stats.mappedBytes += bytes;
    stats.mappedExtents += table_.extents(slot);
    if (state == SlotState::Live) {
      ++stats.liveSlots;
      stats.liveBytes += std::uint64_t{table_.length(slot)} * shape_.plan().rowBytes *
                         shape_.plan().laneCount;
    } else if (state == SlotState::Idle && bytes > 0) {
      ++stats.idleSlots;
      stats.idleBytes += bytes;
    }
  }
  Histogram all;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    stats.steps[i] = summary(steps_[i]);
    all.merge(steps_[i]);
  }
  stats.allSteps = summary(all);
  stats.stepsWithDriverCall = stepsWithDriverCall_.load(std::memory_order_relaxed);
  return stats;
}

std::uint64_t SpanCache::idleBytes() const {
  std::uint64_t bytes = 0;
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    if (table_.state(slot) == SlotState::Idle) bytes += table_.bytes(slot);
  }
  return bytes;
}

std::uint64_t SpanCache::fencedIdleBytes() const {
  std::uint64_t bytes = 0;
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    if (table_.state(slot) != SlotState::Idle || !table_.fenced(slot)) continue;
    Slot& cold = table_[slot];
    const std::unique_lock lock(cold.mutex, std::try_to_lock);
    if (lock && table_.state(slot) == SlotState::Idle && fencesReached(cold)) {
      table_.publish(slot, SlotState::Idle);
    } else {
      bytes += table_.bytes(slot);
    }
  }
  return bytes;
}

std::string SpanCache::whereMapped(std::uint64_t extentId) const {
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    const std::lock_guard lock(table_[slot].mutex);
    for (const LaneSpan& lane : table_[slot].lanes) {
      const bool here = std::any_of(lane.extents().begin(), lane.extents().end(),
                                    [&](const Extent& one) { return one.id == extentId; });
      if (here || (lane.stuck && lane.stuck->id == extentId)) {
        return name() + ", slot " + std::to_string(slot) + " maps it";
      }
    }
  }
  return {};
}

void SpanCache::destroy() {
  const std::lock_guard lock(destroyMutex_);
  // First of all: whoever takes a slot's mutex after we had it sees this.
  closed_.store(true, std::memory_order_release);
  if (gone_) return;
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) unmapSlot(slot);
  core_->device().unreserve(base_, shape_.plan().totalBytes);
  gone_ = true;
  core_->removeCache(this);
  core_->mapper().wake();
}

}  // namespace kvspan
