// The part of NVML that kvspan calls (libnvidia-ml.so.1, which every NVIDIA driver brings), declared
// here and found at run time, as the driver API is. It answers what a GPU's memory is used for by all
// processes together, in microseconds and without a context. Layouts and values: NVML API reference.
#pragma once

#include <string>

namespace kvspan::nvml {

using Result = int;
struct DeviceTag;
using DeviceHandle = DeviceTag*;

inline constexpr Result kSuccess = 0;

// nvmlMemory_t, the first version of it: `used` includes what the driver keeps for itself.
struct Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
static_assert(sizeof(Memory) == 24);

class Library {
 public:
  // The NVML beside `cudaLibrary` (a path of libcuda, or empty), else the system's. Loaded once and
  // never closed. Throws DeviceUnavailable; the next call tries again.
  static const Library& load(const std::string& cudaLibrary);

  // By the UUID that the driver API gives ("GPU-..."). Throws DeviceUnavailable for a device that NVML
  // does not show, DeviceFailed for one that does not answer.
  Memory memoryOf(const std::string& uuid) const;

 private:
  explicit Library(const std::string& path);
  std::string errorText(Result result) const;

  Result (*init_)() = nullptr;
  Result (*handleByUuid_)(const char*, DeviceHandle*) = nullptr;
  Result (*memoryInfo_)(DeviceHandle, Memory*) = nullptr;
  const char* (*errorString_)(Result) = nullptr;
};

}  // namespace kvspan::nvml
