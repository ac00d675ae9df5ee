// The books of a session's extents: which it holds, which of those are in the magazine, and the
// one way out (release). Each extent is added once and released once; in between it is in the
// magazine or in the hands of whoever took it. Every call may be made from any thread; no driver
// call is made and no callback runs with the lock held.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "device/device.hpp"
#include "span/growth.hpp"
#include "span/magazine.hpp"
#include "span/session.hpp"

namespace kvspan {

// Of so many released extents the ids are remembered, to tell "returned already" from "unknown".
inline constexpr std::size_t kReturnedIdsMax = 65536;

enum class Releases { UnlessPaused, Always };

// For whom memory of the magazine is taken: a slot that memory is promised to, or any other.
enum class Taker { Any, Promised };

class ExtentStore {
 public:
  using Returned = std::function<void(const std::vector<std::uint64_t>& ids)>;

  ExtentStore(std::shared_ptr<Device> device, Returned returned);

  // Blocks until extents have been added since `seen` was read from addedCount, the store is closed,
  // somebody interrupts (since `interrupts` was read), or the time is up. False: the last three, and
  // waiting again is of no use.
  bool awaitAdded(std::uint64_t seen, std::uint64_t interrupts,
                  std::chrono::steady_clock::time_point until);
  // Ends every awaitAdded under way.
  void interrupt();
  std::uint64_t interrupts() const;

  // Into the magazine; false: the store is closed, and the extents were released instead.
  bool add(const std::vector<Extent>& extents);

  // The extents for all lanes, in address order, or none: then the pages still missing.
  // The lanes' `othersGap` need not count each other. What is kept is for `Taker::Promised` alone, who
  // uses it up.
  Pages takeFor(std::vector<LaneNeed> lanes, std::vector<std::vector<Extent>>& taken, Taker taker);
  void put(const Extent& extent);
  void put(const std::vector<Extent>& extents);
  std::vector<Extent> takeBytes(std::uint64_t bytes);
  // Of what is not kept.
  std::vector<Extent> takeSpare(std::uint64_t bytes);
  std::vector<Extent> takeAbove(std::uint64_t high, std::uint64_t low);
  // These extents from the magazine, or none of them. Throws ExtentReturned, ExtentUnknown, or
  // ExtentMapped: the last through `whereMapped`, which knows the cache and the slot.
  std::vector<Extent> takeIds(const std::vector<std::uint64_t>& ids,
                              const std::function<std::string(std::uint64_t)>& whereMapped);

  // So much more of the magazine, what is on its way included, is for slots that memory is promised
  // to; or less, which is never below nothing.
  void keep(std::uint64_t bytes);
  void unkeep(std::uint64_t bytes);

  // Gives the handles up and reports them. What the driver would not release goes back to the
  // magazine, and its error is thrown after the rest was reported. Returns the bytes released:
  // none while paused (all goes back to the magazine), unless `Always`.
  std::uint64_t release(const std::vector<Extent>& extents, Releases when);

  // Pausing waits until every release under way has been reported.
  void pause();
  void resume();
  bool paused() const;
  // No more extents: later ones are released as they come.
  void close();

  std::vector<Extent> held() const;
  OrderCounts magazine() const;
  // What of it such a taker may have.
  OrderCounts magazineFor(Taker taker) const;
  std::uint64_t magazineBytes() const;
  // Extents ever added.
  std::uint64_t addedCount() const;
  void fill(SessionStats& stats) const;
  std::uint64_t pageBytes() const { return pageBytes_; }

 private:
  void checkNew(const std::vector<Extent>& extents) const;
  void remember(std::uint64_t id);

  const std::shared_ptr<Device> device_;
  const Returned returned_;
  const std::uint64_t pageBytes_;

  mutable std::mutex mutex_;
  std::condition_variable idle_;     // releasing_ has become 0
  std::condition_variable arrived_;  // added_, interrupts_ or closed_ has changed
  Magazine magazine_;
  std::unordered_map<std::uint64_t, Extent> held_;
  std::uint64_t heldBytes_ = 0;
  std::uint64_t kept_ = 0;  // bytes; may be more than there is: the rest is on its way
  std::uint64_t added_ = 0;
  std::uint64_t interrupts_ = 0;
  std::unordered_set<std::uint64_t> returnedIds_;
  std::deque<std::uint64_t> returnedOrder_;
  std::uint32_t releasing_ = 0;
  bool paused_ = false;
  bool closed_ = false;
};

}  // namespace kvspan
