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
// A driver may account in larger pieces than it was asked for; a kernel does not.
constexpr std::uint64_t kSlackBytes = 16ull << 20;
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

bool isNear(std::uint64_t got, std::uint64_t bytes, const DeviceUsage& usage) {
  const bool exact = usage.heldBytes.at(0) != kUsageUnseen;
  return got >= bytes && got - bytes <= (exact ? 0 : kSlackBytes);
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
  for (int i = 0; i < kTries; ++i) {
    const auto before = ask(query);
    const auto handle = rig.create(kPages);
    const auto between = ask(query);
    rig.device().release(handle);
    const auto after = ask(query);
    grown = taken(between) - taken(before);
    shrunk = taken(between) - taken(after);
    if (isNear(grown, bytes, before) && isNear(shrunk, bytes, before)) return;
  }
  throw test::Failure("created " + std::to_string(bytes) + " bytes: in use " +
                      std::to_string(grown) + " more; released: " + std::to_string(shrunk) +
                      " less");
}

}  // namespace kvspan::contract
