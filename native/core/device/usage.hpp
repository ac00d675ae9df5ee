// What a machine itself says of a device's memory, for whoever keeps books of it: asked of the driver
// (cuda: NVML, which needs no context) or the kernel (host), never of our own records.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace kvspan {

// Of a process that may not be looked at, or on a backend that does not say.
inline constexpr std::uint64_t kUsageUnseen = std::numeric_limits<std::uint64_t>::max();

struct DeviceUsage {
  std::uint64_t totalBytes = 0;
  // By anybody: other programs, contexts, the driver itself.
  std::uint64_t usedBytes = 0;
  std::uint64_t freeBytes = 0;
  // For each process that was asked about: what it has of kvspan's memory, or kUsageUnseen.
  std::vector<std::uint64_t> heldBytes;
};

struct UsageQuery {
  std::string backend;  // "host" or "cuda"
  std::string uuid;     // cuda: of the device, as DeviceInfo has it
  std::string library;  // cuda: path of libcuda; NVML is looked for beside it, then in the system
  std::vector<pid_t> processes;
};

// May take milliseconds on the host backend (it reads /proc). Throws DeviceUnavailable where there is
// nobody to ask, DeviceFailed where whoever was asked failed.
DeviceUsage readUsage(const UsageQuery& query);

}  // namespace kvspan
