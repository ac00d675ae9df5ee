#include "kernels/cuda/host/launch_api.hpp"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>

#include "base/error.hpp"

namespace kvspan::cuda {
namespace {

std::unique_ptr<LaunchApi> open(const std::string& library) {
  void* const found = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (found == nullptr) {
    throw Error(Code::DeviceUnavailable, "cuda: cannot load " + library);
  }
  auto api = std::make_unique<LaunchApi>();
#define KVSPAN_CUDA(member, exported, parameters)                                      \
  api->member = reinterpret_cast<decltype(api->member)>(::dlsym(found, #exported));    \
  if (api->member == nullptr) {                                                        \
    throw Error(Code::DeviceUnavailable,                                               \
                "cuda: " + library + " has no " #exported                              \
                    ": kernels need a driver for CUDA 11.4 or later");                 \
  }
  KVSPAN_LAUNCH_FUNCTIONS(KVSPAN_CUDA)
  KVSPAN_ELAPSED(KVSPAN_CUDA)
#undef KVSPAN_CUDA
  return api;
}

}  // namespace

const LaunchApi& LaunchApi::load(const std::string& library) {
  // Never destroyed, as the library is never closed.
  static auto* const mutex = new std::mutex;
  static auto* const loaded = new std::map<std::string, std::unique_ptr<LaunchApi>>;
  const std::string path = library.empty() ? "libcuda.so.1" : library;
  const std::lock_guard lock(*mutex);
  auto& api = (*loaded)[path];
  if (!api) api = open(path);
  return *api;
}

}  // namespace kvspan::cuda
