#include "device/faulty_device.hpp"

#include <string>
#include <utility>

#include "device/forwarding_device.hpp"

namespace kvspan {
namespace {

constexpr std::array<const char*, kCallCount> kNames{
    "reserve", "unreserve", "create", "release", "export",  "import",
    "map",     "access",    "unmap",  "fence",   "copyIn", "copyOut"};

class FaultyDevice final : public ForwardingDevice {
 public:
  FaultyDevice(std::shared_ptr<Device> inner, std::shared_ptr<FaultPlan> plan)
      : ForwardingDevice(std::move(inner)), plan_(std::move(plan)) {}

  Address reserve(std::uint64_t bytes, Address wanted) override {
    plan_->enter(Call::Reserve);
    return ForwardingDevice::reserve(bytes, wanted);
  }
  void unreserve(Address base, std::uint64_t bytes) override {
    plan_->enter(Call::Unreserve);
    ForwardingDevice::unreserve(base, bytes);
  }
  Handle create(std::uint64_t bytes) override {
    plan_->enter(Call::Create);
    return ForwardingDevice::create(bytes);
  }
  void release(Handle handle) override {
    plan_->enter(Call::Release);
    ForwardingDevice::release(handle);
  }
  UniqueFd exportHandle(Handle handle) override {
    plan_->enter(Call::Export);
    return ForwardingDevice::exportHandle(handle);
  }
  Handle importHandle(int fd, std::uint64_t bytes) override {
    plan_->enter(Call::Import);
    return ForwardingDevice::importHandle(fd, bytes);
  }
  void map(Address at, Handle handle, std::uint64_t bytes) override {
    plan_->enter(Call::Map);
    ForwardingDevice::map(at, handle, bytes);
  }
  void access(Address at, std::uint64_t bytes, kvspan::Access access) override {
    plan_->enter(Call::Access);
    ForwardingDevice::access(at, bytes, access);
  }
  void unmap(Address at, std::uint64_t bytes) override {
    plan_->enter(Call::Unmap);
    ForwardingDevice::unmap(at, bytes);
  }
  std::unique_ptr<kvspan::Fence> fence(Stream stream) override {
    plan_->enter(Call::Fence);
    return ForwardingDevice::fence(stream);
  }
  void copyIn(Address to, std::uint64_t toPitch, const void* from, std::uint64_t fromPitch,
              std::uint64_t width, std::uint64_t rows) override {
    plan_->enter(Call::CopyIn);
    ForwardingDevice::copyIn(to, toPitch, from, fromPitch, width, rows);
  }
  void copyOut(void* to, std::uint64_t toPitch, Address from, std::uint64_t fromPitch,
               std::uint64_t width, std::uint64_t rows) override {
    plan_->enter(Call::CopyOut);
    ForwardingDevice::copyOut(to, toPitch, from, fromPitch, width, rows);
  }

 private:
  std::shared_ptr<FaultPlan> plan_;
};

}  // namespace

void FaultPlan::fail(Call call, std::uint64_t nth, Code code, std::uint64_t count) {
  const std::lock_guard lock(mutex_);
  auto& order = orders_[static_cast<std::size_t>(call)];
  order.failFrom = order.calls + nth;
  order.failUntil = order.failFrom + count;
  order.code = code;
}

void FaultPlan::heal() {
  const std::lock_guard lock(mutex_);
  for (auto& order : orders_) order.failFrom = order.failUntil = 0;
}

std::uint64_t FaultPlan::calls(Call call) const {
  const std::lock_guard lock(mutex_);
  return orders_[static_cast<std::size_t>(call)].calls;
}

void FaultPlan::enter(Call call) {
  const std::lock_guard lock(mutex_);
  const auto index = static_cast<std::size_t>(call);
  auto& order = orders_[index];
  ++order.calls;
  if (order.calls < order.failFrom || order.calls >= order.failUntil) return;
  throw Error(order.code, std::string(kNames[index]) + ": failed on purpose, call number " +
                              std::to_string(order.calls));
}

std::shared_ptr<Device> injectFaults(std::shared_ptr<Device> device,
                                     std::shared_ptr<FaultPlan> plan) {
  return std::make_shared<FaultyDevice>(std::move(device), std::move(plan));
}

}  // namespace kvspan
