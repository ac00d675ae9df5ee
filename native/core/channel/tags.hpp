// What an event of the loop is about: a kind and a connection's number in 64 bits.
#pragma once

#include <cstdint>

#include "channel/server.hpp"

namespace kvspan {

enum class Watched : std::uint32_t { Listener, Timer, Wake, Socket, Process };

constexpr std::uint64_t tagOf(Watched watched, ConnectionId connection) {
  return static_cast<std::uint64_t>(watched) << 32 | connection;
}
constexpr Watched watchedBy(std::uint64_t tag) { return static_cast<Watched>(tag >> 32); }
constexpr ConnectionId connectionOf(std::uint64_t tag) { return static_cast<ConnectionId>(tag); }

// Runs what the daemon gave, or what a message led to: whatever it throws ends here, not the
// thread that serves everybody. False: it threw.
template <typename Body>
bool guarded(Body&& body) noexcept {
  try {
    body();
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace kvspan
