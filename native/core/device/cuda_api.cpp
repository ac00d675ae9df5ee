#include "device/cuda_api.hpp"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>

#include "base/error.hpp"

namespace kvspan::cuda {
namespace {

constexpr const char* kSystemLibrary = "libcuda.so.1";

[[noreturn]] void unavailable(const std::string& why) {
  throw Error(Code::DeviceUnavailable, "cuda: " + why);
}

std::unique_ptr<Api> open(const std::string& library) {
  void* const found = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (found == nullptr) {
    const char* const why = ::dlerror();
    unavailable("cannot load the NVIDIA driver's library (" + std::string(why ? why : library) +
                "): install the driver, give the path of its libcuda, or use the host backend");
  }
  auto api = std::make_unique<Api>();
#define KVSPAN_CUDA(member, exported, parameters)                                         \
  api->member = reinterpret_cast<decltype(api->member)>(::dlsym(found, #exported));       \
  if (api->member == nullptr) {                                                           \
    unavailable(library + " has no " #exported ": a driver for CUDA 11.4 or later is needed"); \
  }
  KVSPAN_CUDA_FUNCTIONS(KVSPAN_CUDA)
#undef KVSPAN_CUDA
  const CUresult result = api->cuInit(0);
  if (result == kSuccess) return api;
  unavailable("cuInit failed with " + api->errorName(result) +
              (result == kNoDevice
                   ? ": the driver sees no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES and, in a "
                     "container, that the GPU is passed in"
                   : ": check that the kernel module is loaded and matches the library "
                     "(nvidia-smi)"));
}

Code codeOf(CUresult result) {
  switch (result) {
    case kOutOfMemory:
      return Code::DeviceExhausted;
    case kInvalidValue:
    case kInvalidHandle:
    case kNotSupported:  // the driver's answer to mapping a part of a handle
      return Code::InvalidArgument;
    default:
      return Code::DeviceFailed;
  }
}

}  // namespace

const Api& Api::load(const std::string& library) {
  // Never destroyed, as the library is never closed.
  static auto* const mutex = new std::mutex;
  static auto* const loaded = new std::map<std::string, std::unique_ptr<Api>>;
  const std::string path = library.empty() ? kSystemLibrary : library;
  const std::lock_guard lock(*mutex);
  auto& api = (*loaded)[path];
  if (!api) api = open(path);
  return *api;
}

std::string Api::errorName(CUresult result) const {
  const char* name = nullptr;
  if (cuGetErrorName(result, &name) == kSuccess && name != nullptr) return name;
  return "CUDA error " + std::to_string(result);
}

void Api::check(CUresult result, const char* call, const std::string& what) const {
  if (result == kSuccess) return;
  throw Error(codeOf(result), std::string(call) + "(" + what + "): " + errorName(result));
}

}  // namespace kvspan::cuda
