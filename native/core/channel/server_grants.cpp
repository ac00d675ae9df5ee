// Extents on their way to a client. A grant is a row of batches; a batch is created and exported,
// sent as one message, acknowledged, and then given up by the daemon, whose handles are no longer
// what keeps the memory. One thread at a time owns a connection's grants (`Pump::Owned`).
#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "channel/messages.hpp"
#include "channel/server_impl.hpp"
#include "channel/tags.hpp"

namespace kvspan {
namespace {

// How long a message may wait for other descriptors in flight to land, and how often it looks.
constexpr std::chrono::milliseconds kSendPatience{2000};
constexpr std::chrono::milliseconds kSendPauseMax{50};

void callDone(Grant& grant) {
  guarded([&] { grant.done(std::move(grant.outcome)); });
}

}  // namespace

std::string Server::onAck(const ConnectionPtr& connection, const void* data, std::size_t bytes) {
  wire::Ack ack;
  if (auto wrong = wire::read(ack, wire::Type::Ack, data, bytes); !wrong.empty()) return wrong;
  {
    const Lock lock(mutex_);
    if (connection->pump != Pump::AwaitingAck) return "an acknowledgement of nothing";
    const SentBatch& sent = *connection->sent;
    if (ack.grantId != connection->grants.front().id || ack.first != sent.first) {
      return "an acknowledgement of other extents than were sent last";
    }
    if (ack.imported > sent.count) {
      return "an acknowledgement of " + std::to_string(ack.imported) + " extents, of " +
             std::to_string(sent.count) + " sent";
    }
    connection->sent->imported = ack.imported;
    connection->deadline.reset();
    connection->pump = Pump::Owned;
  }
  serve(connection, Where::Loop);
  return "";
}

void Server::serveOnWorker(const ConnectionPtr& connection) {
  worker_.post([this, connection] { serve(connection, Where::Worker); });
}

// The loop makes no extents and gives up few; a caller makes few.
bool Server::mustMove(const Connection& connection, Where where) const {
  if (where == Where::Worker) return false;
  if (connection.sent) return connection.sent->handles.size() > kInlineExtents;
  const Grant& grant = connection.grants.front();
  if (grant.outcome.failed) return false;
  return where == Where::Loop || grant.items.size() > kInlineExtents;
}

void Server::serve(const ConnectionPtr& connection, Where where) {
  Lock lock(mutex_);
  for (;;) {
    const bool answered = connection->sent && connection->sent->imported;
    if (!answered && connection->gone) return abandon(connection, where, lock);
    if (connection->grants.empty()) {
      connection->pump = Pump::Idle;
      return;
    }
    if (mustMove(*connection, where)) {
      lock.unlock();
      return serveOnWorker(connection);
    }
    if (answered) {
      settle(connection, lock);
    } else if (connection->grants.front().ended()) {
      finishGrant(connection, lock);
    } else if (!makeAndSend(connection, where, lock)) {
      return;
    }
  }
}

// What the client has imported is the client's now; what it has not is released before anybody is
// told. If all is well the grant's outcome goes out before the releases, which nobody waits for.
void Server::settle(const ConnectionPtr& connection, Lock& lock) {
  SentBatch sent = std::move(*connection->sent);
  connection->sent.reset();
  const std::uint32_t imported = *sent.imported;
  Grant& grant = connection->grants.front();
  grant.outcome.importedCount += imported;
  if (imported < sent.count) {
    grant.fail(codeName(Code::DeviceFailed),
               "the client could import only " + std::to_string(grant.outcome.importedCount) +
                   " of " + std::to_string(grant.items.size()) +
                   " extents; its limit on open files may be too low");
    grant.untold = false;
  }
  giveCredit(connection, 0);
  if (imported < sent.count) {
    lock.unlock();
    sent.handles.releaseFrom(imported);
    lock.lock();
  }
  if (grant.ended()) finishGrant(connection, lock);
  lock.unlock();
  sent.handles.releaseFrom(0);
  lock.lock();
}

void Server::finishGrant(const ConnectionPtr& connection, Lock& lock) {
  Grant grant = std::move(connection->grants.front());
  connection->grants.pop_front();
  const SharedFd socket = connection->socket;
  lock.unlock();
  if (grant.untold && socket) {
    auto end = wire::make<wire::Extents>(wire::Type::Extents);
    end.grantId = grant.id;
    end.first = end.total = grant.sentCount;
    sendMessage(socket->get(), &end, sizeof end);
  }
  callDone(grant);
  lock.lock();
}

// False: the connection's grants have another owner now. True: look again.
bool Server::makeAndSend(const ConnectionPtr& connection, Where where, Lock& lock) {
  // A deque's elements stay where they are when others are added, and only the owner removes any.
  Grant& grant = connection->grants.front();
  const auto left = static_cast<std::uint32_t>(grant.items.size()) - grant.sentCount;
  const std::uint32_t wanted = std::min({left, wire::kFdsPerMessage, credit_.limit()});
  connection->creditLine = &creditLineFor(wanted);
  if (!connection->creditLine->take(connection, wanted)) return false;

  lock.unlock();
  Batch batch = makeBatch(device_, grant.items.data() + grant.sentCount, wanted);
  lock.lock();
  const auto count = static_cast<std::uint32_t>(batch.entries.size());
  if (batch.failed) {
    grant.fail(batch.failureCode, batch.failure);
    grant.untold = grant.sentCount + count > 0;
  }
  if (count < wanted) giveCredit(connection, count);
  if (count == 0 || connection->gone) {
    lock.unlock();
    batch = Batch();
    lock.lock();
    return true;
  }

  auto header =
      wire::make<wire::Extents>(wire::Type::Extents, count * sizeof(wire::ExtentEntry));
  header.grantId = grant.id;
  header.first = grant.sentCount;
  header.count = count;
  header.total = static_cast<std::uint32_t>(grant.items.size());
  const std::uint64_t serial = ++lastSerial_;
  const std::uint32_t ackTimeoutMs = grant.ackTimeoutMs;
  connection->sent =
      SentBatch{serial, grant.sentCount, count, std::nullopt, std::move(batch.handles)};
  grant.sentCount += count;
  // From here the answer may come at any moment, and then somebody else owns the grants.
  connection->pump = Pump::AwaitingAck;
  lock.unlock();
  transmit(connection, where, header, std::move(batch), serial, ackTimeoutMs);
  lock.lock();
  return false;
}

void Server::transmit(const ConnectionPtr& connection, Where where, const wire::Extents& header,
                      Batch batch, std::uint64_t serial, std::uint32_t ackTimeoutMs) {
  SharedFd socket;
  {
    const Lock lock(mutex_);
    socket = connection->socket;
  }
  if (!socket) return;  // ended meanwhile; the loop has taken the grants over
  const std::vector<Part> parts{{&header, sizeof header},
                                {batch.entries.data(),
                                 batch.entries.size() * sizeof(wire::ExtentEntry)}};
  auto status = sendMessage(socket->get(), parts, batch.fds);
  if (status == SendStatus::Busy && where == Where::Caller) {
    // The caller is not kept waiting. std::function wants to copy, hence the shared pointer.
    const auto kept = std::make_shared<Batch>(std::move(batch));
    worker_.post([this, connection, header, kept, serial, ackTimeoutMs] {
      transmit(connection, Where::Worker, header, std::move(*kept), serial, ackTimeoutMs);
    });
    return;
  }
  const auto giveUp = ChannelClock::now() + kSendPatience;
  for (auto pause = std::chrono::milliseconds(1);
       status == SendStatus::Busy && !hurry_ && ChannelClock::now() < giveUp;
       pause = std::min(pause * 2, kSendPauseMax)) {
    std::this_thread::sleep_for(pause);
    status = sendMessage(socket->get(), parts, batch.fds);
  }
  if (status == SendStatus::Busy) return takeBack(connection, serial);
  const Lock lock(mutex_);
  if (status == SendStatus::Gone) {
    shutDown(*connection, "extents could not be sent");
  } else if (!connection->gone && connection->pump == Pump::AwaitingAck &&
             connection->sent->serial == serial) {
    connection->deadline = ChannelClock::now() + std::chrono::milliseconds(ackTimeoutMs);
    armTimer(*connection->deadline);
  }
}

// The message could not be sent at all: the grant ends with what came before it.
void Server::takeBack(const ConnectionPtr& connection, std::uint64_t serial) {
  Lock lock(mutex_);
  if (connection->pump != Pump::AwaitingAck || connection->sent->serial != serial) return;
  connection->pump = Pump::Owned;
  SentBatch unsent = std::move(*connection->sent);
  connection->sent.reset();
  Grant& grant = connection->grants.front();
  grant.sentCount -= unsent.count;
  grant.fail(codeName(Code::Internal),
             "too many file descriptors of the daemon's user are in flight, its limit on open "
             "files");
  grant.untold = grant.sentCount > 0;
  giveCredit(connection, 0);
  lock.unlock();
  unsent.handles.releaseFrom(0);
  serve(connection, Where::Worker);
}

// The connection is gone. What was sent and not answered counts as imported: the peer may have it,
// or find it in its queue, as long as it lives.
void Server::abandon(const ConnectionPtr& connection, Where where, Lock& lock) {
  std::deque<Grant> grants = std::exchange(connection->grants, {});
  std::optional<SentBatch> sent = std::exchange(connection->sent, std::nullopt);
  const std::string why = connection->closeReason;
  giveCredit(connection, 0);
  lock.unlock();
  if (sent) {
    grants.front().outcome.importedCount += sent->count;
    sent.reset();
  }
  for (auto& grant : grants) {
    if (!grant.outcome.failed) grant.fail("GRANT_CANCELLED", "the connection ended: " + why);
    callDone(grant);
  }
  lock.lock();
  connection->pump = Pump::Drained;
  lock.unlock();
  // `exited` is told on the server's threads only.
  if (where == Where::Caller) return worker_.post([this, connection] { retire(connection); });
  retire(connection);
}

CreditLine& Server::creditLineFor(std::uint32_t count) {
  return count <= kInlineExtents ? smallCredit_ : credit_;
}

// Under the mutex.
void Server::giveCredit(const ConnectionPtr& connection, std::uint32_t kept) {
  if (connection->creditLine == nullptr) return;
  for (const auto& next : connection->creditLine->giveBack(connection, kept)) serveOnWorker(next);
}

}  // namespace kvspan
