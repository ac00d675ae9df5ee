#include "device/usage.hpp"

#include "base/error.hpp"
#include "device/host_memory.hpp"
#include "device/host_usage.hpp"
#include "device/nvml.hpp"

namespace kvspan {
namespace {

DeviceUsage hostUsage(const UsageQuery& query) {
  const auto memory = readHostMemory();
  DeviceUsage usage{memory.totalBytes, memory.totalBytes - memory.freeBytes, memory.freeBytes, {}};
  for (const pid_t process : query.processes) {
    usage.heldBytes.push_back(hostBytesOf(process).value_or(kUsageUnseen));
  }
  return usage;
}

DeviceUsage cudaUsage(const UsageQuery& query) {
  const auto memory = nvml::Library::load(query.library).memoryOf(query.uuid);
  // The driver does not say which process has which of the memory that passes between them.
  return {memory.total, memory.used, memory.free,
          std::vector<std::uint64_t>(query.processes.size(), kUsageUnseen)};
}

}  // namespace

DeviceUsage readUsage(const UsageQuery& query) {
  if (query.backend == "host") return hostUsage(query);
  if (query.backend == "cuda") return cudaUsage(query);
  throw Error::badField("backend", query.backend, "host, cuda");
}

}  // namespace kvspan
