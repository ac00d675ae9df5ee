// The extents that arrive at a client: checks each message, imports what it carries, and says what
// to answer. Knows no socket; a daemon that lies is an Error of code Protocol.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/unique_fd.hpp"
#include "channel/client.hpp"
#include "channel/wire.hpp"
#include "device/device.hpp"

namespace kvspan {

// The longest message of extents, and a byte to see that one is too long.
inline constexpr std::size_t kExtentsBytesMax =
    sizeof(wire::Extents) + wire::kFdsPerMessage * sizeof(wire::ExtentEntry) + 1;

class Inbox {
 public:
  Inbox(std::shared_ptr<Device> device, ClientEvents events);

  // Takes one message. `fdsLost`: descriptors were lost on the way in, for the file table is full.
  // Returns the acknowledgement to send (none for a grant's early end); then call `answered`.
  std::optional<wire::Ack> take(const void* data, std::size_t bytes, std::vector<UniqueFd> fds,
                                bool fdsLost);
  // The acknowledgement is on its way: tells that the grant is complete, or failed.
  void answered();

 private:
  struct Message {
    wire::Extents header;
    std::vector<wire::ExtentEntry> entries;
  };
  Message read(const void* data, std::size_t bytes) const;
  void checkPlace(const wire::Extents& header) const;
  void checkEntries(const std::vector<wire::ExtentEntry>& entries) const;
  std::vector<Extent> import(const Message& message, std::vector<UniqueFd>& fds);
  void handOn(std::vector<Extent> extents);

  // The grant that is arriving: a daemon sends one after the other.
  struct Arriving {
    std::uint64_t id = 0;
    std::uint32_t received = 0;
    std::uint32_t total = 0;
    std::string failure;
  };

  const std::shared_ptr<Device> device_;
  const ClientEvents events_;
  const std::uint64_t granularity_;
  std::optional<Arriving> arriving_;
};

}  // namespace kvspan
