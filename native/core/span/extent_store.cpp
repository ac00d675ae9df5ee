#include "span/extent_store.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "base/error.hpp"

namespace kvspan {
namespace {

std::string named(std::size_t index, const char* member) {
  return "extents[" + std::to_string(index) + "]" + member;
}

// Without the smallest extents that make up `pages`, or a little more.
OrderCounts without(OrderCounts counts, Pages pages) {
  for (int order = 0; order <= kOrderMax && pages > 0; ++order) {
    const Pages each = pagesOfOrder(order);
    const auto most = static_cast<std::uint32_t>(std::min<Pages>((pages + each - 1) / each, counts[order]));
    counts[order] -= most;
    pages -= std::min(pages, most * each);
  }
  return counts;
}

}  // namespace

ExtentStore::ExtentStore(std::shared_ptr<Device> device, Returned returned)
    : device_(std::move(device)),
      returned_(std::move(returned)),
      pageBytes_(device_->granularity()),
      magazine_(pageBytes_) {}

void ExtentStore::checkNew(const std::vector<Extent>& extents) const {
  std::unordered_set<std::uint64_t> ids;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    if (magazine_.orderOf(extents[i].bytes) < 0) {
      throw Error::badField(named(i, ".bytes"), std::to_string(extents[i].bytes),
                            std::to_string(pageBytes_) + " x 2^k, k = 0.." +
                                std::to_string(kOrderMax));
    }
    if (held_.contains(extents[i].id) || !ids.insert(extents[i].id).second) {
      throw Error::badField(named(i, ".id"), std::to_string(extents[i].id),
                            "an id that is not held yet");
    }
  }
}

bool ExtentStore::add(const std::vector<Extent>& extents) {
  {
    const std::lock_guard lock(mutex_);
    checkNew(extents);
    for (const Extent& extent : extents) {
      held_.emplace(extent.id, extent);
      heldBytes_ += extent.bytes;
      ++added_;
      if (!closed_) magazine_.put(extent);
    }
    arrived_.notify_all();
    if (!closed_) return true;
  }
  release(extents, Releases::Always);
  return false;
}

bool ExtentStore::awaitAdded(std::uint64_t seen, std::uint64_t interrupts,
                             std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  const auto over = [&] { return closed_ || interrupts_ != interrupts; };
  arrived_.wait_until(lock, until, [&] { return over() || added_ != seen; });
  return !over() && std::chrono::steady_clock::now() < until;
}

void ExtentStore::interrupt() {
  const std::lock_guard lock(mutex_);
  ++interrupts_;
  arrived_.notify_all();
}

std::uint64_t ExtentStore::interrupts() const {
  const std::lock_guard lock(mutex_);
  return interrupts_;
}

void ExtentStore::keep(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  kept_ = std::min(kWaterBytesMax, kept_ + std::min(kWaterBytesMax, bytes));
}

void ExtentStore::unkeep(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  kept_ -= std::min(kept_, bytes);
}

Pages ExtentStore::takeFor(std::vector<LaneNeed> lanes, std::vector<std::vector<Extent>>& taken,
                           Taker taker) {
  Pages gap = 0;
  for (const LaneNeed& lane : lanes) gap += lane.gap();
  std::vector<std::vector<std::uint8_t>> orders(lanes.size());
  taken.resize(lanes.size());

  const std::lock_guard lock(mutex_);
  OrderCounts stock = magazine_.counts();
  const Pages before = pagesOf(stock);
  const Pages kept = taker == Taker::Any ? kept_ / pageBytes_ : 0;
  Pages missing = 0;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    gap -= lanes[i].gap();
    lanes[i].othersGap += gap + kept;
    missing += fillLane(lanes[i], stock, orders[i]);
  }
  if (missing > 0) return missing;
  const Pages after = pagesOf(stock);
  if (after < kept && after < before) return std::min(kept - after, before - after);
  if (taker == Taker::Promised) kept_ -= std::min(kept_, (before - after) * pageBytes_);
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    taken[i].clear();
    taken[i].reserve(orders[i].size());
    for (const int order : orders[i]) taken[i].push_back(magazine_.take(order));
  }
  return 0;
}

void ExtentStore::put(const Extent& extent) {
  const std::lock_guard lock(mutex_);
  magazine_.put(extent);
}

void ExtentStore::put(const std::vector<Extent>& extents) {
  const std::lock_guard lock(mutex_);
  for (const Extent& extent : extents) magazine_.put(extent);
}

std::vector<Extent> ExtentStore::takeBytes(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  return magazine_.takeBytes(bytes);
}

std::vector<Extent> ExtentStore::takeSpare(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  return magazine_.takeBytes(bytes, magazine_.bytes() - std::min(magazine_.bytes(), kept_));
}

