#include <utility>

#include "base/error.hpp"
#include "span/cache.hpp"

namespace kvspan {

// The smallest idle span that holds the tokens, else the largest there is, else a bare slot.
std::int64_t SpanCache::pick(std::uint32_t tokens) const {
  std::int64_t fits = -1, largest = -1, bare = -1;
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    const SlotState state = table_.state(slot);
    if (state != SlotState::Idle && state != SlotState::Never) continue;
    const std::uint64_t bytes = table_.bytes(slot);
    if (bytes == 0) {
      if (bare < 0) bare = slot;
    } else if (table_.usable(slot) >= tokens) {
      if (fits < 0 || bytes < table_.bytes(static_cast<std::uint32_t>(fits))) fits = slot;
    } else if (largest < 0 || bytes > table_.bytes(static_cast<std::uint32_t>(largest))) {
      largest = slot;
    }
  }
  return fits >= 0 ? fits : largest >= 0 ? largest : bare;
}

std::int64_t SpanCache::pickWarm(std::uint32_t tokens) const {
  std::int64_t fits = -1;
  for (std::uint32_t slot = 0; slot < table_.size(); ++slot) {
    if (table_.state(slot) != SlotState::Idle || table_.usable(slot) < tokens) continue;
    if (fits < 0 || table_.bytes(slot) < table_.bytes(static_cast<std::uint32_t>(fits))) {
      fits = slot;
    }
  }
  return fits;
}

AllocateReport SpanCache::allocate(std::uint32_t tokens) {
  const AllocateReport report = allocateUnannounced(tokens);
  if (report.slot >= 0) announce(static_cast<std::uint32_t>(report.slot));
  return report;
}

AllocateReport SpanCache::allocateUnannounced(std::uint32_t tokens) {
  return allocateOnce(tokens, false);
}

AllocateReport SpanCache::allocateOnce(std::uint32_t tokens, bool promised) {
  checkOpen();
  checkTokens(tokens);
  for (;;) {
    const std::int64_t picked = pick(tokens);
    if (picked < 0) {
      throw Error(Code::SlotsExhausted,
                  "all " + std::to_string(table_.size()) + " slots are in use: free one first");
    }
    const auto slot = static_cast<std::uint32_t>(picked);
    const std::lock_guard lock(table_[slot].mutex);
    checkOpen();
    const SlotState now = table_.state(slot);
    // Another thread may have come first.
    if (now == SlotState::Idle || now == SlotState::Never) return allocateIn(slot, tokens, promised);
  }
}

AllocateReport SpanCache::allocateAwaiting(std::uint32_t tokens,
                                           std::chrono::milliseconds patience,
                                           std::uint64_t hurries, bool promised) {
  ExtentStore& store = core_->store();
  const auto until = std::chrono::steady_clock::now() + patience;
  for (bool last = patience.count() == 0;;) {
    // Read before the look: what arrives during it is seen by the next.
    const std::uint64_t seen = store.addedCount();
    const AllocateReport report = allocateOnce(tokens, promised);
    if (report.slot >= 0 || last) return report;
    last = !store.awaitAdded(seen, hurries, until);
  }
}

// Under the slot's mutex.
AllocateReport SpanCache::allocateIn(std::uint32_t slot, std::uint32_t tokens, bool promised) {
  const SlotState before = table_.state(slot);
  table_[slot].promised = promised;
  AllocateReport report;
  report.warm = table_.usable(slot) >= tokens;
  if (!report.warm) {
    table_.publish(slot, SlotState::Busy);
    bool grown = false;
    try {
      grown = grow(slot, tokens, 0, Reclaim::Yes);
    } catch (...) {
      table_[slot].promised = false;
      table_.publish(slot, before);
      core_->mapper().wake();
      throw;
    }
    core_->mapper().wake();
    if (!grown) {
      report.need = missingFor(needs(slot, tokens, 0, true),
                               core_->store().magazineFor(takerOf(slot)));
      table_[slot].promised = false;
      table_.publish(slot, before);
      return report;
    }
  }
  table_[slot].promptTokens = tokens;
  table_.publish(slot, SlotState::Ready);
  report.slot = static_cast<std::int32_t>(slot);
  report.mappedBytes = table_.bytes(slot);
  return report;
}

