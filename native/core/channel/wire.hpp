// The extent channel's messages: what gRPC cannot carry, file descriptors.
//
// A Unix SOCK_SEQPACKET socket: a message arrives whole with its descriptors or not at all, so no
// two messages can merge. Little-endian, naturally aligned, fixed layouts.
//
//   client                                  daemon
//     | -- Hello ---------------------------> |   identity from SO_PEERCRED and a pidfd
//     | <- Welcome (session, token) or        |
//     |    Refused (code, sentence) --------- |
//     | <- Extents (grant, ids) + fds ------- |   at most kFdsPerMessage a message; the next
//     | -- Ack (grant, first, imported) ----> |   only after the acknowledgement of the last
//     | <- Refused -------------------------- |   a protocol error, just before the end
//     :                                       :
// The connection is the session: the kernel closes it when the process dies.
#pragma once

#include <cstdint>

namespace kvspan::wire {

inline constexpr std::uint32_t kMagic = 0x31584B56;  // "VKX1"
inline constexpr std::uint16_t kVersion = 1;
// The kernel's limit is 253 (SCM_MAX_FD).
inline constexpr std::uint32_t kFdsPerMessage = 240;
inline constexpr std::uint32_t kTokenBytes = 32;
inline constexpr std::uint32_t kTextBytesMax = 512;

enum class Type : std::uint16_t { Hello = 1, Welcome = 2, Refused = 3, Extents = 4, Ack = 5 };

struct Header {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t type;
  std::uint32_t bytes;  // of the whole message, header included
  std::uint32_t reserved;
};

struct Hello {
  Header header;
  char name[64];  // for people; NUL-padded printable ASCII
};

struct Welcome {
  Header header;
  std::uint64_t sessionId;
  std::uint8_t token[kTokenBytes];
  char servicePath[108];  // the gRPC socket, NUL-padded (sun_path's size)
  std::uint32_t reserved;
};

struct Refused {
  Header header;
  char code[32];
  char text[kTextBytesMax];
};

struct ExtentEntry {
  std::uint64_t id;
  std::uint64_t bytes;
};

// Followed by `count` ExtentEntry; as many descriptors in the same message. With `count` 0 the grant
// ends early, after the `first` = `total` extents already sent; that is not acknowledged.
struct Extents {
  Header header;
  std::uint64_t grantId;
  std::uint32_t first;  // index of the first entry within the grant
  std::uint32_t count;
  std::uint32_t total;  // extents in the grant
  std::uint32_t reserved;
};

struct Ack {
  Header header;
  std::uint64_t grantId;
  std::uint32_t first;
  std::uint32_t imported;  // of the message's entries, from its first; fewer than count: a failure
};

static_assert(sizeof(Header) == 16 && sizeof(Hello) == 80 && sizeof(Welcome) == 168 &&
              sizeof(Refused) == 560 && sizeof(Extents) == 40 && sizeof(Ack) == 32);

}  // namespace kvspan::wire
