// Initialisation, the one device, and contexts.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "abi.hpp"

namespace standin {
namespace {

constexpr std::size_t kDefaultBytes = 8ull << 30;
constexpr int kVersion = 13000;
constexpr int kAttributeVmm = 102;
constexpr int kAttributeFd = 103;
constexpr int kUuidBytes = 16;

std::atomic<bool> started{false};
std::atomic<bool> ended{false};
std::atomic<int> retained{0};
int primary;  // its address is the context
thread_local std::vector<void*> contexts;

// What the attributes say that only kernels ask for: a Hopper, and a small one.
int attributeOf(int attribute) {
  switch (attribute) {
    case 13: return 1'980'000;                   // CLOCK_RATE
    case 16: return 4;                           // MULTIPROCESSOR_COUNT
    case 36: return 2'619'000;                   // MEMORY_CLOCK_RATE
    case 38: return 1 << 20;                     // L2_CACHE_SIZE
    case 75: return lacks("compute") ? 7 : 9;    // COMPUTE_CAPABILITY_MAJOR
    case 76: return lacks("compute") ? 5 : 0;    // COMPUTE_CAPABILITY_MINOR
    case 81: return 228 * 1024;                  // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
    case 97: return 227 * 1024;                  // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    default: return -1;
  }
}

int checkDevice(int device) {
  if (const int result = needDriver()) return result;
  return device == 0 ? Success : InvalidDevice;
}

// Threads of the process may still call when the driver has gone.
__attribute__((destructor)) void end() { ended = true; }

}  // namespace

int needDriver() {
  if (ended) return Deinitialized;
  return started ? Success : NotInitialized;
}

int needContext() {
  if (const int result = needDriver()) return result;
  return !contexts.empty() && retained > 0 ? Success : InvalidContext;
}

std::size_t totalBytes() {
  const char* const text = std::getenv("KVSPAN_STANDIN_BYTES");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : kDefaultBytes;
}

bool lacks(const char* what) {
  const char* const text = std::getenv("KVSPAN_STANDIN_LACKS");
  return text != nullptr && std::strcmp(text, what) == 0;
}

}  // namespace standin

using namespace standin;

// For tests: what every call says from here on is what it says while the process ends.
STANDIN_API standInEnd() {
  end();
  return Success;
}

// For tests: how often the primary context is retained.
STANDIN_API standInRetained() { return retained; }

STANDIN_API cuInit(unsigned flags) {
  if (flags != 0) return InvalidValue;
  if (lacks("device")) return NoDevice;
  started = true;
  return Success;
}

STANDIN_API cuDriverGetVersion(int* version) {
  *version = kVersion;
  return Success;
}

STANDIN_API cuGetErrorName(int result, const char** name) {
  switch (result) {
    case Success: *name = "CUDA_SUCCESS"; return Success;
    case InvalidValue: *name = "CUDA_ERROR_INVALID_VALUE"; return Success;
    case OutOfMemory: *name = "CUDA_ERROR_OUT_OF_MEMORY"; return Success;
    case NotInitialized: *name = "CUDA_ERROR_NOT_INITIALIZED"; return Success;
    case Deinitialized: *name = "CUDA_ERROR_DEINITIALIZED"; return Success;
    case NoDevice: *name = "CUDA_ERROR_NO_DEVICE"; return Success;
    case InvalidDevice: *name = "CUDA_ERROR_INVALID_DEVICE"; return Success;
    case InvalidContext: *name = "CUDA_ERROR_INVALID_CONTEXT"; return Success;
    case NoBinaryForGpu: *name = "CUDA_ERROR_NO_BINARY_FOR_GPU"; return Success;
    case UnsupportedPtxVersion: *name = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"; return Success;
    case NotFound: *name = "CUDA_ERROR_NOT_FOUND"; return Success;
    case InvalidHandle: *name = "CUDA_ERROR_INVALID_HANDLE"; return Success;
    case NotReady: *name = "CUDA_ERROR_NOT_READY"; return Success;
    case NotSupported: *name = "CUDA_ERROR_NOT_SUPPORTED"; return Success;
    case CaptureUnsupported: *name = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"; return Success;
    case CaptureInvalidated: *name = "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"; return Success;
    default: *name = nullptr; return InvalidValue;
  }
}

STANDIN_API cuDeviceGetCount(int* count) {
  if (const int result = needDriver()) return result;
  *count = 1;
  return Success;
}

STANDIN_API cuDeviceGet(int* device, int ordinal) {
  if (const int result = checkDevice(ordinal)) return result;
  *device = ordinal;
  return Success;
}

STANDIN_API cuDeviceGetName(char* name, int bytes, int device) {
  if (const int result = checkDevice(device)) return result;
  std::strncpy(name, "stand-in", static_cast<std::size_t>(bytes));
  return Success;
}

STANDIN_API cuDeviceGetUuid_v2(char* uuid, int device) {
  if (const int result = checkDevice(device)) return result;
  for (int i = 0; i < kUuidBytes; ++i) uuid[i] = static_cast<char>(i);
  const char* const serial = std::getenv("KVSPAN_STANDIN_SERIAL");
  if (serial != nullptr) uuid[kUuidBytes - 1] = static_cast<char>(std::atoi(serial));
  return Success;
}

STANDIN_API cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (const int result = checkDevice(device)) return result;
  if (const int known = attributeOf(attribute); known >= 0) {
    *value = known;
    return Success;
  }
  if (attribute != kAttributeVmm && attribute != kAttributeFd) return InvalidValue;
  *value = !lacks(attribute == kAttributeVmm ? "vmm" : "fd");
  return Success;
}

STANDIN_API cuDevicePrimaryCtxRetain(void** context, int device) {
  if (const int result = checkDevice(device)) return result;
  ++retained;
  *context = &primary;
  return Success;
}

STANDIN_API cuDevicePrimaryCtxRelease_v2(int device) {
  if (const int result = checkDevice(device)) return result;
  if (retained == 0) return InvalidContext;
  --retained;
  return Success;
}

STANDIN_API cuCtxGetCurrent(void** context) {
  if (const int result = needDriver()) return result;
  *context = contexts.empty() ? nullptr : contexts.back();
  return Success;
}

STANDIN_API cuCtxPushCurrent_v2(void* context) {
  if (const int result = needDriver()) return result;
  if (context != &primary || retained == 0) return InvalidContext;
  contexts.push_back(context);
  return Success;
}

STANDIN_API cuCtxPopCurrent_v2(void** context) {
  if (const int result = needDriver()) return result;
  if (contexts.empty()) return InvalidContext;
  *context = contexts.back();
  contexts.pop_back();
  return Success;
}

STANDIN_API cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  if (const int result = needContext()) return result;
  *total = totalBytes();
  *free = *total > usedBytes() ? *total - usedBytes() : 0;
  return Success;
}
