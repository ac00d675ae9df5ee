#include "kernels/cuda/host/library.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace kvspan::attention {
namespace {

[[noreturn]] void unavailable(const std::string& why) {
  throw Error(Code::DeviceUnavailable, "kernels: " + why);
}

constexpr const char* kHowToBuild =
    "the bundle carries the kernels; in a checkout `npm run kernels` builds them";

std::vector<char> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) unavailable("no " + path + ": " + kHowToBuild);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

void checkKernelFolder(const std::string& folder) {
  std::error_code ignored;
  if (std::filesystem::exists(folder + "/read.fatbin", ignored)) return;
  unavailable("no compiled kernels in " + folder + ": " + kHowToBuild);
}

KernelLibrary::KernelLibrary(std::shared_ptr<Gpu> gpu, std::string folder)
    : gpu_(std::move(gpu)), folder_(std::move(folder)) {
  checkKernelFolder(folder_);
}

KernelLibrary::~KernelLibrary() {
  // A module must not go while a kernel of it runs.
  gpu_->drain();
  const CudaContext::Scope scope(gpu_->context());
  for (const auto& [file, module] : modules_) gpu_->launch().cuModuleUnload(module);
}

cuda::CUmodule KernelLibrary::module(const std::string& file) {
  const auto known = modules_.find(file);
  if (known != modules_.end()) return known->second;
  const std::string path = folder_ + "/" + file + ".fatbin";
  const auto image = read(path);
  cuda::CUmodule module = nullptr;
  const auto result = gpu_->launch().cuModuleLoadData(&module, image.data());
  if (result == cuda::kNoBinaryForGpu || result == cuda::kUnsupportedPtxVersion) {
    unavailable("the driver (" + gpu_->facts().driver + ") cannot load " + path + " for " +
                gpu_->facts().name + " (" + gpu_->api().errorName(result) +
                "): a driver for CUDA 13 or later is needed, or kernels compiled by an older nvcc");
  }
  if (result != cuda::kSuccess) {
    unavailable("cannot load " + path + ": " + gpu_->api().errorName(result));
  }
  modules_[file] = module;
  return module;
}

cuda::CUfunction KernelLibrary::kernel(const std::string& file, const std::string& name,
                                       int sharedBytes) {
  const auto known = kernels_.find(name);
  if (known != kernels_.end()) return known->second;
  const CudaContext::Scope scope(gpu_->context());
  cuda::CUfunction function = nullptr;
  const auto result = gpu_->launch().cuModuleGetFunction(&function, module(file), name.c_str());
  if (result == cuda::kNotFound) {
    unavailable(file + ".fatbin has no kernel " + name + ": it is of another version");
  }
  gpu_->check(result, "cuModuleGetFunction", name);
  if (static_cast<std::uint64_t>(sharedBytes) > gpu_->facts().sharedBytesMax) {
    unavailable(name + " needs " + std::to_string(sharedBytes) +
                " bytes of shared memory in a block, " + gpu_->facts().name + " has " +
                std::to_string(gpu_->facts().sharedBytesMax));
  }
  gpu_->check(gpu_->launch().cuFuncSetAttribute(function, cuda::kFunctionSharedBytesMax, sharedBytes),
              "cuFuncSetAttribute", name);
  kernels_[name] = function;
  return function;
}

}  // namespace kvspan::attention
