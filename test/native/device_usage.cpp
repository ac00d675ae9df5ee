// What a machine says of a device's memory: the kernel of the host backend's, NVML of a GPU's.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "base/error.hpp"
#include "base/unique_fd.hpp"
#include "device/device.hpp"
#include "device/usage.hpp"
#include "harness.hpp"
#include "stand_in.hpp"

namespace kvspan {
namespace {

using test::standIn;
using test::Variable;

constexpr std::uint64_t kPage = 2ull << 20;
constexpr const char* kUuid = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f";

std::uint64_t heldOf(pid_t process) { return readUsage({"host", "", "", {process}}).heldBytes.at(0); }

DeviceUsage ofStandIn() { return readUsage({"cuda", kUuid, standIn(), {::getpid()}}); }

Code codeOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  throw test::Failure("answered");
}

}  // namespace

KV_TEST("usage: the kernel knows a process's extents, open or only mapped, each once") {
  const auto device = openDevice({"host", 0, ""});
  const auto before = heldOf(::getpid());
  const Handle first = device->create(kPage);
  const Handle second = device->create(4 * kPage);
  KV_CHECK_EQ(heldOf(::getpid()) - before, 5 * kPage);
  const Address at = device->reserve(8 * kPage, 0);
  device->map(at, second, 4 * kPage);
  device->access(at, 4 * kPage, Access::ReadWrite);
  KV_CHECK_EQ(heldOf(::getpid()) - before, 5 * kPage);
  // Mapped in pieces, as the kernel shows it, with the descriptor closed.
  ::mprotect(reinterpret_cast<void*>(at + kPage), kPage, PROT_READ);
  device->release(second);
  KV_CHECK_EQ(heldOf(::getpid()) - before, 5 * kPage);
  device->unmap(at, 4 * kPage);
  KV_CHECK_EQ(heldOf(::getpid()) - before, kPage);
  device->release(first);
  KV_CHECK_EQ(heldOf(::getpid()), before);
}

KV_TEST("usage: memory of another kind is not counted, and what is free is within what there is") {
  const auto before = heldOf(::getpid());
  const UniqueFd other(::memfd_create("kvspan-not", MFD_CLOEXEC));
  KV_CHECK_EQ(::ftruncate(other.get(), kPage), 0);
  const auto usage = readUsage({"host", "", "", {::getpid()}});
  KV_CHECK_EQ(usage.heldBytes.at(0), before);
  KV_CHECK(usage.freeBytes > 0 && usage.freeBytes <= usage.totalBytes);
  KV_CHECK_EQ(usage.usedBytes, usage.totalBytes - usage.freeBytes);
}

KV_TEST("usage: a process that is gone cannot be seen") {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  KV_CHECK_EQ(heldOf(child), kUsageUnseen);
}

KV_TEST("usage: NVML counts what every process has of the device") {
  const Variable shared("KVSPAN_STANDIN_SHARED", "usage-test");
  const auto device = openDevice({"cuda", 0, standIn(), true});
  const auto before = ofStandIn();
  const Handle handle = device->create(8 * kPage);
  const auto after = ofStandIn();
  KV_CHECK_EQ(after.usedBytes - before.usedBytes, 8 * kPage);
  KV_CHECK_EQ(before.freeBytes - after.freeBytes, 8 * kPage);
  KV_CHECK_EQ(after.totalBytes, 8ull << 30);
  // It does not say whose it is.
  KV_CHECK_EQ(after.heldBytes.at(0), kUsageUnseen);
  device->release(handle);
  KV_CHECK_EQ(ofStandIn().usedBytes, before.usedBytes);
}

KV_TEST("usage: without NVML, its device or an answer the error says which") {
  const auto ask = [](const std::string& uuid, const std::string& library) {
    return [=] { readUsage({"cuda", uuid, library, {}}); };
  };
  KV_CHECK_EQ(codeOf(ask("GPU-of-nobody", standIn())), Code::DeviceUnavailable);
  const Variable lost("KVSPAN_STANDIN_LACKS", "gpu");
  KV_CHECK_EQ(codeOf(ask(kUuid, standIn())), Code::DeviceFailed);
  KV_CHECK_EQ(codeOf([] { readUsage({"fpga", "", "", {}}); }), Code::InvalidArgument);
}

KV_TEST("usage: a driver that is not loaded is unavailable, and asked again the next time") {
  const auto ask = [] { return ofStandIn(); };
  {
    const Variable none("KVSPAN_STANDIN_LACKS", "nvml");
    KV_CHECK_EQ(codeOf(ask), Code::DeviceUnavailable);
  }
  KV_CHECK(ask().totalBytes > 0);
}

}  // namespace kvspan
