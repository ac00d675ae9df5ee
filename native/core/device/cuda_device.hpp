// The `cuda` backend: the driver's virtual memory API on one GPU, with handles that other processes
// can import through file descriptors.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "device/book.hpp"
#include "device/cuda_api.hpp"
#include "device/device.hpp"

namespace kvspan {

// The GPU's primary context (the one that the CUDA runtime and PyTorch use), made when it is first
// needed and then kept alive. Creating, exporting and releasing memory need none: a process that
// only owns memory never has one, which saves 550 MB of the GPU's memory and 85 MB of its own
// (docs/measured.md).
class CudaContext {
 public:
  CudaContext(const cuda::Api& api, cuda::CUdevice device) : api_(api), device_(device) {}
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  const cuda::Api& api() const { return api_; }
  // Makes it on the first call. Throws DeviceUnavailable.
  cuda::CUcontext get();
  bool made() const { return context_ != nullptr; }

  // Calls within it do not disturb the capture of a CUDA graph, on this thread or another: in the
  // default mode of a capture the driver would refuse them (an event's query, an allocation), and
  // break the capture off.
  class Uncaptured {
   public:
    explicit Uncaptured(const cuda::Api& api);
    ~Uncaptured();
    Uncaptured(const Uncaptured&) = delete;
    Uncaptured& operator=(const Uncaptured&) = delete;

   private:
    const cuda::Api& api_;
    bool exchanged_ = false;
    int mode_ = cuda::kCaptureModeRelaxed;  // the thread's own, while it is exchanged
  };

  // Makes the context current on this thread and leaves the thread as it was found: the thread
  // may be an engine's, with a context of its own.
  class Scope {
   public:
    explicit Scope(CudaContext& context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const cuda::Api& api_;
    bool pushed_ = false;
    const Uncaptured uncaptured_;
  };

 private:
  const cuda::Api& api_;
  const cuda::CUdevice device_;
  std::mutex making_;
  std::atomic<cuda::CUcontext> context_{nullptr};
};

class CudaDevice final : public Device {
 public:
  // Throws DeviceUnavailable: no driver, no such device, or one without the virtual memory API.
  // An owner makes no context; else it is made here, so that what forbids it is known at once.
  CudaDevice(int ordinal, const std::string& library, bool ownerOnly);
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
  void keepExporting();
  cuda::CUstream copies();
  bool mustGoByRows(Address at, std::uint64_t pitch, std::uint64_t otherPitch, std::uint64_t width,
                    std::uint64_t rows, Access needed) const;

  const cuda::Api& api_;
  const int ordinal_;
  const cuda::CUdevice device_;
  std::shared_ptr<CudaContext> context_;  // shared with the fences, which may outlive the device
  const std::uint64_t granularity_;
  Book book_;
  std::mutex copiesMaking_;
  cuda::CUstream copies_ = nullptr;
  // An exported page that nobody gets: see keepExporting.
  UniqueFd exporting_;
};

}  // namespace kvspan