std::vector<Extent> ExtentStore::takeAbove(std::uint64_t high, std::uint64_t low) {
  const std::lock_guard lock(mutex_);
  return magazine_.takeAbove(std::max(high, kept_), std::max(low, kept_));
}

std::vector<Extent> ExtentStore::takeIds(
    const std::vector<std::uint64_t>& ids,
    const std::function<std::string(std::uint64_t)>& whereMapped) {
  std::optional<std::uint64_t> inUse;
  {
    const std::lock_guard lock(mutex_);
    std::unordered_set<std::uint64_t> seen;
    for (const std::uint64_t id : ids) {
      const std::string name = "extent " + std::to_string(id);
      const bool held = held_.contains(id);
      if (!seen.insert(id).second || (!held && returnedIds_.contains(id))) {
        throw Error(Code::ExtentReturned, name + " was returned already");
      }
      if (!held) throw Error(Code::ExtentUnknown, name + " is not held by this session");
    }
    inUse = magazine_.firstAbsent(ids);
    if (!inUse && paused_) {
      throw Error(Code::DaemonUnavailable,
                  "nothing is returned while a new daemon takes the session's extents on");
    }
    if (!inUse) return magazine_.takeIds(ids);
  }
  // Spans are looked at without this lock: theirs come first.
  throw Error(Code::ExtentMapped,
              "extent " + std::to_string(*inUse) + " is in use: " + whereMapped(*inUse));
}

std::uint64_t ExtentStore::release(const std::vector<Extent>& extents, Releases when) {
  if (extents.empty()) return 0;
  {
    const std::lock_guard lock(mutex_);
    // Once closed nothing waits for a resume: the magazine is no place to put extents any more.
    if (paused_ && !closed_ && when == Releases::UnlessPaused) {
      for (const Extent& extent : extents) magazine_.put(extent);
      return 0;
    }
    ++releasing_;
  }
  std::uint64_t bytes = 0;
  std::exception_ptr failure;
  std::vector<std::uint64_t> ids;
  ids.reserve(extents.size());
  for (const Extent& extent : extents) {
    try {
      device_->release(extent.handle);
    } catch (...) {
      if (!failure) failure = std::current_exception();
      put(extent);
      continue;
    }
    bytes += extent.bytes;
    ids.push_back(extent.id);
  }
  {
    const std::lock_guard lock(mutex_);
    for (const std::uint64_t id : ids) {
      held_.erase(id);
      remember(id);
    }
    heldBytes_ -= bytes;
  }
  try {
    if (!ids.empty() && returned_) returned_(ids);
  } catch (...) {
    if (!failure) failure = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    --releasing_;
    idle_.notify_all();
  }
  if (failure) std::rethrow_exception(failure);
  return bytes;
}

void ExtentStore::remember(std::uint64_t id) {
  if (!returnedIds_.insert(id).second) return;
  returnedOrder_.push_back(id);
  if (returnedOrder_.size() <= kReturnedIdsMax) return;
  returnedIds_.erase(returnedOrder_.front());
  returnedOrder_.pop_front();
}

void ExtentStore::pause() {
  std::unique_lock lock(mutex_);
  paused_ = true;
  idle_.wait(lock, [this] { return releasing_ == 0; });
}

void ExtentStore::resume() {
  const std::lock_guard lock(mutex_);
  paused_ = false;
}

bool ExtentStore::paused() const {
  const std::lock_guard lock(mutex_);
  return paused_;
}

void ExtentStore::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  arrived_.notify_all();
}

std::vector<Extent> ExtentStore::held() const {
  const std::lock_guard lock(mutex_);
  std::vector<Extent> all;
  all.reserve(held_.size());
  for (const auto& [id, extent] : held_) all.push_back(extent);
  return all;
}

OrderCounts ExtentStore::magazineFor(Taker taker) const {
  const std::lock_guard lock(mutex_);
  if (taker == Taker::Promised) return magazine_.counts();
  return without(magazine_.counts(), kept_ / pageBytes_);
}

OrderCounts ExtentStore::magazine() const {
  const std::lock_guard lock(mutex_);
  return magazine_.counts();
}

std::uint64_t ExtentStore::magazineBytes() const {
  const std::lock_guard lock(mutex_);
  return magazine_.bytes();
}

std::uint64_t ExtentStore::addedCount() const {
  const std::lock_guard lock(mutex_);
  return added_;
}

void ExtentStore::fill(SessionStats& stats) const {
  const std::lock_guard lock(mutex_);
  stats.magazineBytes = magazine_.bytes();
  stats.magazineExtents = magazine_.extents();
  stats.heldBytes = heldBytes_;
  stats.heldExtents = held_.size();
}

}  // namespace kvspan
