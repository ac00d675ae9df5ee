// The `cuda` backend: the driver's virtual memory API on one GPU, with handles that other processes
// can import through file descriptors.
#pragma once

#include <memory>
#include <string>

#include "device/book.hpp"
#include "device/cuda_api.hpp"
#include "device/device.hpp"

namespace kvspan {

// The GPU's primary context (the one that the CUDA runtime and PyTorch use), kept alive.
class CudaContext {
 public:
  CudaContext(const cuda::Api& api, cuda::CUdevice device);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  const cuda::Api& api() const { return api_; }

  // Makes the context current on this thread and leaves the thread as it was found: the thread
  // may be an engine's, with a context of its own. Calls within it do not disturb the capture of a
  // CUDA graph, on this thread or another: in the default mode of a capture the driver would refuse
  // them (an event's query, an allocation), and break the capture off.
  class Scope {
   public:
    explicit Scope(const CudaContext& context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const cuda::Api& api_;
    bool pushed_ = false;
    bool exchanged_ = false;
    int captureMode_ = cuda::kCaptureModeRelaxed;  // the thread's own, while it is exchanged
  };

 private:
  const cuda::Api& api_;
  cuda::CUdevice device_;
  cuda::CUcontext context_ = nullptr;
};

class CudaDevice final : public Device {
 public:
  // Throws DeviceUnavailable: no driver, no such device, or one without the virtual memory API.
  CudaDevice(int ordinal, const std::string& library);
  // Unmaps, frees and releases what is left. The caller's work on it has to be over.
  ~CudaDevice() override;

  DeviceInfo info() const override;
  std::uint64_t granularity() const override { return granularity_; }
  Address reserve(std::uint64_t bytes, Address wanted) override;
  void unreserve(Address base, std::uint64_t bytes) override;
  Handle create(std::uint64_t bytes) override;
  void release(Handle handle) override;
  UniqueFd exportHandle(Handle handle) override;
  Handle importHandle(int fd, std::uint64_t bytes) override;
  void map(Address at, Handle handle, std::uint64_t bytes) override;
  void access(Address at, std::uint64_t bytes, Access access) override;
  void unmap(Address at, std::uint64_t bytes) override;
  std::unique_ptr<Fence> fence(Stream stream) override;
  void copyIn(Address to, std::uint64_t toPitch, const void* from, std::uint64_t fromPitch,
              std::uint64_t width, std::uint64_t rows) override;
  void copyOut(void* to, std::uint64_t toPitch, Address from, std::uint64_t fromPitch,
               std::uint64_t width, std::uint64_t rows) override;

 private:
  cuda::CUmemAllocationProp properties() const;

  const cuda::Api& api_;
  const int ordinal_;
  const cuda::CUdevice device_;
  std::shared_ptr<CudaContext> context_;  // shared with the fences, which may outlive the device
  const std::uint64_t granularity_;
  Book book_;
  cuda::CUstream copies_ = nullptr;
};

}  // namespace kvspan
