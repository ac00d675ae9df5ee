// What only the host backend promises: hostile descriptors, address space, children, streams.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "device/device.hpp"
#include "device/host_device.hpp"
#include "device/host_stream.hpp"
#include "harness.hpp"

namespace kvspan {
namespace {

constexpr std::uint64_t kPage = kHostGranularityBytes;
constexpr int kExtentSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

UniqueFd memory(std::uint64_t bytes, int seals) {
  UniqueFd fd(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  KV_CHECK_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  KV_CHECK_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

// The kernel's mappings that lie within a range, whole or in part.
std::uint64_t kernelMappings(Address at, std::uint64_t bytes) {
  std::ifstream file("/proc/self/maps");
  std::uint64_t count = 0;
  for (std::string line; std::getline(file, line);) {
    std::size_t dash = 0;
    const auto begin = std::stoull(line, &dash, 16);
    const auto end = std::stoull(line.substr(dash + 1), nullptr, 16);
    count += begin < at + bytes && end > at;
  }
  return count;
}

std::uint64_t openDescriptors() {
  std::uint64_t count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += ::fcntl(fd, F_GETFD) >= 0;
  return count;
}

}  // namespace

KV_TEST("host device: memory whose size its sender could still change is refused") {
  HostDevice device;
  for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_GROW}) {
    const auto fd = memory(kPage, seals);
    KV_CHECK_THROWS(Code::InvalidArgument, device.importHandle(fd.get(), kPage));
  }
  device.release(device.importHandle(memory(kPage, kExtentSeals).get(), kPage));
}

KV_TEST("host device: memory that cannot be written is refused at once, not at its first mapping") {
  HostDevice device;
  const auto sealed = memory(kPage, kExtentSeals | F_SEAL_FUTURE_WRITE);
  KV_CHECK_THROWS(Code::InvalidArgument, device.importHandle(sealed.get(), kPage));
  const auto fd = memory(kPage, kExtentSeals);
  const auto path = "/proc/self/fd/" + std::to_string(fd.get());
  const UniqueFd readOnly(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  KV_CHECK_THROWS(Code::InvalidArgument, device.importHandle(readOnly.get(), kPage));
}

KV_TEST("host device: an import of another size is refused, and says both sizes") {
  HostDevice device;
  const auto fd = memory(2 * kPage, kExtentSeals);
  try {
    device.importHandle(fd.get(), kPage);
    KV_CHECK(false);
  } catch (const Error& error) {
    const std::string text = error.what();
    KV_CHECK(text.find(std::to_string(kPage)) != std::string::npos);
    KV_CHECK(text.find(std::to_string(2 * kPage)) != std::string::npos);
  }
}

KV_TEST("host device: what it exports cannot be shrunk or grown by a receiver") {
  HostDevice device;
  const auto fd = device.exportHandle(device.create(kPage));
  KV_CHECK(::ftruncate(fd.get(), 0) != 0);
  KV_CHECK(::ftruncate(fd.get(), static_cast<off_t>(2 * kPage)) != 0);
  KV_CHECK(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE) != 0);
}

KV_TEST("host device: descriptors are held for handles only") {
  HostDevice device;
  const auto before = openDescriptors();
  const auto base = device.reserve(16 * kPage, 0);
  for (std::uint64_t i = 0; i < 16; ++i) {
    const auto handle = device.create(kPage);
    device.map(base + i * kPage, handle, kPage);
    device.release(handle);
  }
  KV_CHECK_EQ(openDescriptors(), before);
}

KV_TEST("host device: unmapped ranges merge again, so that mappings of the kernel are not used up") {
  HostDevice device;
  const auto base = device.reserve(64 * kPage, 0);
  const auto handle = device.create(kPage);
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t i = 0; i < 64; i += 2) {
      device.map(base + i * kPage, handle, kPage);
      device.access(base + i * kPage, kPage, Access::ReadWrite);
    }
    KV_CHECK_EQ(kernelMappings(base, 64 * kPage), 64u);
    for (std::uint64_t i = 0; i < 64; i += 2) device.unmap(base + i * kPage, kPage);
  }
  KV_CHECK_EQ(kernelMappings(base, 64 * kPage), 1u);
}

KV_TEST("host device: access backs the memory, so that its first touch is no page fault") {
  HostDevice device;
  const auto at = device.reserve(kPage, 0);
  device.map(at, device.create(kPage), kPage);
  device.access(at, kPage, Access::ReadWrite);
  const auto pageSize = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident(kPage / pageSize);
  KV_CHECK_EQ(::mincore(reinterpret_cast<void*>(at), kPage, resident.data()), 0);
  for (const auto one : resident) KV_CHECK((one & 1) != 0);
}

KV_TEST("host device: a forked child inherits no mapped memory") {
#ifdef __SANITIZE_THREAD__
  throw ::kvspan::test::Skip("the thread sanitizer ends a forked child of a process with threads");
#endif
  HostDevice device;
  const auto at = device.reserve(kPage, 0);
  device.map(at, device.create(kPage), kPage);
  device.access(at, kPage, Access::ReadWrite);
  const pid_t child = ::fork();
  if (child == 0) {
    unsigned char one = 0;
    // ENOMEM: nothing is mapped there.
    ::_exit(::mincore(reinterpret_cast<void*>(at), 4096, &one) == 0 ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  KV_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

KV_TEST("host device: it has no second device") {
  KV_CHECK_THROWS(Code::DeviceUnavailable, openDevice({"host", 1, ""}));
  KV_CHECK_THROWS(Code::InvalidArgument, openDevice({"metal", 0, ""}));
}

KV_TEST("host stream: unknown and destroyed streams are refused, and work is not completed twice") {
  const auto stream = createHostStream();
  KV_CHECK(stream != 0);
  hostStreamSubmit(stream);
  hostStreamComplete(stream);
  KV_CHECK_THROWS(Code::InvalidArgument, hostStreamComplete(stream));
  hostStreamSubmit(stream);
  const auto fence = hostFence(stream);
  KV_CHECK(!fence->reached());
  destroyHostStream(stream);
  KV_CHECK(fence->reached());
  KV_CHECK_THROWS(Code::InvalidArgument, hostStreamSubmit(stream));
  KV_CHECK_THROWS(Code::InvalidArgument, hostFence(stream));
  KV_CHECK_THROWS(Code::InvalidArgument, destroyHostStream(stream));
  KV_CHECK_THROWS(Code::InvalidArgument, hostStreamSubmit(0));
  KV_CHECK(hostFence(0)->reached());
}

}  // namespace kvspan