void SpanCache::announce(std::uint32_t slot) {
  checkOpen();
  table_.checkIndex(slot);
  const std::lock_guard lock(table_[slot].mutex);
  if (table_.state(slot) != SlotState::Ready) {
    throw Error(Code::SlotUnknown,
                "slot " + std::to_string(slot) + " is not one that waits to be announced");
  }
  begin(slot, table_[slot].promptTokens);
}

// Under the slot's mutex: the request is the engine's from here on.
void SpanCache::begin(std::uint32_t slot, std::uint32_t tokens) {
  table_.begin(slot, tokens);
  table_.publish(slot, SlotState::Live);
  if (flagAhead(slot, tokens)) core_->mapper().wake();
}

AllocateReport SpanCache::allocateWarm(std::uint32_t tokens) {
  checkOpen();
  checkTokens(tokens);
  AllocateReport report;
  const std::int64_t picked = pickWarm(tokens);
  if (picked < 0) {
    report.need = surelyMissing(tokens);
    return report;
  }
  const auto slot = static_cast<std::uint32_t>(picked);
  // A slot that is being unmapped is not waited for.
  const std::unique_lock lock(table_[slot].mutex, std::try_to_lock);
  if (!lock || closed()) return report;
  if (table_.state(slot) != SlotState::Idle || table_.usable(slot) < tokens) return report;
  begin(slot, tokens);
  report.slot = static_cast<std::int32_t>(slot);
  report.mappedBytes = table_.bytes(slot);
  report.warm = true;
  return report;
}

// What an allocation would find missing, if that can be said without a driver call: only while no
// idle span could serve instead. Asking the daemon at once then saves a thread's hop.
OrderCounts SpanCache::surelyMissing(std::uint32_t tokens) {
  const std::int64_t picked = pick(tokens);
  if (picked < 0 || core_->idleBytes() > 0) return {};
  const auto slot = static_cast<std::uint32_t>(picked);
  const std::unique_lock lock(table_[slot].mutex, std::try_to_lock);
  if (!lock || closed()) return {};
  return missingFor(needs(slot, tokens, 0, true), core_->store().magazineFor(Taker::Any));
}

void SpanCache::promise(std::uint32_t slot, bool promised) {
  checkOpen();
  table_.checkIndex(slot);
  const std::lock_guard lock(table_[slot].mutex);
  if (table_.state(slot) != SlotState::Live) {
    table_.throwNotLive(slot, "promise of slot " + std::to_string(slot));
  }
  table_[slot].promised = promised;
}

void SpanCache::free(std::uint32_t slot, bool hasStream, Stream stream) {
  checkOpen();
  table_.checkIndex(slot);
  const auto inUse = [&] {
    const SlotState state = table_.state(slot);
    return state == SlotState::Live || state == SlotState::Ready;
  };
  const std::string what = "free of slot " + std::to_string(slot);
  if (!inUse()) table_.throwNotLive(slot, what);
  // Before anything has changed: if the driver fails here, the slot stays live.
  std::unique_ptr<Fence> fence = hasStream ? core_->device().fence(stream) : nullptr;
  {
    Slot& cold = table_[slot];
    const std::lock_guard lock(cold.mutex);
    checkOpen();
    if (!inUse()) table_.throwNotLive(slot, what);
    if (fence) cold.fences.add(std::move(fence));
    cold.promised = false;
    table_.end(slot);
    table_.setFreedAt(slot, core_->nextFreeing());
    table_.publish(slot, SlotState::Idle);
    table_.unflag(slot);
  }
  core_->mapper().memoryFreed();
}

}  // namespace kvspan
