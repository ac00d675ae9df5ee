// A connection from its acceptance to the exit of the peer's process.
#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "channel/identity.hpp"
#include "channel/messages.hpp"
#include "channel/server_impl.hpp"
#include "channel/tags.hpp"

namespace kvspan {
namespace {

// Room to see that a message is too long; no client's message is longer than a hello.
constexpr std::size_t kReceiveBytes = sizeof(wire::Hello) + 16;
// Answers a process could have sent before it died: one hello, one acknowledgement.
constexpr int kLastMessagesMax = 4;

void sendRefusal(int socket, std::string_view code, std::string_view text) {
  const auto refused = wire::makeRefused(code, text);
  sendMessage(socket, &refused, sizeof refused);
}

}  // namespace

// One at a time: the loop comes back while there are more, and serves others in between.
void Server::acceptOne() {
  UniqueFd socket(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket) {
    guarded([&] { admit(std::move(socket)); });
    return;
  }
  if (errno != EMFILE && errno != ENFILE) return;
  // It would stay in the queue, and the loop would turn round it for ever.
  spare_.reset();
  UniqueFd dropped(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (dropped) {
    sendRefusal(dropped.get(), codeName(Code::SessionLimit),
                "the daemon has no file descriptor left for the connection");
  }
  dropped.reset();
  spare_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

void Server::admit(UniqueFd socket) {
  PeerProcess peer;
  try {
    peer = identifyPeer(socket.get());
  } catch (const Error& error) {
    return sendRefusal(socket.get(), codeName(error.code()), error.what());
  }
  const Lock lock(mutex_);
  if (connections_.size() >= options_.connectionsMax) {
    return sendRefusal(socket.get(), codeName(Code::SessionLimit),
                       "the daemon has " + std::to_string(connections_.size()) +
                           " connections, its limit");
  }
  do {
    ++lastId_;
  } while (lastId_ == 0 || connections_.contains(lastId_));
  const auto connection = std::make_shared<Connection>(lastId_);
  connection->identity = {peer.pid, peer.uid, peer.gid, ""};
  connection->pidfd = std::move(peer.pidfd);
  connection->socket = std::make_shared<const UniqueFd>(std::move(socket));
  connection->deadline =
      ChannelClock::now() + std::chrono::milliseconds(options_.helloTimeoutMs);
  watch(connection->socket->get(), tagOf(Watched::Socket, lastId_));
  armTimer(*connection->deadline);
  connections_.emplace(lastId_, connection);
}

void Server::onReadable(const ConnectionPtr& connection) {
  bool more = true;
  if (!guarded([&] { more = readMessage(connection); })) {
    endConnection(connection, "the daemon failed to handle a message");
  } else if (!more && !connection->gone) {
    endConnection(connection, "the client closed the connection");
  }
}

// False: nothing more will come, or the connection has been ended. `gone` is written by this
// thread only, which may therefore read it freely.
bool Server::readMessage(const ConnectionPtr& connection) {
  if (connection->gone) return false;
  std::array<char, kReceiveBytes> buffer;
  const SharedFd socket = connection->socket;
  const Received received =
      receiveMessage(socket->get(), buffer.data(), buffer.size(), TakeFds::No);
  switch (received.status) {
    case ReceiveStatus::Empty:
      return true;
    case ReceiveStatus::Closed:
      return false;
    case ReceiveStatus::Failed:
      // The peer closed with unread messages; what it had sent before can still be read.
      return received.error == ECONNRESET;
    case ReceiveStatus::Message:
      break;
  }
  std::string wrong;
  if (received.fdsLost) {
    wrong = "sent file descriptors, which the daemon does not take";
  } else if (received.truncated) {
    wrong = "sent a message longer than any of a client's";
  } else {
    wrong = onMessage(connection, buffer.data(), received.bytes);
  }
  if (wrong.empty()) return true;
  sendRefusal(socket->get(), codeName(Code::Protocol), wrong);
  endConnection(connection, "protocol error: " + wrong);
  return false;
}

std::string Server::onMessage(const ConnectionPtr& connection, const void* data,
                              std::size_t bytes) {
  if (auto wrong = wire::checkHeader(data, bytes); !wrong.empty()) return wrong;
  switch (wire::typeOf(data)) {
    case wire::Type::Hello:
      return onHello(connection, data, bytes);
    case wire::Type::Ack:
      return onAck(connection, data, bytes);
    default:
      return "message of a type that no client sends";
  }
}

std::string Server::onHello(const ConnectionPtr& connection, const void* data,
                            std::size_t bytes) {
  std::string name;
  if (auto wrong = wire::readHello(name, data, bytes); !wrong.empty()) return wrong;
  {
    const Lock lock(mutex_);
    if (connection->phase != Phase::Connected) return "a second hello";
    // First, for it may fail: a connection that has asked is kept until the daemon has answered,
    // which will not hear of this one.
    watch(connection->pidfd.get(), tagOf(Watched::Process, connection->id));
    connection->phase = Phase::Asked;
    connection->deadline.reset();
    connection->identity.name = name;
  }
  if (events_.hello) {
    guarded([&] { events_.hello(connection->id, connection->identity); });
  }
  return "";
}

// The kernel may tell of the exit before the hang-up, and the socket may even stay open in a child
// that inherited it. Either way the session is over.
void Server::onProcessExit(const ConnectionPtr& connection) {
  for (int i = 0; i < kLastMessagesMax && !connection->gone; ++i) {
    bool more = false;
    guarded([&] { more = readMessage(connection); });
    if (!more) break;
  }
  endConnection(connection, "the client's process has exited");
  {
    const Lock lock(mutex_);
    unwatch(connection->pidfd.get());
    connection->pidfd.reset();
    connection->processExited = true;
  }
  retire(connection);
}

// On the loop's thread only.
void Server::endConnection(const ConnectionPtr& connection, const std::string& reason) {
  bool tell = false;
  bool settleGrants = false;
  std::string why;
  {
    const Lock lock(mutex_);
    if (connection->gone) return;
    connection->gone = true;
    if (connection->closeReason.empty()) connection->closeReason = reason;
    why = connection->closeReason;
    unwatch(connection->socket->get());
    ::shutdown(connection->socket->get(), SHUT_RDWR);
    connection->socket.reset();
    tell = connection->phase != Phase::Connected;
    if (connection->pump != Pump::Owned) {
      settleGrants = !connection->grants.empty();
      connection->pump = settleGrants ? Pump::Owned : Pump::Drained;
    }
  }
  if (tell && events_.closed) guarded([&] { events_.closed(connection->id, why); });
  {
    const Lock lock(mutex_);
    connection->closedTold = true;
  }
  if (settleGrants) serveOnWorker(connection);
  retire(connection);
}

// Forgets the connection once nothing more can be said of it. A connection that has said hello is
// kept until the daemon has answered, even if it is gone by then: the daemon may be about to
// welcome it, and counts on hearing of the exit.
void Server::retire(const ConnectionPtr& connection) {
  bool tell = false;
  {
    const Lock lock(mutex_);
    const bool over = connection->gone && connection->closedTold &&
                      connection->pump == Pump::Drained && connection->phase != Phase::Asked;
    const bool welcomed = connection->phase == Phase::Welcomed;
    const bool awaited = welcomed && !connection->forgotten;
    if (!over || connection->retired || (awaited && !connection->processExited)) return;
    connection->retired = true;
    tell = awaited;
    if (connection->pidfd) unwatch(connection->pidfd.get());
    connections_.erase(connection->id);
  }
  if (tell && events_.exited) guarded([&] { events_.exited(connection->id); });
}

}  // namespace kvspan
