#include "device/cuda_open.hpp"

#include <cstdio>
#include <fstream>

#include "base/error.hpp"

namespace kvspan::cuda {
namespace {

constexpr int kNameBytes = 128;

[[noreturn]] void unavailable(int ordinal, const std::string& why) {
  throw Error(Code::DeviceUnavailable, "cuda: device " + std::to_string(ordinal) + " " + why);
}

void require(const Api& api, CUdevice device, int ordinal, int attribute, const std::string& what) {
  int value = 0;
  const CUresult result = api.cuDeviceGetAttribute(&value, attribute, device);
  if (result != kSuccess) {
    unavailable(ordinal, "does not say whether it supports " + what + ": " + api.errorName(result));
  }
  if (value == 0) {
    unavailable(ordinal, "(" + deviceName(api, device) + ") does not support " + what +
                             ": use another device, or the host backend");
  }
}

}  // namespace

CUdevice findDevice(const Api& api, int ordinal) {
  int count = 0;
  const CUresult counted = api.cuDeviceGetCount(&count);
  if (counted != kSuccess) unavailable(ordinal, "cannot be looked up: " + api.errorName(counted));
  if (ordinal < 0 || ordinal >= count) {
    unavailable(ordinal, "does not exist: the driver shows " + std::to_string(count) +
                             " (numbered from 0; CUDA_VISIBLE_DEVICES hides and renumbers them)");
  }
  CUdevice device = 0;
  const CUresult got = api.cuDeviceGet(&device, ordinal);
  if (got != kSuccess) unavailable(ordinal, "cannot be opened: " + api.errorName(got));
  require(api, device, ordinal, kAttributeVirtualMemory, "virtual memory management");
  require(api, device, ordinal, kAttributePosixHandle, "memory shared through file descriptors");
  return device;
}

std::string deviceName(const Api& api, CUdevice device) {
  char name[kNameBytes] = {};
  return api.cuDeviceGetName(name, kNameBytes, device) == kSuccess ? name : "unknown GPU";
}

std::string deviceUuid(const Api& api, CUdevice device) {
  CUuuid uuid{};
  if (api.cuDeviceGetUuid(&uuid, device) != kSuccess) return "";
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits;
  }
  return text;
}

std::string driverVersion(const Api& api) {
  int version = 0;
  std::string text = "CUDA unknown";
  if (api.cuDriverGetVersion(&version) == kSuccess) {
    text = "CUDA " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  }
  // The driver API has no call for the driver's own number; its kernel module shows it.
  std::ifstream module("/sys/module/nvidia/version");
  if (std::string number; module >> number) return number + " (" + text + ")";
  return text;
}

}  // namespace kvspan::cuda
