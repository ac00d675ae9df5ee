#include "span_support.hpp"

#include <thread>

namespace kvspan::test {

Handle AuditDevice::create(std::uint64_t bytes) {
  const Handle handle = ForwardingDevice::create(bytes);
  const std::lock_guard lock(mutex_);
  handles_.insert(handle);
  return handle;
}

Handle AuditDevice::importHandle(int fd, std::uint64_t bytes) {
  const Handle handle = ForwardingDevice::importHandle(fd, bytes);
  const std::lock_guard lock(mutex_);
  handles_.insert(handle);
  return handle;
}

void AuditDevice::release(Handle handle) {
  {
    const std::lock_guard lock(mutex_);
    if (mapped_.contains(handle)) throw Failure("released a handle that is mapped");
    if (handles_.erase(handle) == 0) throw Failure("released a handle twice");
  }
  ForwardingDevice::release(handle);
}

void AuditDevice::map(Address at, Handle handle, std::uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (!mapped_.insert(handle).second) throw Failure("mapped a handle twice");
    mappings_[at] = {handle, bytes};
  }
  ForwardingDevice::map(at, handle, bytes);
}

void AuditDevice::access(Address at, std::uint64_t bytes, Access access) {
  if (!hollow_) ForwardingDevice::access(at, bytes, access);
}

void AuditDevice::unmap(Address at, std::uint64_t bytes) {
  ForwardingDevice::unmap(at, bytes);
  const std::lock_guard lock(mutex_);
  mapped_.erase(mappings_.at(at).first);
  mappings_.erase(at);
}

Address AuditDevice::reserve(std::uint64_t bytes, Address wanted) {
  const Address base = ForwardingDevice::reserve(bytes, wanted);
  const std::lock_guard lock(mutex_);
  reservations_.insert(base);
  return base;
}

void AuditDevice::unreserve(Address base, std::uint64_t bytes) {
  ForwardingDevice::unreserve(base, bytes);
  const std::lock_guard lock(mutex_);
  reservations_.erase(base);
}

std::size_t AuditDevice::handles() const {
  const std::lock_guard lock(mutex_);
  return handles_.size();
}

std::size_t AuditDevice::mappings() const {
  const std::lock_guard lock(mutex_);
  return mappings_.size();
}

std::uint64_t AuditDevice::mappedBytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& [at, mapping] : mappings_) bytes += mapping.second;
  return bytes;
}

std::size_t AuditDevice::reservations() const {
  const std::lock_guard lock(mutex_);
  return reservations_.size();
}

Rig::Rig(RigOptions options) {
  audit = std::make_shared<AuditDevice>(openDevice(options.device));
  device = injectFaults(audit, faults);
  if (options.wrap) device = options.wrap(device);
  Events events;
  events.need = [this, onNeed = options.onNeed](const OrderCounts& counts) {
    {
      const std::lock_guard lock(mutex_);
      needs_.push_back(counts);
    }
    if (onNeed) onNeed(counts);
  };
  events.returned = [this](const std::vector<std::uint64_t>& ids) {
    const std::lock_guard lock(mutex_);
    for (const auto id : ids) {
      twice_ |= !returnedSet_.insert(id).second;
      returned_.push_back(id);
    }
  };
  session = Session::create(
      device, {options.lowWaterPages * kPage, options.highWaterPages * kPage}, events);
}

Rig::~Rig() noexcept(false) {
  if (closed_ || std::uncaught_exceptions() > 0) return;
  close();
}

void Rig::close() {
  session->close();
  closed_ = true;
  const std::lock_guard lock(mutex_);
  KV_CHECK(!twice_);
  KV_CHECK(returnedSet_ == added_);
  KV_CHECK_EQ(session->stats().heldExtents, 0u);
  KV_CHECK_EQ(audit->handles(), 0u);
  KV_CHECK_EQ(audit->mappings(), 0u);
  KV_CHECK_EQ(audit->reservations(), 0u);
}

Handle Rig::fresh(std::uint64_t bytes, From from) {
  const Handle created = audit->create(bytes);
  if (from == From::Created) return created;
  const UniqueFd fd = audit->exportHandle(created);
  const Handle imported = audit->importHandle(fd.get(), bytes);
  audit->release(created);
  return imported;
}

std::vector<std::uint64_t> Rig::add(const std::vector<std::uint64_t>& pages, From from) {
  std::vector<Extent> extents;
  std::vector<std::uint64_t> ids;
  for (const auto count : pages) {
    Extent extent{0, fresh(count * kPage, from), count * kPage};
    const std::lock_guard lock(mutex_);
    extent.id = nextId_++;
    added_.insert(extent.id);
    ids.push_back(extent.id);
    extents.push_back(extent);
  }
  session->addExtents(extents);
  return ids;
}

void Rig::checkBooks() {
  std::set<std::uint64_t> all;
  std::uint64_t heldBytes = 0;
  for (const Extent& extent : session->held()) {
    KV_CHECK(all.insert(extent.id).second);
    heldBytes += extent.bytes;
  }
  const SessionStats stats = session->stats();
  std::uint64_t mappedBytes = 0;
  std::uint64_t mappedExtents = 0;
  for (const auto& cache : caches) {
    const CacheStats one = cache->stats();
    mappedBytes += one.mappedBytes;
    mappedExtents += one.mappedExtents;
  }
  KV_CHECK_EQ(stats.heldExtents, all.size());
  KV_CHECK_EQ(stats.heldBytes, heldBytes);
  KV_CHECK_EQ(stats.magazineBytes + mappedBytes, heldBytes);
  KV_CHECK_EQ(stats.magazineExtents + mappedExtents, all.size());
  KV_CHECK_EQ(audit->mappedBytes(), mappedBytes);
  KV_CHECK_EQ(audit->mappings(), mappedExtents);
  KV_CHECK_EQ(audit->handles(), all.size());
  const std::lock_guard lock(mutex_);
  KV_CHECK(!twice_);
  all.insert(returnedSet_.begin(), returnedSet_.end());
  KV_CHECK(all == added_);
}

std::vector<std::uint64_t> Rig::returned() const {
  const std::lock_guard lock(mutex_);
  return returned_;
}

std::vector<OrderCounts> Rig::needs() const {
  const std::lock_guard lock(mutex_);
  return needs_;
}

std::shared_ptr<Cache> Rig::cache(const CachePlan& plan, const CacheOptions& options) {
  caches.push_back(session->createCache(plan, options));
  return caches.back();
}

CachePlan planOf(std::uint32_t slots, std::uint64_t pages, std::uint32_t tokensPerPage,
                 std::uint32_t lanes) {
  CachePlan plan;
  plan.laneCount = lanes;
  plan.rowBytes = kPage / tokensPerPage;
  plan.slotStrideBytes = pages * kPage;
  plan.laneStrideBytes = slots * plan.slotStrideBytes;
  plan.slotCount = slots;
  plan.maxTokens = static_cast<std::uint32_t>(pages * tokensPerPage);
  plan.totalBytes = lanes * plan.laneStrideBytes;
  return plan;
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

}  // namespace kvspan::test
