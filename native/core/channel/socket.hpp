// SEQPACKET Unix sockets: messages that arrive whole, with their file descriptors.
#pragma once

#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"

namespace kvspan {

// The most descriptors that one message can carry (the kernel's SCM_MAX_FD).
inline constexpr std::size_t kKernelFdsPerMessage = 253;

// `path` as an address. Throws InvalidArgument (field `path`) if it is empty, holds a NUL, or is
// longer than the 107 bytes that the kernel has room for.
sockaddr_un socketAddress(const std::string& path);

// A new socket, close-on-exec. Throws Internal.
UniqueFd newSocket(bool nonBlocking);

enum class SendStatus {
  Sent,
  Busy,  // no room now (queue, memory, or too many descriptors in flight): try again later
  Gone,  // the peer has closed, or the socket is of no more use
};

// One piece of a message.
struct Part {
  const void* data;
  std::size_t bytes;
};

// Sends the parts as one message, with the descriptors (at most kKernelFdsPerMessage), and never
// blocks or raises SIGPIPE. The descriptors stay the caller's.
SendStatus sendMessage(int socket, const std::vector<Part>& parts,
                       const std::vector<UniqueFd>& fds) noexcept;
SendStatus sendMessage(int socket, const void* data, std::size_t bytes) noexcept;

enum class ReceiveStatus {
  Message,
  Empty,   // nothing there (non-blocking sockets only)
  Closed,  // the peer has closed, or sent a message of no bytes, which looks the same
  Failed,
};

struct Received {
  ReceiveStatus status = ReceiveStatus::Failed;
  std::size_t bytes = 0;
  bool truncated = false;     // the message was longer than the buffer
  bool fdsLost = false;       // descriptors came that could not be taken in; the kernel closed them
  std::vector<UniqueFd> fds;  // in the order sent; owned from the moment they arrived
  int error = 0;              // errno, if Failed
};

enum class TakeFds { No, Yes };

// Receives one message. With TakeFds::No no descriptor can enter this process: `fdsLost` then says
// that the peer sent some.
Received receiveMessage(int socket, void* buffer, std::size_t capacity, TakeFds takeFds);

// Waits until the socket has something to read. False: not within `timeoutMs`.
bool waitReadable(int socket, std::uint32_t timeoutMs);

}  // namespace kvspan
