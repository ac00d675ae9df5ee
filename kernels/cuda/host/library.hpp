// The compiled kernels: fatbins of one folder, loaded when first asked for.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kernels/cuda/host/gpu.hpp"

namespace kvspan::attention {

// Throws DeviceUnavailable if the folder has no fatbins. Needs no driver.
void checkKernelFolder(const std::string& folder);

class KernelLibrary {
 public:
  // Throws DeviceUnavailable as checkKernelFolder does.
  KernelLibrary(std::shared_ptr<Gpu> gpu, std::string folder);
  ~KernelLibrary();
  KernelLibrary(const KernelLibrary&) = delete;
  KernelLibrary& operator=(const KernelLibrary&) = delete;

  // The kernel of that name in <file>.fatbin, with leave to use so much shared memory. Throws
  // DeviceUnavailable: no such file or kernel, a driver that cannot load it, a device with less.
  cuda::CUfunction kernel(const std::string& file, const std::string& name, int sharedBytes);

  const std::shared_ptr<Gpu>& gpu() const { return gpu_; }

 private:
  cuda::CUmodule module(const std::string& file);

  std::shared_ptr<Gpu> gpu_;
  std::string folder_;
  std::map<std::string, cuda::CUmodule> modules_;
  std::map<std::string, cuda::CUfunction> kernels_;
};

}  // namespace kvspan::attention
