#include "device/nvml.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <mutex>

#include "base/error.hpp"

namespace kvspan::nvml {
namespace {

constexpr const char* kName = "libnvidia-ml.so.1";

[[noreturn]] void unavailable(const std::string& why) {
  throw Error(Code::DeviceUnavailable, "nvml: " + why);
}

// A driver's libraries lie together: whoever names one libcuda means its NVML, too.
std::string pathFor(const std::string& cudaLibrary) {
  const auto slash = cudaLibrary.find_last_of('/');
  if (slash == std::string::npos) return kName;
  const std::string beside = cudaLibrary.substr(0, slash + 1) + kName;
  return ::access(beside.c_str(), R_OK) == 0 ? beside : kName;
}

template <typename Function>
void find(void* library, const std::string& path, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr) unavailable(path + " has no " + name);
}

}  // namespace

Library::Library(const std::string& path) {
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = ::dlerror();
    unavailable("cannot load " + std::string(why != nullptr ? why : path));
  }
  find(library, path, "nvmlInit_v2", init_);
  find(library, path, "nvmlDeviceGetHandleByUUID", handleByUuid_);
  find(library, path, "nvmlDeviceGetMemoryInfo", memoryInfo_);
  find(library, path, "nvmlErrorString", errorString_);
  const Result result = init_();
  if (result != kSuccess) unavailable("nvmlInit_v2: " + errorText(result));
}

const Library& Library::load(const std::string& cudaLibrary) {
  // Never destroyed, as the library is never closed.
  static auto* const mutex = new std::mutex;
  static auto* const loaded = new std::map<std::string, std::unique_ptr<Library>>;
  const std::string path = pathFor(cudaLibrary);
  const std::lock_guard lock(*mutex);
  auto& library = (*loaded)[path];
  if (!library) library.reset(new Library(path));
  return *library;
}

Memory Library::memoryOf(const std::string& uuid) const {
  DeviceHandle device = nullptr;
  const Result found = handleByUuid_(uuid.c_str(), &device);
  if (found != kSuccess) unavailable("no device " + uuid + ": " + errorText(found));
  Memory memory{};
  const Result read = memoryInfo_(device, &memory);
  if (read == kSuccess) return memory;
  throw Error(Code::DeviceFailed, "nvmlDeviceGetMemoryInfo(" + uuid + "): " + errorText(read));
}

std::string Library::errorText(Result result) const {
  const char* const text = errorString_(result);
  return text != nullptr ? text : "NVML error " + std::to_string(result);
}

}  // namespace kvspan::nvml
