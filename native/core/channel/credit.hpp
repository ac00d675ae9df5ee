// How many descriptors may be in flight at once, over all connections: sent and not acknowledged.
// The kernel counts them against the daemon user's limit on open files, and the daemon itself has
// each open while it makes a message. First come, first served.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "channel/connection.hpp"

namespace kvspan {

inline constexpr std::uint32_t kDescriptorsInFlightMax = 1024;

// Guarded by the server's mutex.
class CreditLine {
 public:
  explicit CreditLine(std::uint32_t limit) : limit_(limit), free_(limit) {}
  // The smaller of kDescriptorsInFlightMax and a quarter of what this process may have open.
  static std::uint32_t limitOfThisProcess();

  std::uint32_t limit() const { return limit_; }

  // The connection has `count` (1 .. limit) now, or stands in the queue for them.
  bool take(const ConnectionPtr& connection, std::uint32_t count);
  // The connection keeps `kept` of what it has. Returns those whose turn has come: they have their
  // credit and are `Owned`, for the caller to serve.
  std::vector<ConnectionPtr> giveBack(const ConnectionPtr& connection, std::uint32_t kept);

 private:
  const std::uint32_t limit_;
  std::uint32_t free_;
  std::deque<ConnectionPtr> queue_;
};

}  // namespace kvspan
