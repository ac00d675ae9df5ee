// What the span tests share: a session over a device (the host's, if nothing else is said), with
// every extent, mapping and event written down, and faults to order.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "device/faulty_device.hpp"
#include "device/forwarding_device.hpp"
#include "device/host_stream.hpp"
#include "harness.hpp"
#include "span/session.hpp"

namespace kvspan::test {

inline constexpr std::uint64_t kPage = 2u << 20;

// Knows which handles live and where they are mapped; throws if one is ever mapped twice, or
// released while it is mapped: neither is wrong for a driver, both are for a session.
class AuditDevice : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  Handle create(std::uint64_t bytes) override;
  void release(Handle handle) override;
  Handle importHandle(int fd, std::uint64_t bytes) override;
  void map(Address at, Handle handle, std::uint64_t bytes) override;
  void access(Address at, std::uint64_t bytes, Access access) override;
  void unmap(Address at, std::uint64_t bytes) override;
  Address reserve(std::uint64_t bytes, Address wanted) override;
  void unreserve(Address base, std::uint64_t bytes) override;

  std::size_t handles() const;
  std::size_t mappings() const;
  std::uint64_t mappedBytes() const;
  std::size_t reservations() const;
  // Mappings stay inaccessible, and so cost no memory: for tests of many that touch none.
  void keepHollow() { hollow_ = true; }

 private:
  std::atomic<bool> hollow_{false};
  mutable std::mutex mutex_;
  std::set<Handle> handles_;
  std::map<Address, std::pair<Handle, std::uint64_t>> mappings_;
  std::set<Handle> mapped_;
  std::set<Address> reservations_;
};

struct RigOptions {
  std::uint64_t lowWaterPages = 0;
  std::uint64_t highWaterPages = 0;
  // Called on the mapper's thread for each wish.
  std::function<void(const OrderCounts&)> onNeed = {};
  DeviceOptions device = {"host", 0, ""};
  // Puts a test's own device in front.
  std::function<std::shared_ptr<Device>(std::shared_ptr<Device>)> wrap = {};
};

class Rig {
 public:
  explicit Rig(RigOptions options = {});
  // Closes the session and checks that nothing is left.
  ~Rig() noexcept(false);

  // Fresh extents of so many pages each, into the magazine. `Imported`: as a client has them, whose
  // owner has exported them and let go.
  enum class From { Created, Imported };
  std::vector<std::uint64_t> add(const std::vector<std::uint64_t>& pages,
                                 From from = From::Created);
  // Throws unless held + returned = added, and the magazine and the caches have all that is held.
  void checkBooks();
  void close();

  std::vector<std::uint64_t> returned() const;
  std::vector<OrderCounts> needs() const;
  std::uint64_t magazinePages() const { return session->stats().magazineBytes / kPage; }

  std::shared_ptr<AuditDevice> audit;
  std::shared_ptr<FaultPlan> faults = std::make_shared<FaultPlan>();
  std::shared_ptr<Device> device;  // with faults
  std::shared_ptr<Session> session;
  std::vector<std::shared_ptr<Cache>> caches;

  std::shared_ptr<Cache> cache(const CachePlan& plan, const CacheOptions& options = {});

 private:
  Handle fresh(std::uint64_t bytes, From from);

  mutable std::mutex mutex_;
  std::uint64_t nextId_ = 1;
  std::set<std::uint64_t> added_;
  std::set<std::uint64_t> returnedSet_;
  std::vector<std::uint64_t> returned_;
  std::vector<OrderCounts> needs_;
  bool twice_ = false;
  bool closed_ = false;
};

// One lane of `tokens` rows that fill `pages` pages a slot.
CachePlan planOf(std::uint32_t slots, std::uint64_t pages, std::uint32_t tokensPerPage,
                 std::uint32_t lanes = 1);

// The lengths of a cache, as an engine keeps them.
struct Engine {
  explicit Engine(std::shared_ptr<Cache> of)
      : cache(std::move(of)), lengths(cache->plan().slotCount) {}
  std::int32_t allocate(std::uint32_t tokens) {
    const AllocateReport report = cache->allocate(tokens);
    if (report.slot >= 0) lengths[report.slot] = static_cast<std::int32_t>(tokens);
    return report.slot;
  }
  const StepReport& step() { return cache->step(lengths.data(), lengths.size()); }
  void free(std::uint32_t slot) {
    cache->free(slot, false, 0);
    lengths[slot] = 0;
  }
  std::shared_ptr<Cache> cache;
  std::vector<std::int32_t> lengths;
};

// A piece of work on a host stream, over at the latest when the test leaves: a failed check must not
// end in a session that waits for it for ever.
class PendingWork {
 public:
  explicit PendingWork(Stream stream) : stream_(stream) { hostStreamSubmit(stream_); }
  ~PendingWork() { finish(); }
  PendingWork(const PendingWork&) = delete;
  PendingWork& operator=(const PendingWork&) = delete;
  void finish() {
    if (!std::exchange(done_, true)) hostStreamComplete(stream_);
  }

 private:
  Stream stream_;
  bool done_ = false;
};

// So many extents of one page each.
inline std::vector<std::uint64_t> single(std::size_t count) {
  return std::vector<std::uint64_t>(count, 1);
}

// The sentence of the Error that it throws; empty if it throws none.
inline std::string messageOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Waits up to two seconds for the mapper to get there.
bool eventually(const std::function<bool()>& condition);

inline constexpr CacheOptions kNoLookahead{Growth::Geometric, 0, 0};

}  // namespace kvspan::test
