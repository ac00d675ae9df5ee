// A session as the addon holds it: the native session, its channel to the daemon, and the threads
// that their blocking calls run on. Caches share it, so it lives as long as any of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "channel/client.hpp"
#include "device/device.hpp"
#include "dispatcher.hpp"
#include "span/session.hpp"
#include "strand.hpp"

namespace kvspan::node {

struct CacheCore;

class SessionCore {
 public:
  SessionCore(std::shared_ptr<Device> device, SessionOptions options,
              std::shared_ptr<Dispatcher> dispatcher);
  // Dropped unclosed: closed on a thread of its own.
  ~SessionCore();

  // Blocking; on the `link` strand only.
  ClientWelcome connect(const std::string& path, const std::string& name, std::uint32_t timeoutMs);
  void disconnect();
  // Blocking; on the `work` strand only. Waits for the caches' calls in flight, then closes.
  void close(const std::vector<std::shared_ptr<CacheCore>>& caches);

  const std::shared_ptr<Device> device;
  const std::shared_ptr<Dispatcher> dispatcher;
  const std::shared_ptr<Session> session;
  Strand work;  // giveBack and close
  Strand link;  // connect and disconnect: a daemon that does not answer delays nothing else

  // JavaScript thread only.
  std::vector<std::weak_ptr<CacheCore>> caches;
  bool closing = false;
  bool closed = false;  // its `close` has been reported: the dispatcher delivers no more

 private:
  ClientEvents events(const std::shared_ptr<std::atomic<bool>>& gone);

  // `link` strand only.
  std::shared_ptr<ChannelClient> channel_;
  std::shared_ptr<std::atomic<bool>> gone_;
  bool ended_ = false;  // `work` strand only
};

}  // namespace kvspan::node
