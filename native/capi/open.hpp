// What the handles stand for.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "channel/client.hpp"
#include "device/device.hpp"
#include "event_queue.hpp"
#include "span/session.hpp"

namespace kvspan::capi {

// A session, its channel to the daemon, and what both tell.
struct OpenSession {
  OpenSession(const DeviceOptions& device, const SessionOptions& options);

  ClientWelcome connect(const std::string& path, const std::string& name, std::uint32_t timeoutMs);
  void disconnect();
  void close();

  const std::shared_ptr<Device> device;
  const std::shared_ptr<EventQueue> queue = std::make_shared<EventQueue>();
  const std::shared_ptr<Session> session;

 private:
  ClientEvents events(const std::shared_ptr<std::atomic<bool>>& gone) const;

  std::mutex linkMutex_;
  std::unique_ptr<ChannelClient> channel_;
  std::shared_ptr<std::atomic<bool>> gone_;
};

// A cache, and the lengths of its slots as the engine's calls have left them.
struct OpenCache {
  OpenCache(std::shared_ptr<OpenSession> session, std::shared_ptr<Cache> cache);

  AllocateReport allocateWarm(std::uint32_t tokens);
  AllocateReport allocate(std::uint32_t tokens, std::uint32_t patienceMs, bool promised);
  void free(std::uint32_t slot, bool hasStream, Stream stream);

  const std::shared_ptr<OpenSession> session;
  const std::shared_ptr<Cache> cache;

  // The core leaves it to its caller that one thread at a time is the engine's; callers of this ABI
  // that get it wrong wait for each other instead.
  std::mutex engine;
  // Under `engine`: 0 where not live.
  std::vector<std::int32_t> lengths;
  std::vector<std::int32_t> wanted;
};

}  // namespace kvspan::capi
