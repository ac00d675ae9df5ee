// What the machine says is in use follows what is created: the source that the daemon's books are
// compared with (device/usage.hpp) is worth comparing with.
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "base/error.hpp"
#include "device/usage.hpp"
#include "device_contract.hpp"

namespace kvspan::contract {
namespace {

constexpr std::uint64_t kPages = 64;
// Other programs may take and give back beside this one: one quiet moment will do.
constexpr int kTries = 20;

UsageQuery queryOf(Rig& rig) {
  const auto info = rig.device().info();
  return {info.backend, info.uuid, rig.options().library, {::getpid()}};
}

DeviceUsage ask(const UsageQuery& query) {
  try {
    return readUsage(query);
  } catch (const Error& error) {
    if (error.code() == Code::DeviceUnavailable) throw test::Skip(error.what());
    throw;
  }
}

// What this process has, as far as the machine says it; else what all have.
std::uint64_t taken(const DeviceUsage& usage) {
  return usage.heldBytes.at(0) != kUsageUnseen ? usage.heldBytes.at(0) : usage.usedBytes;
}

}  // namespace

KV_CONTRACT("the machine sees what is created and what is released") {
  // The stand-in's NVML is another library, and sees only a device that is shared.
  ::setenv("KVSPAN_STANDIN_SHARED", std::to_string(::getpid()).c_str(), 0);
  const auto query = queryOf(rig);
  const std::uint64_t bytes = kPages * rig.page();
  std::uint64_t grown = 0, shrunk = 0;
  for (int i = 0; i < kTries && (grown != bytes || shrunk != bytes); ++i) {
    const auto before = taken(ask(query));
    const auto handle = rig.create(kPages);
    const auto between = taken(ask(query));
    rig.device().release(handle);
    const auto after = taken(ask(query));
    grown = between - before;
    shrunk = between - after;
  }
  KV_CHECK_EQ(grown, bytes);
  KV_CHECK_EQ(shrunk, bytes);
}

}  // namespace kvspan::contract
