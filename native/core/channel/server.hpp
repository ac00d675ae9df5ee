// The daemon's end of the extent channel: accepts, learns who the peer is, hands out sessions,
// sends extents, and says when a peer's process has exited. One thread of its own watches every
// socket and pidfd; driver calls of large grants run on a second one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/device.hpp"

namespace kvspan {

struct PeerIdentity {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
};

using ConnectionId = std::uint32_t;

struct GrantItem {
  std::uint64_t id = 0;
  std::uint64_t bytes = 0;
};

struct GrantOutcome {
  // Of the grant's extents, from the first: those that the client has acknowledged. If the
  // connection ended in the middle, also those that were sent and not answered: the peer may hold
  // them until its process exits, so they must stay on its account until `exited`.
  std::uint32_t importedCount = 0;
  bool failed = false;
  std::string failureCode;  // of proto/errors.ts
  std::string failure;
};

struct ListenOptions {
  std::string path;
  mode_t mode = 0600;
  std::uint32_t connectionsMax = 1024;
  std::uint32_t helloTimeoutMs = 5000;
};

// Called on the server's threads, with no lock held; the first may come before `listen` returns.
// None may call `ChannelServer::close`, which waits for these threads.
struct ServerEvents {
  std::function<void(ConnectionId, const PeerIdentity&)> hello;
  std::function<void(ConnectionId, const std::string& reason)> closed;
  // Once for each welcomed connection, after `closed` and after the last outcome of its grants.
  // Not for those whose process still lives when the server closes.
  std::function<void(ConnectionId)> exited;
};

class ChannelServer {
 public:
  // The caller has made sure that no other daemon lives at `path`; a stale file is replaced.
  static std::unique_ptr<ChannelServer> listen(std::shared_ptr<Device> device, ListenOptions options,
                                               ServerEvents events);
  virtual ~ChannelServer() = default;

  virtual void welcome(ConnectionId connection, std::uint64_t sessionId,
                       const std::uint8_t (&token)[32], const std::string& servicePath) = 0;
  // Sends the refusal and closes.
  virtual void refuse(ConnectionId connection, const std::string& code,
                      const std::string& text) = 0;
  // Creates, sends, awaits the acknowledgement of each batch and releases the daemon's handles;
  // `done` is called exactly once, from any thread, whatever happens, after every handle that the
  // client did not import has been released. Small grants are created and sent on the caller's
  // thread, which saves two thread hops.
  virtual void grant(ConnectionId connection, std::uint64_t grantId, std::vector<GrantItem> items,
                     std::uint32_t ackTimeoutMs, std::function<void(GrantOutcome)> done) = 0;
  virtual void disconnect(ConnectionId connection) = 0;
  // Ends the peer's process by SIGKILL, through its pidfd, so never another one that has its number by
  // now; nothing if it has exited already. Throws PermissionDenied if this process may not.
  virtual void kill(ConnectionId connection) = 0;
  // Of a connection that was `closed`: its process holds nothing of it, so `exited` need not be
  // told. Else each connection that a process ever had would be kept, with its pidfd, until it ends.
  virtual void forget(ConnectionId connection) = 0;
  // Disconnects all, finishes all grants, removes the socket file, joins the threads.
  virtual void close() = 0;
};

}  // namespace kvspan
