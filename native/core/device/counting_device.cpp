#include "device/counting_device.hpp"

#include <utility>

#include "device/forwarding_device.hpp"

namespace kvspan {
namespace {

thread_local std::uint64_t calls = 0;

class CountingDevice final : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;

  Address reserve(std::uint64_t bytes, Address wanted) override {
    ++calls;
    return ForwardingDevice::reserve(bytes, wanted);
  }
  void unreserve(Address base, std::uint64_t bytes) override {
    ++calls;
    ForwardingDevice::unreserve(base, bytes);
  }
  Handle create(std::uint64_t bytes) override {
    ++calls;
    return ForwardingDevice::create(bytes);
  }
  void release(Handle handle) override {
    ++calls;
    ForwardingDevice::release(handle);
  }
  UniqueFd exportHandle(Handle handle) override {
    ++calls;
    return ForwardingDevice::exportHandle(handle);
  }
  Handle importHandle(int fd, std::uint64_t bytes) override {
    ++calls;
    return ForwardingDevice::importHandle(fd, bytes);
  }
  void map(Address at, Handle handle, std::uint64_t bytes) override {
    ++calls;
    ForwardingDevice::map(at, handle, bytes);
  }
  void access(Address at, std::uint64_t bytes, Access access) override {
    ++calls;
    ForwardingDevice::access(at, bytes, access);
  }
  void unmap(Address at, std::uint64_t bytes) override {
    ++calls;
    ForwardingDevice::unmap(at, bytes);
  }
  std::unique_ptr<Fence> fence(Stream stream) override {
    ++calls;
    return ForwardingDevice::fence(stream);
  }
};

}  // namespace

std::uint64_t driverCallsOfThisThread() noexcept { return calls; }

std::shared_ptr<Device> countCalls(std::shared_ptr<Device> device) {
  return std::make_shared<CountingDevice>(std::move(device));
}

}  // namespace kvspan
