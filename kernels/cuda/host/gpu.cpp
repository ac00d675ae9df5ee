#include "kernels/cuda/host/gpu.hpp"

#include <utility>

#include "base/error.hpp"
#include "device/cuda_open.hpp"

namespace kvspan::attention {
namespace {

constexpr int kComputeMajorOldest = 8;

std::string describe(std::uint64_t bytes) { return std::to_string(bytes) + " bytes"; }

cuda::CUstream handle(Stream stream) { return reinterpret_cast<cuda::CUstream>(stream); }

int attribute(const cuda::Api& api, cuda::CUdevice device, int which) {
  int value = 0;
  api.check(api.cuDeviceGetAttribute(&value, which, device), "cuDeviceGetAttribute",
            std::to_string(which));
  return value;
}

GpuFacts factsOf(const cuda::Api& api, cuda::CUdevice device, int ordinal) {
  const auto get = [&](int which) { return attribute(api, device, which); };
  GpuFacts facts;
  facts.ordinal = ordinal;
  facts.name = cuda::deviceName(api, device);
  facts.uuid = cuda::deviceUuid(api, device);
  facts.driver = cuda::driverVersion(api);
  facts.computeMajor = get(cuda::kAttributeComputeMajor);
  facts.computeMinor = get(cuda::kAttributeComputeMinor);
  facts.multiprocessors = get(cuda::kAttributeMultiprocessors);
  facts.clockKhzMax = get(cuda::kAttributeClockKhz);
  facts.memoryClockKhzMax = get(cuda::kAttributeMemoryClockKhz);
  facts.l2Bytes = static_cast<std::uint64_t>(get(cuda::kAttributeL2Bytes));
  facts.sharedBytesMax = static_cast<std::uint64_t>(get(cuda::kAttributeSharedBytesMax));
  facts.sharedBytesPerMultiprocessor =
      static_cast<std::uint64_t>(get(cuda::kAttributeSharedBytesPerMultiprocessor));
  return facts;
}

}  // namespace

Gpu::Gpu(int ordinal, const std::string& library)
    : api_(cuda::Api::load(library)),
      launch_(cuda::LaunchApi::load(library)),
      device_(cuda::findDevice(api_, ordinal)),
      context_(std::make_shared<CudaContext>(api_, device_)),
      facts_(factsOf(api_, device_, ordinal)) {
  if (facts_.computeMajor < kComputeMajorOldest) {
    throw Error(Code::DeviceUnavailable,
                "cuda: " + facts_.name + " has compute capability " +
                    std::to_string(facts_.computeMajor) + "." +
                    std::to_string(facts_.computeMinor) + ": the kernels need 8.0 or later");
  }
  const CudaContext::Scope scope(*context_);
  std::size_t free = 0;
  std::size_t total = 0;
  api_.check(api_.cuMemGetInfo(&free, &total), "cuMemGetInfo", "");
  facts_.totalBytes = total;
  facts_.freeBytes = free;
  copies_ = createStream();
}

Gpu::~Gpu() { close(); }

void Gpu::close() {
  if (std::exchange(closed_, true)) return;
  drain();
  // At process exit the driver may be gone already; every failure here means just that.
  const CudaContext::Scope scope(*context_);
  for (const auto stream : streams_) api_.cuStreamDestroy(handle(stream));
  for (const auto address : allocations_) launch_.cuMemFree(address);
  streams_.clear();
  allocations_.clear();
}

void Gpu::requireOpen() const {
  if (closed_) throw Error(Code::Closed, "the kernels are closed");
}

void Gpu::drain() const noexcept {
  const CudaContext::Scope scope(*context_);
  for (const auto stream : streams_) api_.cuStreamSynchronize(handle(stream));
}

std::uint64_t Gpu::freeBytes() const {
  requireOpen();
  const CudaContext::Scope scope(*context_);
  std::size_t free = 0;
  std::size_t total = 0;
  api_.check(api_.cuMemGetInfo(&free, &total), "cuMemGetInfo", "");
  return free;
}

Address Gpu::allocate(std::uint64_t bytes) {
  if (bytes == 0) throw Error::badField("bytes", "0", "1 or more");
  requireOpen();
  const CudaContext::Scope scope(*context_);
  cuda::CUdeviceptr address = 0;
  check(launch_.cuMemAlloc(&address, bytes), "cuMemAlloc", describe(bytes));
  allocations_.insert(address);
  return address;
}

void Gpu::free(Address address) {
  if (allocations_.erase(address) == 0) {
    throw Error::badField("address", std::to_string(address), "one that allocate gave");
  }
  const CudaContext::Scope scope(*context_);
  check(launch_.cuMemFree(address), "cuMemFree", std::to_string(address));
}

void Gpu::copyIn(Address to, const void* from, std::uint64_t bytes) {
  upload(to, from, bytes, copies_);
  synchronize(copies_);
}

void Gpu::copyOut(void* to, Address from, std::uint64_t bytes) {
  if (bytes == 0) return;
  requireOpen();
  const CudaContext::Scope scope(*context_);
  check(api_.cuMemcpyDtoHAsync(to, from, bytes, handle(copies_)), "cuMemcpyDtoHAsync",
        describe(bytes));
  check(api_.cuStreamSynchronize(handle(copies_)), "cuStreamSynchronize", "copyOut");
}

void Gpu::upload(Address to, const void* from, std::uint64_t bytes, Stream stream) {
  if (bytes == 0) return;
  requireOpen();
  const CudaContext::Scope scope(*context_);
  // Pageable memory: the driver has taken it over when the call returns.
  check(api_.cuMemcpyHtoDAsync(to, from, bytes, handle(stream)), "cuMemcpyHtoDAsync",
        describe(bytes));
}

Stream Gpu::createStream() {
  requireOpen();
  const CudaContext::Scope scope(*context_);
  cuda::CUstream stream = nullptr;
  check(api_.cuStreamCreate(&stream, cuda::kStreamNonBlocking), "cuStreamCreate", "");
  const auto number = reinterpret_cast<Stream>(stream);
  streams_.insert(number);
  return number;
}

void Gpu::destroyStream(Stream stream) {
  if (stream == copies_ || streams_.erase(stream) == 0) {
    throw Error::badField("stream", std::to_string(stream), "one that createStream gave");
  }
  const CudaContext::Scope scope(*context_);
  check(api_.cuStreamDestroy(handle(stream)), "cuStreamDestroy", "");
}

void Gpu::synchronize(Stream stream) {
  requireOpen();
  const CudaContext::Scope scope(*context_);
  check(api_.cuStreamSynchronize(handle(stream)), "cuStreamSynchronize", "");
}

GpuBuffer::GpuBuffer(std::shared_ptr<Gpu> gpu, std::uint64_t bytes)
    : gpu_(std::move(gpu)), bytes_(bytes), address_(gpu_->allocate(bytes)) {}

GpuBuffer::~GpuBuffer() {
  try {
    gpu_->free(address_);
  } catch (const Error&) {
    // A kernel that failed takes the context with it; the memory is gone all the same.
  }
}

}  // namespace kvspan::attention
