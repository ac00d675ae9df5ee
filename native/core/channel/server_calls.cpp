// What the daemon asks of the server, on its own threads.
#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "channel/identity.hpp"
#include "channel/messages.hpp"
#include "channel/server_impl.hpp"
#include "channel/tags.hpp"

namespace kvspan {
namespace {

constexpr const char* kCancelled = "GRANT_CANCELLED";

void refuseGrant(const std::function<void(GrantOutcome)>& done, const char* code,
                 const std::string& text) {
  guarded([&] { done(GrantOutcome{0, true, code, text}); });
}

}  // namespace

void Server::welcome(ConnectionId id, std::uint64_t sessionId, const std::uint8_t (&token)[32],
                     const std::string& servicePath) {
  auto message = wire::make<wire::Welcome>(wire::Type::Welcome);
  if (servicePath.empty() || servicePath.size() >= sizeof message.servicePath) {
    throw Error::badField("servicePath", std::to_string(servicePath.size()) + " bytes",
                          "1 to " + std::to_string(sizeof message.servicePath - 1) + " bytes");
  }
  message.sessionId = sessionId;
  std::copy(std::begin(token), std::end(token), message.token);
  std::memcpy(message.servicePath, servicePath.data(), servicePath.size());

  const Lock lock(mutex_);
  const ConnectionPtr connection = find(id);
  if (!connection || connection->phase != Phase::Asked) return;
  connection->phase = Phase::Welcomed;
  if (!connection->gone) {
    // Under the mutex, so that no extents can overtake it. A new connection's queue has room.
    if (sendMessage(connection->socket->get(), &message, sizeof message) != SendStatus::Sent) {
      shutDown(*connection, "the welcome could not be sent");
    }
    return;
  }
  if (!stopping_) worker_.post([this, connection] { retire(connection); });
}

void Server::refuse(ConnectionId id, const std::string& code, const std::string& text) {
  const auto message = wire::makeRefused(code, text);
  const Lock lock(mutex_);
  const ConnectionPtr connection = find(id);
  if (!connection || connection->phase != Phase::Asked) return;
  connection->phase = Phase::Refused;
  if (!connection->gone) {
    sendMessage(connection->socket->get(), &message, sizeof message);
    shutDown(*connection, "refused: " + text);
    return;
  }
  if (!stopping_) worker_.post([this, connection] { retire(connection); });
}

void Server::disconnect(ConnectionId id) {
  const Lock lock(mutex_);
  const ConnectionPtr connection = find(id);
  if (connection) shutDown(*connection, "disconnected by the daemon");
}

// Under the mutex, since the loop gives the pidfd up once the process has exited.
void Server::kill(ConnectionId id) {
  const Lock lock(mutex_);
  const ConnectionPtr connection = find(id);
  if (connection && connection->pidfd) {
    killProcess(connection->pidfd.get(), connection->identity.pid);
  }
}

void Server::forget(ConnectionId id) {
  const Lock lock(mutex_);
  const ConnectionPtr connection = find(id);
  if (!connection || !connection->gone) return;
  connection->forgotten = true;
  if (!stopping_) worker_.post([this, connection] { retire(connection); });
}

void Server::grant(ConnectionId id, std::uint64_t grantId, std::vector<GrantItem> items,
                   std::uint32_t ackTimeoutMs, std::function<void(GrantOutcome)> done) {
  if (items.empty()) {
    return refuseGrant(done, codeName(Code::InvalidArgument),
                       "items: got none, allowed: at least one extent");
  }
  Lock lock(mutex_);
  const ConnectionPtr connection = find(id);
  if (stopping_ || !connection || connection->gone || connection->phase != Phase::Welcomed) {
    lock.unlock();
    return refuseGrant(done, kCancelled,
                       "connection " + std::to_string(id) + " is not open, or has no session");
  }
  Grant grant;
  grant.id = grantId;
  grant.items = std::move(items);
  grant.ackTimeoutMs = ackTimeoutMs;
  grant.done = std::move(done);
  connection->grants.push_back(std::move(grant));
  if (connection->pump != Pump::Idle) return;
  connection->pump = Pump::Owned;
  ++callers_;
  lock.unlock();
  serve(connection, Where::Caller);
  lock.lock();
  if (--callers_ == 0) callersLeft_.notify_all();
}

}  // namespace kvspan
