// What the server knows of one connection. All of it is guarded by the server's mutex, except
// where said otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "channel/batch.hpp"
#include "channel/identity.hpp"
#include "channel/server.hpp"

namespace kvspan {

class CreditLine;

using ChannelClock = std::chrono::steady_clock;

// Whoever sends holds a reference, so that the number cannot be given to another file meanwhile.
using SharedFd = std::shared_ptr<const UniqueFd>;

struct Grant {
  std::uint64_t id = 0;
  std::vector<GrantItem> items;
  std::uint32_t ackTimeoutMs = 0;
  std::function<void(GrantOutcome)> done;
  std::uint32_t sentCount = 0;
  GrantOutcome outcome{};
  // The client was sent a part and knows nothing of the failure yet.
  bool untold = false;

  bool ended() const { return outcome.failed || sentCount == items.size(); }
  void fail(const std::string& code, const std::string& text) {
    outcome.failed = true;
    outcome.failureCode = code;
    outcome.failure = text;
  }
};

// A message of extents that the client has, from just before it is sent until it is answered.
struct SentBatch {
  std::uint64_t serial = 0;  // of the server; tells it from a later one
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::optional<std::uint32_t> imported;  // the client's answer
  OwnedHandles handles;
};

// What is known of the peer's session.
enum class Phase {
  Connected,  // has not said hello
  Asked,      // has; the daemon has not answered
  Welcomed,
  Refused,
};

// Who may work on a connection's grants. Exactly one thread at a time does (`Owned`); it leaves by
// setting another state.
enum class Pump {
  Idle,            // no grant
  Owned,           // a thread creates, sends, settles
  AwaitingCredit,  // too many descriptors are in flight elsewhere
  AwaitingAck,
  Drained,  // the connection is gone and every grant has had its outcome
};

struct Connection {
  explicit Connection(ConnectionId number) : id(number) {}

  const ConnectionId id;
  SharedFd socket;
  PeerIdentity identity;
  UniqueFd pidfd;
  Phase phase = Phase::Connected;

  bool gone = false;           // the socket is no longer watched; nothing will be sent
  bool closedTold = false;     // `closed` has returned, or need not be called
  bool processExited = false;
  bool forgotten = false;      // nobody waits for its process to exit
  bool retired = false;
  std::string closeReason;     // why this side shut the socket down; empty: the peer did

  std::optional<ChannelClock::time_point> deadline;  // of the hello, later of an acknowledgement
  Pump pump = Pump::Idle;
  std::deque<Grant> grants;
  std::optional<SentBatch> sent;
  std::uint32_t credit = 0;       // descriptors in flight that this connection accounts for
  std::uint32_t creditWanted = 0;
  CreditLine* creditLine = nullptr;  // of the server; where the credit is from, or waited for
};

using ConnectionPtr = std::shared_ptr<Connection>;

}  // namespace kvspan
