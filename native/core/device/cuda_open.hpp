// What has to hold of a GPU before the cuda backend takes it, and what it says about itself.
#pragma once

#include <cstdint>
#include <string>

#include "device/cuda_api.hpp"

namespace kvspan::cuda {

// The device of this ordinal, with all that kvspan needs. Throws DeviceUnavailable otherwise.
CUdevice findDevice(const Api& api, int ordinal);
std::string deviceName(const Api& api, CUdevice device);
std::string deviceUuid(const Api& api, CUdevice device);  // "GPU-xxxxxxxx-xxxx-..."
std::string driverVersion(const Api& api);                // "580.159 (CUDA 13.0)"

}  // namespace kvspan::cuda
