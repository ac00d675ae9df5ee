// A stand-in for libnvidia-ml.so.1 beside that of libcuda.so.1: the same device, seen from outside. It
// counts what all processes have, so KVSPAN_STANDIN_SHARED must name the device that they share.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../abi.hpp"

namespace {

// nvmlReturn_t
constexpr int kUninitialized = 1;
constexpr int kInvalidArgument = 2;
constexpr int kNotFound = 6;
constexpr int kDriverNotLoaded = 9;
constexpr int kGpuIsLost = 15;

constexpr std::size_t kDefaultBytes = 8ull << 30;

struct Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

int device;  // its address is the handle
bool started = false;

bool lacks(const char* what) {
  const char* const text = std::getenv("KVSPAN_STANDIN_LACKS");
  return text != nullptr && std::strcmp(text, what) == 0;
}

std::size_t totalBytes() {
  const char* const text = std::getenv("KVSPAN_STANDIN_BYTES");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : kDefaultBytes;
}

int lastByte() {
  const char* const serial = std::getenv("KVSPAN_STANDIN_SERIAL");
  return serial != nullptr ? std::atoi(serial) & 0xff : 15;
}

}  // namespace

STANDIN_API nvmlInit_v2() {
  if (lacks("nvml")) return kDriverNotLoaded;
  started = true;
  return standin::Success;
}

STANDIN_API nvmlDeviceGetHandleByUUID(const char* uuid, void** handle) {
  if (!started) return kUninitialized;
  if (uuid == nullptr || handle == nullptr) return kInvalidArgument;
  char own[64];
  std::snprintf(own, sizeof own, "GPU-00010203-0405-0607-0809-0a0b0c0d0e%02x", lastByte());
  if (std::strcmp(uuid, own) != 0) return kNotFound;
  *handle = &device;
  return standin::Success;
}

STANDIN_API nvmlDeviceGetMemoryInfo(void* handle, Memory* memory) {
  if (handle != &device || memory == nullptr) return kInvalidArgument;
  if (lacks("gpu")) return kGpuIsLost;
  const std::size_t used = standin::usedBytes();
  memory->total = totalBytes();
  memory->used = used;
  memory->free = memory->total > used ? memory->total - used : 0;
  return standin::Success;
}

extern "C" __attribute__((visibility("default"))) const char* nvmlErrorString(int result) {
  switch (result) {
    case standin::Success: return "Success";
    case kUninitialized: return "Uninitialized";
    case kNotFound: return "Not Found";
    case kDriverNotLoaded: return "Driver Not Loaded";
    case kGpuIsLost: return "GPU is lost";
    default: return "Invalid Argument";
  }
}
