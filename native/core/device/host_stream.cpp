#include "device/host_stream.hpp"

#include <atomic>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/error.hpp"

namespace kvspan {
namespace {

struct HostStream {
  std::atomic<std::uint64_t> submitted{0};
  std::atomic<std::uint64_t> completed{0};
  std::atomic<bool> destroyed{false};
};

struct Registry {
  std::mutex mutex;
  std::unordered_map<Stream, std::shared_ptr<HostStream>> streams;
  Stream last = 0;
};

// Never destroyed: fences may outlive static destruction on other threads.
Registry& registry() {
  static auto* const all = new Registry;
  return *all;
}

std::shared_ptr<HostStream> find(const char* call, Stream stream) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().streams.find(stream);
  if (found != registry().streams.end()) return found->second;
  throw Error(Code::InvalidArgument, std::string(call) + ": stream " + std::to_string(stream) +
                                         " is unknown or destroyed");
}

class ReachedFence final : public Fence {
 public:
  bool reached() override { return true; }
};

class HostFence final : public Fence {
 public:
  explicit HostFence(std::shared_ptr<HostStream> stream)
      : stream_(std::move(stream)), point_(stream_->submitted.load()) {}
  bool reached() override {
    return stream_->completed.load() >= point_ || stream_->destroyed.load();
  }

 private:
  std::shared_ptr<HostStream> stream_;
  std::uint64_t point_;
};

}  // namespace

Stream createHostStream() {
  const std::lock_guard lock(registry().mutex);
  const Stream stream = ++registry().last;
  registry().streams.emplace(stream, std::make_shared<HostStream>());
  return stream;
}

void destroyHostStream(Stream stream) {
  const auto found = find("destroyHostStream", stream);
  found->destroyed = true;
  const std::lock_guard lock(registry().mutex);
  registry().streams.erase(stream);
}

void hostStreamSubmit(Stream stream) { ++find("hostStreamSubmit", stream)->submitted; }

void hostStreamComplete(Stream stream) {
  const auto found = find("hostStreamComplete", stream);
  auto done = found->completed.load();
  do {
    if (done >= found->submitted.load()) {
      throw Error(Code::InvalidArgument, "hostStreamComplete: stream " + std::to_string(stream) +
                                             " has no outstanding work (" + std::to_string(done) +
                                             " submitted and completed)");
    }
  } while (!found->completed.compare_exchange_weak(done, done + 1));
}

std::unique_ptr<Fence> hostFence(Stream stream) {
  if (stream == 0) return std::make_unique<ReachedFence>();
  return std::make_unique<HostFence>(find("fence", stream));
}

}  // namespace kvspan
