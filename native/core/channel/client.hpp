// The client's end of the extent channel: says hello, then a thread receives extents, imports them
// and hands them on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "channel/wire.hpp"
#include "device/device.hpp"
#include "span/session.hpp"

namespace kvspan {

struct ClientWelcome {
  std::uint64_t sessionId = 0;
  std::uint8_t token[wire::kTokenBytes] = {};
  std::string servicePath;
};

// Called on the receiving thread.
struct ClientEvents {
  // A batch of a grant was imported. It is acknowledged once this has returned: from then on the
  // extents are the receiver's, which must have them in its magazine by then.
  std::function<void(std::vector<Extent>)> extents;
  // All of a grant has arrived (every batch is acknowledged), or it ended early: an import failed,
  // or the daemon could not go on (`failure` not empty; the extents handed on so far stay). A grant
  // that fails before its first extent, or by the end of the connection, is not told here.
  std::function<void(std::uint64_t grantId, std::uint32_t importedCount, const std::string& failure)>
      granted;
  // The connection is gone. Called once.
  std::function<void(const std::string& reason)> closed;
};

class ChannelClient {
 public:
  // Blocks for the welcome, at most `timeoutMs`. Throws DaemonUnavailable (nobody there, timeout),
  // PermissionDenied, Protocol, or the code of the daemon's refusal.
  static std::unique_ptr<ChannelClient> connect(std::shared_ptr<Device> device,
                                                const std::string& path, const std::string& name,
                                                std::uint32_t timeoutMs, ClientEvents events);
  virtual ~ChannelClient() = default;
  virtual const ClientWelcome& welcome() const = 0;
  // Closes the connection and joins the thread. `closed` is not called for it.
  virtual void close() = 0;
};

}  // namespace kvspan
