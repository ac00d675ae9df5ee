// What the kernel says about this machine's memory.
#pragma once

#include <cstdint>
#include <string>

namespace kvspan {

struct HostMemory {
  std::uint64_t totalBytes = 0;  // of the machine, or of the control group if that is less
  std::uint64_t freeBytes = 0;   // available without swapping, under the same limit
};

HostMemory readHostMemory();
std::string hostCpuName();
std::string hostKernelRelease();

}  // namespace kvspan
