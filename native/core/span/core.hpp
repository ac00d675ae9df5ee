// What the caches of a session share: the device, the extents, the mapper, and one another's idle
// memory. Locks, in the order in which they may be held: the session's that closes, a cache's that
// destroys, one slot's mutex, then the store's or the mapper's or the cache list's; a second slot's
// mutex only by trying. No driver call is made with the store's, the mapper's or the list's held.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "span/extent_store.hpp"
#include "span/mapper.hpp"
#include "span/session.hpp"

namespace kvspan {

class SpanCache;

class SessionCore {
 public:
  SessionCore(std::shared_ptr<Device> device, SessionOptions options, Events events);

  Device& device() { return *device_; }
  ExtentStore& store() { return store_; }
  Mapper& mapper() { return mapper_; }

  void addCache(std::shared_ptr<SpanCache> cache);
  void removeCache(const SpanCache* cache);
  std::vector<std::shared_ptr<SpanCache>> caches() const;
  std::uint32_t nextCacheNumber() { return cacheNumber_.fetch_add(1); }

  // Unmaps at least `want` pages of idle spans into `out`, if there are as many whose fences are
  // reached: those freed longest ago first. The caller owns what is in `out`. Never throws for the
  // driver: a span that cannot be unmapped is passed by.
  Pages trimIdle(Pages want, std::vector<Extent>& out);
  // As trimIdle, of what is mapped past the lengths of live slots.
  Pages trimAhead(Pages want, std::vector<Extent>& out);
  // What is mapped and of no live request.
  std::uint64_t idleBytes() const;
  // Idle memory that only waits for its fences.
  std::uint64_t fencedIdleBytes() const;

  // Memory is short: the daemon refused the last refill, or the magazine is empty.
  bool tight() const { return mapper_.refused() || store_.magazineBytes() == 0; }
  // Slots are reclaimed in the order in which they were freed.
  std::uint64_t nextFreeing() { return freeing_.fetch_add(1) + 1; }

  void noteDriverFailure() { driverFailures_.fetch_add(1); }
  std::uint64_t driverFailures() const { return driverFailures_.load(); }
  void noteMapped(std::uint64_t extents) { mapperMaps_.fetch_add(extents); }
  std::uint64_t mapperMaps() const { return mapperMaps_.load(); }

  // "cache 2 (at 0x...), slot 7" for an extent in use.
  std::string whereMapped(std::uint64_t extentId) const;

 private:
  const std::shared_ptr<Device> device_;
  ExtentStore store_;
  mutable std::mutex cachesMutex_;
  std::vector<std::shared_ptr<SpanCache>> caches_;
  std::atomic<std::uint32_t> cacheNumber_{0};
  std::atomic<std::uint64_t> freeing_{0};
  std::atomic<std::uint64_t> driverFailures_{0};
  std::atomic<std::uint64_t> mapperMaps_{0};
  Mapper mapper_;  // last: its thread uses all of the above
};

}  // namespace kvspan
