#include "channel/inbox.hpp"

#include <cstring>
#include <utility>

#include "base/error.hpp"
#include "channel/messages.hpp"

namespace kvspan {
namespace {

[[noreturn]] void lie(const std::string& what) {
  throw Error(Code::Protocol, "the daemon broke the protocol: " + what);
}

}  // namespace

Inbox::Inbox(std::shared_ptr<Device> device, ClientEvents events)
    : device_(std::move(device)), events_(std::move(events)), granularity_(device_->granularity()) {}

std::optional<wire::Ack> Inbox::take(const void* data, std::size_t bytes,
                                     std::vector<UniqueFd> fds, bool fdsLost) {
  const Message message = read(data, bytes);
  const wire::Extents& header = message.header;
  checkPlace(header);
  // Fewer arrive if the file table is full, and then the kernel says so; never more.
  const bool complete = fds.size() == header.count && !fdsLost;
  const bool cut = fds.size() < header.count && fdsLost;
  if (!complete && !cut) {
    lie(std::to_string(fds.size()) + " descriptors with " + std::to_string(header.count) +
        " extents");
  }
  if (header.count == 0) {
    arriving_->total = arriving_->received;
    arriving_->failure = "the daemon could not create the rest of the grant";
    return std::nullopt;
  }
  checkEntries(message.entries);
  if (!arriving_) arriving_ = Arriving{header.grantId, 0, header.total, ""};
  std::vector<Extent> extents = import(message, fds);
  auto ack = wire::make<wire::Ack>(wire::Type::Ack);
  ack.grantId = header.grantId;
  ack.first = header.first;
  ack.imported = static_cast<std::uint32_t>(extents.size());
  arriving_->received += ack.imported;
  handOn(std::move(extents));
  return ack;
}

void Inbox::answered() {
  if (!arriving_ || (arriving_->failure.empty() && arriving_->received < arriving_->total)) return;
  const Arriving done = *std::exchange(arriving_, std::nullopt);
  if (events_.granted) events_.granted(done.id, done.received, done.failure);
}

Inbox::Message Inbox::read(const void* data, std::size_t bytes) const {
  Message message;
  if (auto wrong = wire::checkHeader(data, bytes); !wrong.empty()) lie(wrong);
  if (wire::typeOf(data) != wire::Type::Extents || bytes < sizeof message.header) {
    lie("a message that is not one of extents");
  }
  std::memcpy(&message.header, data, sizeof message.header);
  const std::uint32_t count = message.header.count;
  if (count > wire::kFdsPerMessage ||
      bytes != sizeof message.header + count * sizeof(wire::ExtentEntry)) {
    lie(std::to_string(count) + " extents in a message of " + std::to_string(bytes) + " bytes");
  }
  message.entries.resize(count);
  if (count > 0) {
    std::memcpy(message.entries.data(),
                static_cast<const char*>(data) + sizeof message.header,
                count * sizeof(wire::ExtentEntry));
  }
  return message;
}

void Inbox::checkPlace(const wire::Extents& header) const {
  const std::uint32_t received = arriving_ ? arriving_->received : 0;
  const bool continues = !arriving_ || arriving_->id == header.grantId;
  if (!continues || header.first != received) {
    lie("extents from index " + std::to_string(header.first) + " of grant " +
        std::to_string(header.grantId) + " out of order");
  }
  const bool end = header.count == 0 && arriving_ && header.total == header.first;
  const bool part = header.count > 0 && header.total >= header.first &&
                    header.count <= header.total - header.first &&
                    (!arriving_ || header.total == arriving_->total);
  if (!end && !part) {
    lie(std::to_string(header.count) + " extents from index " + std::to_string(header.first) +
        " of a grant of " + std::to_string(header.total));
  }
}

void Inbox::checkEntries(const std::vector<wire::ExtentEntry>& entries) const {
  const std::uint64_t largest = granularity_ << kOrderMax;
  for (const auto& entry : entries) {
    if (entry.bytes == 0 || entry.bytes % granularity_ != 0 || entry.bytes > largest) {
      lie("extent " + std::to_string(entry.id) + " of " + std::to_string(entry.bytes) +
          " bytes, not a multiple of " + std::to_string(granularity_) + " up to " +
          std::to_string(largest));
    }
  }
}

// Each descriptor is closed as soon as it is imported: a process that may open 1,024 files can
// take any number of extents.
std::vector<Extent> Inbox::import(const Message& message, std::vector<UniqueFd>& fds) {
  std::vector<Extent> extents;
  extents.reserve(fds.size());
  try {
    for (std::size_t i = 0; i < fds.size(); ++i) {
      const auto& entry = message.entries[i];
      const Handle handle = device_->importHandle(fds[i].get(), entry.bytes);
      fds[i].reset();
      extents.push_back({entry.id, handle, entry.bytes});
    }
    if (fds.size() < message.entries.size()) {
      arriving_->failure = "only " + std::to_string(fds.size()) + " of " +
                           std::to_string(message.entries.size()) +
                           " descriptors could be received: the limit on open files is reached";
    }
  } catch (const std::exception& error) {
    arriving_->failure = std::string("an extent could not be imported: ") + error.what();
  }
  return extents;
}

void Inbox::handOn(std::vector<Extent> extents) {
  if (!extents.empty() && events_.extents) events_.extents(std::move(extents));
}

}  // namespace kvspan
