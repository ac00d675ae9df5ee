#include "span/mapper.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "span/cache.hpp"
#include "span/core.hpp"

namespace kvspan {

Mapper::Mapper(SessionCore& core, SessionOptions options, Need need)
    : core_(core), options_(options), need_(std::move(need)) {}

void Mapper::start() { thread_ = std::thread([this] { run(); }); }

void Mapper::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  const std::lock_guard lock(threadMutex_);
  if (thread_.joinable()) thread_.join();
}

void Mapper::wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_one();
}

void Mapper::extentsAdded() {
  const std::lock_guard lock(mutex_);
  broughtSome_ = true;
  refused_ = false;
  returnNotBefore_ = Clock::now() + kReturnDelay;
  woken_ = true;
  changed_.notify_one();
}

void Mapper::extentsTaken() {
  if (options_.lowWaterBytes == 0) return;
  if (core_.store().magazineBytes() < options_.lowWaterBytes) wake();
}

void Mapper::refillDone(std::uint32_t retryAfterMs) {
  const std::lock_guard lock(mutex_);
  if (wishOpen_ && !broughtSome_) refused_ = true;
  wishOpen_ = false;
  // The later of the two: what was given back while the wish was open is not asked for at once.
  wishNotBefore_ = std::max(wishNotBefore_, Clock::now() + std::chrono::milliseconds(retryAfterMs));
  woken_ = true;
  changed_.notify_one();
}

void Mapper::gaveBack() {
  const std::lock_guard lock(mutex_);
  wishNotBefore_ = std::max(wishNotBefore_, Clock::now() + kGiveBackPause);
}

void Mapper::run() {
  std::unique_lock lock(mutex_);
  std::optional<Clock::time_point> again;
  while (!stopping_) {
    const auto due = [this] { return woken_ || stopping_; };
    if (again) {
      changed_.wait_until(lock, *again, due);
    } else {
      changed_.wait(lock, due);
    }
    if (stopping_) return;
    // Cleared before the work is looked at: what comes meanwhile wakes again.
    woken_ = false;
    lock.unlock();
    again = pass().again;
    lock.lock();
  }
}

Mapper::Pass Mapper::pass() {
  Pass pass;
  try {
    bool starved = false;
    bool failed = false;
    for (const auto& cache : core_.caches()) {
      const AheadOutcome outcome = cache->mapAhead();
      starved |= outcome.starved;
      failed |= outcome.failed;
    }
    if (failed) pass.by(Clock::now() + kFailurePause);
    refill(starved, pass);
    returnSurplus(pass);
  } catch (...) {
    // The driver's or a callback's failure is not the end of the thread: everything it owns is
    // where it was, and it tries again.
    core_.noteDriverFailure();
    pass.by(Clock::now() + kFailurePause);
  }
  return pass;
}

void Mapper::refill(bool starved, Pass& pass) {
  const bool low = core_.store().magazineBytes() < options_.lowWaterBytes;
  memoryWanted_ = low || starved;
  if (!low && !starved) return;
  if (options_.lowWaterBytes > 0) wish(starved, pass);
  // Idle spans serve only when the daemon does not; without a low-water mark it is never asked.
  if (options_.lowWaterBytes == 0 || refused()) trimForRefill(starved, pass);
}

void Mapper::wish(bool starved, Pass& pass) {
  {
    const std::lock_guard lock(mutex_);
    if (wishOpen_) return;
    if (Clock::now() < wishNotBefore_) return pass.by(wishNotBefore_);
    wishOpen_ = true;
    broughtSome_ = false;
  }
  const auto notOpen = [this] {
    const std::lock_guard lock(mutex_);
    wishOpen_ = false;
  };
  try {
    const OrderCounts counts = wishCounts(starved);
    if (countOf(counts) > 0 && need_) return need_(counts);
  } catch (...) {
    // Nobody has heard of it, so nobody would ever answer.
    notOpen();
    throw;
  }
  notOpen();
}

void Mapper::trimForRefill(bool starved, Pass& pass) {
  ExtentStore& store = core_.store();
  const std::uint64_t have = store.magazineBytes();
  const std::uint64_t low = options_.lowWaterBytes;
  Pages want = have < low ? pagesFor(low - have, store.pageBytes()) : 0;
  if (starved) {
    std::vector<LaneNeed> lanes;
    for (const auto& cache : core_.caches()) cache->starvedLanes(lanes);
    want = std::max(want, pagesOf(missingFor(lanes, store.magazine())));
  }
  if (want == 0) return;
  // Looked at first: a fence that is reached behind the trimming's back must bring it here again.
  const bool fenced = core_.fencedIdleBytes() > 0;
  std::vector<Extent> freed;
  const Pages got = core_.trimIdle(want, freed);
  store.put(freed);
  if (got > 0 && starved) wake();
  if (got < want && fenced) pass.by(Clock::now() + kFencePoll);
}

void Mapper::returnSurplus(Pass& pass) {
  if (options_.highWaterBytes == 0 || core_.store().paused()) return;
  if (core_.store().magazineBytes() <= options_.highWaterBytes) return;
  {
    const std::lock_guard lock(mutex_);
    if (Clock::now() < returnNotBefore_) return pass.by(returnNotBefore_);
  }
  const auto surplus = core_.store().takeAbove(options_.highWaterBytes, options_.lowWaterBytes);
  core_.store().release(surplus, Releases::UnlessPaused);
}

OrderCounts Mapper::wishCounts(bool starved) const {
  ExtentStore& store = core_.store();
  const OrderCounts stock = store.magazine();
  std::vector<LaneNeed> lanes;
  OrderCounts next{};
  Pages capacityMost = 0;
  for (const auto& cache : core_.caches()) {
    if (starved) cache->starvedLanes(lanes);
    cache->nextGrowths(next);
    capacityMost = std::max(capacityMost, cache->capacityPages());
  }
  // First what is missing already.
  OrderCounts counts = missingFor(lanes, stock);

  const std::uint64_t low = options_.lowWaterBytes;
  const std::uint64_t level =
      options_.highWaterBytes > low ? low + (options_.highWaterBytes - low) / 2 : 2 * low;
  const Pages have = pagesOf(stock);
  const Pages wanted = pagesFor(level, store.pageBytes());
  Pages budget = wanted > have ? wanted - have : 0;
  // Then the sizes that live slots will ask for next, small ones first: they serve most slots.
  for (int order = 0; order <= kOrderMax; ++order) {
    const std::uint32_t lacking = next[order] - std::min(next[order], stock[order]);
    const auto affordable =
        static_cast<std::uint32_t>(std::min<Pages>(lacking, budget / pagesOfOrder(order)));
    counts[order] += affordable;
    budget -= affordable * pagesOfOrder(order);
  }
  // Then something for everyone.
  const int orderMost = capacityMost > 0 ? orderNotAbove(capacityMost) : kOrderMax;
  const OrderCounts mix = geometricMix(budget, orderMost);
  for (int order = 0; order <= kOrderMax; ++order) counts[order] += mix[order];
  return counts;
}

}  // namespace kvspan
