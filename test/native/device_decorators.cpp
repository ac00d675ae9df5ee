// The decorators: counting and fault injection.
#include <thread>

#include "device/counting_device.hpp"
#include "device/faulty_device.hpp"
#include "device/host_device.hpp"
#include "harness.hpp"

namespace kvspan {
namespace {

constexpr std::uint64_t kPage = kHostGranularityBytes;

std::string messageOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

KV_TEST("counting device: every driver call counts once, and nothing else does") {
  const auto device = countCalls(std::make_shared<HostDevice>());
  const auto start = driverCallsOfThisThread();
  const auto counted = [&] { return driverCallsOfThisThread() - start; };
  const auto at = device->reserve(kPage, 0);
  const auto handle = device->create(kPage);
  const auto fd = device->exportHandle(handle);
  const auto imported = device->importHandle(fd.get(), kPage);
  KV_CHECK_EQ(counted(), 4u);
  device->map(at, imported, kPage);
  device->access(at, kPage, Access::ReadWrite);
  const auto fence = device->fence(0);
  KV_CHECK_EQ(counted(), 7u);
  std::uint64_t word = 1;
  device->copyIn(at, 8, &word, 8, 8, 1);
  device->copyOut(&word, 8, at, 8, 8, 1);
  device->info();
  device->granularity();
  fence->reached();
  KV_CHECK_EQ(counted(), 7u);
  device->unmap(at, kPage);
  device->release(handle);
  device->release(imported);
  device->unreserve(at, kPage);
  KV_CHECK_EQ(counted(), 11u);
}

KV_TEST("counting device: a call that fails counts too") {
  const auto device = countCalls(std::make_shared<HostDevice>());
  const auto start = driverCallsOfThisThread();
  KV_CHECK_THROWS(Code::InvalidArgument, device->release(99));
  KV_CHECK_EQ(driverCallsOfThisThread() - start, 1u);
}

KV_TEST("counting device: threads count apart") {
  const auto device = countCalls(std::make_shared<HostDevice>());
  const auto start = driverCallsOfThisThread();
  std::uint64_t others = 0;
  std::thread([&] {
    for (int i = 0; i < 5; ++i) device->release(device->create(kPage));
    others = driverCallsOfThisThread();
  }).join();
  KV_CHECK_EQ(others, 10u);
  KV_CHECK_EQ(driverCallsOfThisThread() - start, 0u);
}

KV_TEST("faulty device: fails the calls that it was told to, and no other") {
  const auto plan = std::make_shared<FaultPlan>();
  const auto device = injectFaults(std::make_shared<HostDevice>(), plan);
  plan->fail(Call::Create, 3, Code::DeviceExhausted, 2);
  device->create(kPage);
  device->create(kPage);
  KV_CHECK_THROWS(Code::DeviceExhausted, device->create(kPage));
  device->reserve(kPage, 0);
  KV_CHECK_THROWS(Code::DeviceExhausted, device->create(kPage));
  device->create(kPage);
  KV_CHECK_EQ(plan->calls(Call::Create), 5u);
  KV_CHECK_EQ(plan->calls(Call::Reserve), 1u);
  KV_CHECK_EQ(plan->calls(Call::Map), 0u);
}

KV_TEST("faulty device: a failed call has no effect, and a healed device none of its faults") {
  const auto plan = std::make_shared<FaultPlan>();
  const auto device = injectFaults(std::make_shared<HostDevice>(), plan);
  const auto at = device->reserve(kPage, 0);
  const auto handle = device->create(kPage);
  plan->fail(Call::Map);
  KV_CHECK_THROWS(Code::DeviceFailed, device->map(at, handle, kPage));
  device->map(at, handle, kPage);
  plan->fail(Call::Unmap, 1, Code::DeviceFailed, 1000);
  KV_CHECK_THROWS(Code::DeviceFailed, device->unmap(at, kPage));
  KV_CHECK_THROWS(Code::DeviceFailed, device->unmap(at, kPage));
  plan->heal();
  device->unmap(at, kPage);
}

KV_TEST("faulty device: every kind of call can be made to fail, and names itself") {
  const auto plan = std::make_shared<FaultPlan>();
  const auto device = injectFaults(std::make_shared<HostDevice>(), plan);
  std::uint64_t word = 0;
  const std::vector<std::pair<const char*, std::function<void()>>> all{
      {"reserve", [&] { device->reserve(kPage, 0); }},
      {"unreserve", [&] { device->unreserve(0, 0); }},
      {"create", [&] { device->create(kPage); }},
      {"release", [&] { device->release(1); }},
      {"export", [&] { device->exportHandle(1); }},
      {"import", [&] { device->importHandle(0, kPage); }},
      {"map", [&] { device->map(0, 1, kPage); }},
      {"access", [&] { device->access(0, kPage, Access::Read); }},
      {"unmap", [&] { device->unmap(0, kPage); }},
      {"fence", [&] { device->fence(0); }},
      {"copyIn", [&] { device->copyIn(0, 8, &word, 8, 8, 1); }},
      {"copyOut", [&] { device->copyOut(&word, 8, 0, 8, 8, 1); }},
  };
  KV_CHECK_EQ(all.size(), kCallCount);
  for (std::size_t kind = 0; kind < kCallCount; ++kind) {
    plan->fail(static_cast<Call>(kind));
    const auto text = messageOf(all[kind].second);
    KV_CHECK_EQ(text, std::string(all[kind].first) + ": failed on purpose, call number 1");
  }
}

}  // namespace kvspan
