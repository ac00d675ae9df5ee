#include "open.hpp"

#include <chrono>
#include <utility>

#include "base/error.hpp"
#include "channel/batch.hpp"

namespace kvspan::capi {
namespace {

Events sessionEvents(const std::shared_ptr<EventQueue>& queue) {
  Events events;
  events.need = [queue](const OrderCounts& counts) { queue->need(counts); };
  events.returned = [queue](const std::vector<std::uint64_t>& ids) { queue->returned(ids); };
  return events;
}

// Extents that the session refuses (a daemon's mistake) are still imports of this process.
void takeExtents(Session& session, const std::shared_ptr<Device>& device,
                 std::vector<Extent> extents) {
  OwnedHandles refused(device);
  refused.reserve(extents.size());
  const std::vector<Extent> given = extents;
  try {
    session.addExtents(std::move(extents));
  } catch (const Error& error) {
    // Any other failure comes of extents that the session has taken.
    if (error.code() == Code::InvalidArgument) {
      for (const Extent& extent : given) refused.add(extent.handle);
    }
    throw;
  }
}

}  // namespace

OpenSession::OpenSession(const DeviceOptions& deviceOptions, const SessionOptions& options)
    : device(openDevice(deviceOptions)),
      session(Session::create(device, options, sessionEvents(queue))) {}

ClientEvents OpenSession::events(const std::shared_ptr<std::atomic<bool>>& gone) const {
  // None of these owns this: the channel is a part of it.
  ClientEvents events;
  events.extents = [session = session, device = device](std::vector<Extent> extents) {
    takeExtents(*session, device, std::move(extents));
  };
  events.granted = [queue = queue](std::uint64_t grantId, std::uint32_t importedCount,
                                   const std::string& failure) {
    queue->granted(grantId, importedCount, failure);
  };
  events.closed = [queue = queue, gone](const std::string& reason) {
    gone->store(true);
    queue->channelClosed(reason);
  };
  return events;
}

ClientWelcome OpenSession::connect(const std::string& path, const std::string& name,
                                   std::uint32_t timeoutMs) {
  const std::lock_guard lock(linkMutex_);
  if (channel_ && !gone_->load()) {
    throw Error(Code::InvalidArgument, "the session is connected already; disconnect it first");
  }
  if (const auto former = std::exchange(channel_, nullptr)) former->close();
  gone_ = std::make_shared<std::atomic<bool>>(false);
  channel_ = ChannelClient::connect(device, path, name, timeoutMs, events(gone_));
  return channel_->welcome();
}

void OpenSession::disconnect() {
  const std::lock_guard lock(linkMutex_);
  if (const auto channel = std::exchange(channel_, nullptr)) channel->close();
}

void OpenSession::close() {
  queue->close();
  session->close();
  disconnect();
}

OpenCache::OpenCache(std::shared_ptr<OpenSession> owner, std::shared_ptr<Cache> made)
    : session(std::move(owner)),
      cache(std::move(made)),
      lengths(cache->plan().slotCount),
      wanted(cache->plan().slotCount) {}

AllocateReport OpenCache::allocateWarm(std::uint32_t tokens) {
  const std::lock_guard lock(engine);
  const AllocateReport report = cache->allocateWarm(tokens);
  if (report.slot >= 0) lengths[report.slot] = static_cast<std::int32_t>(tokens);
  return report;
}

// The waiting is beside the engine, the slot's birth in turn with its other calls.
AllocateReport OpenCache::allocate(std::uint32_t tokens, std::uint32_t patienceMs, bool promised) {
  const AllocateReport report = cache->allocateAwaiting(
      tokens, std::chrono::milliseconds(patienceMs), cache->hurries(), promised);
  if (report.slot < 0) return report;
  const std::lock_guard lock(engine);
  cache->announce(static_cast<std::uint32_t>(report.slot));
  lengths[report.slot] = static_cast<std::int32_t>(tokens);
  return report;
}

void OpenCache::free(std::uint32_t slot, bool hasStream, Stream stream) {
  const std::lock_guard lock(engine);
  cache->free(slot, hasStream, stream);
  lengths[slot] = 0;
}

}  // namespace kvspan::capi
