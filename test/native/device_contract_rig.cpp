#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "cuda_stream.hpp"
#include "device/host_stream.hpp"
#include "device_contract.hpp"

namespace kvspan::contract {
namespace {

constexpr auto kFenceWait = std::chrono::seconds(60);
constexpr auto kFencePoll = std::chrono::microseconds(200);
constexpr const char* kStandInName = "stand-in";

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe openPipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw test::Failure("pipe2 failed");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

class HostHeldStream final : public HeldStream {
 public:
  HostHeldStream() : stream_(createHostStream()) {}
  ~HostHeldStream() override { destroyHostStream(stream_); }
  Stream stream() const override { return stream_; }
  void submit() override { hostStreamSubmit(stream_); }
  void complete() override { hostStreamComplete(stream_); }

 private:
  Stream stream_;
};

class CudaHeldStream final : public HeldStream {
 public:
  explicit CudaHeldStream(const std::string& library) : stream_(library) {}
  Stream stream() const override { return stream_.stream(); }
  void submit() override { stream_.submit(); }
  void complete() override { stream_.complete(); }

 private:
  test::CudaStream stream_;
};

}  // namespace

std::vector<ContractCase>& contractCases() {
  static std::vector<ContractCase> all;
  return all;
}

Rig::Rig(const DeviceOptions& options)
    : options_(options),
      device_(openDevice(options)),
      page_(device_->granularity()),
      cpuAddressable_(options.backend == "host" || device_->info().name == kStandInName) {}

void Rig::map(Address at, Handle handle, std::uint64_t pages) {
  device_->map(at, handle, pages * page_);
}

void Rig::map(Address at, Handle handle, std::uint64_t pages, Access access) {
  map(at, handle, pages);
  device_->access(at, pages * page_, access);
}

Address Rig::mapped(std::uint64_t pages, Access access) {
  const auto at = reserve(pages);
  map(at, create(pages), pages, access);
  return at;
}

void Rig::put(Address at, std::uint64_t value) {
  device_->copyIn(at, sizeof value, &value, sizeof value, sizeof value, 1);
}

std::uint64_t Rig::get(Address at) {
  std::uint64_t value = 0;
  device_->copyOut(&value, sizeof value, at, sizeof value, sizeof value, 1);
  return value;
}

bool Rig::readable(Address at) {
  if (cpuAddressable_) {
    const auto ends = openPipe();
    return ::write(ends.write.get(), reinterpret_cast<void*>(at), sizeof at) == sizeof at;
  }
  try {
    get(at);
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool Rig::writable(Address at) {
  std::uint64_t value = 0;
  if (!readable(at)) return false;
  if (!cpuAddressable_) {
    try {
      put(at, get(at));
      return true;
    } catch (const Error&) {
      return false;
    }
  }
  // The word goes through a pipe and back to where it came from.
  const auto ends = openPipe();
  if (::write(ends.write.get(), reinterpret_cast<void*>(at), sizeof value) != sizeof value) {
    return false;
  }
  return ::read(ends.read.get(), reinterpret_cast<void*>(at), sizeof value) == sizeof value;
}

std::unique_ptr<HeldStream> HeldStream::open(Rig& rig) {
  if (rig.options().backend == "host") return std::make_unique<HostHeldStream>();
  if (rig.options().ordinal != 0) throw test::Skip("streams are held on device 0 only");
  return std::make_unique<CudaHeldStream>(rig.options().library);
}

bool reachedSoon(Fence& fence) {
  const auto end = std::chrono::steady_clock::now() + kFenceWait;
  while (std::chrono::steady_clock::now() < end) {
    if (fence.reached()) return true;
    std::this_thread::sleep_for(kFencePoll);
  }
  return fence.reached();
}

}  // namespace kvspan::contract
