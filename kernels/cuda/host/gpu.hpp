// A GPU as the kernels need it: its primary context, plain memory, copies, streams. Everything it
// gave out is given back when it goes.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "device/cuda_device.hpp"
#include "kernels/cuda/host/launch_api.hpp"

namespace kvspan::attention {

struct GpuFacts {
  int ordinal = 0;
  std::string name;
  std::string uuid;
  std::string driver;
  int computeMajor = 0;
  int computeMinor = 0;
  int multiprocessors = 0;
  int clockKhzMax = 0;
  int memoryClockKhzMax = 0;
  std::uint64_t l2Bytes = 0;
  std::uint64_t sharedBytesMax = 0;  // of a block
  std::uint64_t sharedBytesPerMultiprocessor = 0;
  std::uint64_t totalBytes = 0;
  std::uint64_t freeBytes = 0;
};

class Gpu {
 public:
  // Throws DeviceUnavailable: no driver, no such device, or one older than sm_80.
  Gpu(int ordinal, const std::string& library);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  // Waits for the work of its own streams, and frees what it gave out. Whatever still holds it is of
  // no use from then on: every call but `facts` throws Closed. Calling it again does nothing.
  void close();
  void requireOpen() const;
  // Until the work of its own streams is done, or has failed.
  void drain() const noexcept;

  const GpuFacts& facts() const { return facts_; }
  std::uint64_t freeBytes() const;

  Address allocate(std::uint64_t bytes);
  // One that `allocate` gave; throws InvalidArgument for any other.
  void free(Address address);
  // Block until done. Their own stream: they do not wait for other streams' work.
  void copyIn(Address to, const void* from, std::uint64_t bytes);
  void copyOut(void* to, Address from, std::uint64_t bytes);
  // In the stream's order; `from` may be reused once this returns.
  void upload(Address to, const void* from, std::uint64_t bytes, Stream stream);

  Stream createStream();
  void destroyStream(Stream stream);
  void synchronize(Stream stream);

  const cuda::Api& api() const { return api_; }
  const cuda::LaunchApi& launch() const { return launch_; }
  CudaContext& context() const { return *context_; }
  void check(cuda::CUresult result, const char* call, const std::string& what) const {
    api_.check(result, call, what);
  }

 private:
  const cuda::Api& api_;
  const cuda::LaunchApi& launch_;
  cuda::CUdevice device_;
  std::shared_ptr<CudaContext> context_;
  GpuFacts facts_;
  std::set<Address> allocations_;
  std::set<Stream> streams_;
  Stream copies_ = 0;
  bool closed_ = false;
};

// Device memory with one owner.
class GpuBuffer {
 public:
  GpuBuffer(std::shared_ptr<Gpu> gpu, std::uint64_t bytes);
  ~GpuBuffer();
  GpuBuffer(const GpuBuffer&) = delete;
  GpuBuffer& operator=(const GpuBuffer&) = delete;

  Address address() const { return address_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<Gpu> gpu_;
  std::uint64_t bytes_;
  Address address_;
};

}  // namespace kvspan::attention
