// The server, in four files: server.cpp (life and loop), server_connections.cpp (from accept to
// exit), server_grants.cpp (extents), server_calls.cpp (what the daemon asks).
//
// Threads. The loop watches every socket, pidfd and the timer, and alone ends connections: others
// shut a socket down and leave the rest to it. The worker makes large grants. The daemon's own
// threads send small ones. `mutex_` guards all that they share; no callback and no driver call
// happens under it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "channel/connection.hpp"
#include "channel/credit.hpp"
#include "channel/listener.hpp"
#include "channel/server.hpp"
#include "channel/socket.hpp"
#include "channel/worker.hpp"

namespace kvspan {

// Grants of up to so many extents are made on the caller's thread. Two thread hops cost up to 100
// us, an extent 30 to 60: beyond this the hops are a small part, and the caller is held up instead.
inline constexpr std::uint32_t kInlineExtents = 16;

class Server final : public ChannelServer {
 public:
  Server(std::shared_ptr<Device> device, ListenOptions options, ServerEvents events);
  ~Server() override { close(); }

  void welcome(ConnectionId connection, std::uint64_t sessionId, const std::uint8_t (&token)[32],
               const std::string& servicePath) override;
  void refuse(ConnectionId connection, const std::string& code, const std::string& text) override;
  void grant(ConnectionId connection, std::uint64_t grantId, std::vector<GrantItem> items,
             std::uint32_t ackTimeoutMs, std::function<void(GrantOutcome)> done) override;
  void disconnect(ConnectionId connection) override;
  void kill(ConnectionId connection) override;
  void forget(ConnectionId connection) override;
  void close() override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  enum class Where { Caller, Loop, Worker };

  // server.cpp
  void run();
  void dispatch(std::uint64_t tag);
  void onTimer();
  void closeAll();
  void watch(int fd, std::uint64_t tag) const;
  void unwatch(int fd) const noexcept;
  void armTimer(ChannelClock::time_point deadline);  // under the mutex
  ConnectionPtr find(ConnectionId id) const;         // under the mutex
  void shutDown(Connection& connection, const std::string& reason);  // under the mutex

  // server_connections.cpp
  void acceptOne();
  void admit(UniqueFd socket);
  void onReadable(const ConnectionPtr& connection);
  bool readMessage(const ConnectionPtr& connection);
  std::string onMessage(const ConnectionPtr& connection, const void* data, std::size_t bytes);
  std::string onHello(const ConnectionPtr& connection, const void* data, std::size_t bytes);
  void onProcessExit(const ConnectionPtr& connection);
  void endConnection(const ConnectionPtr& connection, const std::string& reason);
  void retire(const ConnectionPtr& connection);

  // server_grants.cpp
  std::string onAck(const ConnectionPtr& connection, const void* data, std::size_t bytes);
  void serve(const ConnectionPtr& connection, Where where);
  void serveOnWorker(const ConnectionPtr& connection);
  bool mustMove(const Connection& connection, Where where) const;
  void settle(const ConnectionPtr& connection, Lock& lock);
  void finishGrant(const ConnectionPtr& connection, Lock& lock);
  bool makeAndSend(const ConnectionPtr& connection, Where where, Lock& lock);
  void transmit(const ConnectionPtr& connection, Where where, const wire::Extents& header,
                Batch batch, std::uint64_t serial, std::uint32_t ackTimeoutMs);
  void takeBack(const ConnectionPtr& connection, std::uint64_t serial);
  void abandon(const ConnectionPtr& connection, Where where, Lock& lock);
  CreditLine& creditLineFor(std::uint32_t count);
  void giveCredit(const ConnectionPtr& connection, std::uint32_t kept);

  const std::shared_ptr<Device> device_;
  const ListenOptions options_;
  const ServerEvents events_;
  Listener listener_;
  UniqueFd epoll_;
  UniqueFd timer_;
  UniqueFd wake_;
  UniqueFd spare_;  // given up for a moment to take in, and drop, what no descriptor is left for

  mutable std::mutex mutex_;
  std::condition_variable callersLeft_;
  std::uint32_t callers_ = 0;  // of the daemon's threads, how many are inside `grant`
  bool stopping_ = false;
  std::atomic<bool> hurry_{false};  // stopping, for who waits outside of the mutex
  std::map<ConnectionId, ConnectionPtr> connections_;
  ConnectionId lastId_ = 0;
  std::uint64_t lastSerial_ = 0;
  std::optional<ChannelClock::time_point> armed_;
  CreditLine credit_;
  // Of small messages: clients that are slow to answer large ones hold up nobody's next page.
  CreditLine smallCredit_;

  Worker worker_;
  std::mutex closing_;
  std::thread loop_;
};

}  // namespace kvspan
