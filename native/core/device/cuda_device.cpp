#include "device/cuda_device.hpp"

#include <fcntl.h>

#include <cstring>

#include "base/error.hpp"
#include "device/cuda_open.hpp"

namespace kvspan {
namespace {

using cuda::kSuccess;

// kvspan's page on every device: the daemon's plans and accounts are made of it.
constexpr std::uint64_t kPageBytes = 2ull << 20;

// A pitch above the driver's limit (CU_DEVICE_ATTRIBUTE_MAX_PITCH) is copied row by row.
constexpr std::uint64_t kPitchMax = (1ull << 31) - 1;

cuda::CUmemAllocationProp pinnedOn(cuda::CUdevice device) {
  cuda::CUmemAllocationProp properties{};
  properties.type = cuda::kAllocationTypePinned;
  properties.requestedHandleTypes = cuda::kHandleTypePosixFd;
  properties.location = {cuda::kLocationTypeDevice, device};
  return properties;
}

// A page must be a whole number of the driver's own units; a finer unit is of no use.
std::uint64_t granularityOf(const cuda::Api& api, cuda::CUdevice device) {
  const auto properties = pinnedOn(device);
  std::size_t bytes = 0;
  api.check(api.cuMemGetAllocationGranularity(&bytes, &properties, cuda::kGranularityMinimum),
            "cuMemGetAllocationGranularity", "minimum");
  if (bytes != 0 && kPageBytes % bytes == 0) return kPageBytes;
  throw Error(Code::DeviceUnavailable, "cuda: " + cuda::deviceName(api, device) +
                                           " allocates in units of " + std::to_string(bytes) +
                                           " bytes, which do not divide kvspan's page of " +
                                           std::to_string(kPageBytes));
}

std::string describe(std::uint64_t bytes) { return std::to_string(bytes) + " bytes"; }

class CudaFence final : public Fence {
 public:
  CudaFence(std::shared_ptr<CudaContext> context, Stream stream)
      : context_(std::move(context)), api_(context_->api()) {
    const CudaContext::Scope scope(*context_);
    api_.check(api_.cuEventCreate(&event_, cuda::kEventDisableTiming), "cuEventCreate", "");
    const auto result = api_.cuEventRecord(event_, reinterpret_cast<cuda::CUstream>(stream));
    if (result == kSuccess) return;
    api_.cuEventDestroy(event_);
    api_.check(result, "cuEventRecord", "stream " + hex(stream));
  }

  ~CudaFence() override {
    const CudaContext::Scope scope(*context_);
    api_.cuEventDestroy(event_);
  }

  bool reached() override {
    const CudaContext::Scope scope(*context_);
    const auto result = api_.cuEventQuery(event_);
    if (result == cuda::kNotReady) return false;
    api_.check(result, "cuEventQuery", "");
    return true;
  }

 private:
  std::shared_ptr<CudaContext> context_;
  const cuda::Api& api_;
  cuda::CUevent event_ = nullptr;
};

// Runs a copy and waits for it; throws what either failed with.
template <typename Copy>
void copyAndWait(const cuda::Api& api, cuda::CUstream stream, const char* call,
                 std::uint64_t bytes, Copy&& copy) {
  const auto started = copy();
  // Also after a failed start: earlier rows may still be reading the caller's buffer.
  const auto done = api.cuStreamSynchronize(stream);
  api.check(started, call, describe(bytes));
  api.check(done, "cuStreamSynchronize", std::string(call) + ", " + describe(bytes));
}

bool isDense(std::uint64_t toPitch, std::uint64_t fromPitch, std::uint64_t width,
             std::uint64_t rows) {
  return rows == 1 || (toPitch == width && fromPitch == width);
}

}  // namespace

CudaContext::~CudaContext() {
  if (made()) api_.cuDevicePrimaryCtxRelease(device_);
}

cuda::CUcontext CudaContext::get() {
  if (const auto context = context_.load()) return context;
  const std::lock_guard lock(making_);
  if (const auto context = context_.load()) return context;
  cuda::CUcontext context = nullptr;
  const auto result = api_.cuDevicePrimaryCtxRetain(&context, device_);
  if (result != kSuccess) {
    throw Error(Code::DeviceUnavailable,
                "cuda: cuDevicePrimaryCtxRetain failed with " + api_.errorName(result) +
                    ": the GPU may be out of memory, or in exclusive or prohibited compute mode "
                    "(nvidia-smi -q -d COMPUTE)");
  }
  context_ = context;
  return context;
}

CudaContext::Uncaptured::Uncaptured(const cuda::Api& api) : api_(api) {
  // A failure shows in the call that follows; there is nothing to undo then.
  exchanged_ = api_.cuThreadExchangeStreamCaptureMode(&mode_) == kSuccess;
}

CudaContext::Uncaptured::~Uncaptured() {
  if (exchanged_) api_.cuThreadExchangeStreamCaptureMode(&mode_);
}

CudaContext::Scope::Scope(CudaContext& context)
    : api_(context.api_),
      pushed_([&] {
        const auto wanted = context.get();
        cuda::CUcontext current = nullptr;
        if (api_.cuCtxGetCurrent(&current) == kSuccess && current == wanted) return false;
        return api_.cuCtxPushCurrent(wanted) == kSuccess;
      }()),
      uncaptured_(api_) {}

CudaContext::Scope::~Scope() {
  cuda::CUcontext popped = nullptr;
  if (pushed_) api_.cuCtxPopCurrent(&popped);
}

CudaDevice::CudaDevice(int ordinal, const std::string& library, bool ownerOnly)
    : api_(cuda::Api::load(library)),
      ordinal_(ordinal),
      device_(cuda::findDevice(api_, ordinal)),
      context_(std::make_shared<CudaContext>(api_, device_)),
      granularity_(granularityOf(api_, device_)),
      book_(granularity_) {
  if (ownerOnly) {
    keepExporting();
  } else {
    context_->get();
  }
}

// While no exported descriptor is open anywhere, the next export costs 0.7 ms instead of 0.03, and so
// does the close of the last one (docs/measured.md): the driver sets something up for the first and takes
// it down with the last. The owner keeps one, of a page that costs the GPU 2 MiB, and so spares
// itself and all who import from it. Without it all works, only slower.
void CudaDevice::keepExporting() {
  Handle page = 0;
  try {
    page = create(granularity_);
    exporting_ = exportHandle(page);
  } catch (const Error&) {
    // The GPU, or the table of open files, may be full.
  }
  if (page != 0) release(page);
}

CudaDevice::~CudaDevice() {
  // At process exit the driver may be gone already; every failure here means just that.
  if (context_->made()) {
    const CudaContext::Scope scope(*context_);
    for (const auto& range : book_.mappings()) api_.cuMemUnmap(range.at, range.bytes);
    for (const auto& range : book_.reservations()) api_.cuMemAddressFree(range.at, range.bytes);
    if (copies_ != nullptr) api_.cuStreamDestroy(copies_);
  }
  for (const auto handle : book_.handles()) api_.cuMemRelease(handle);
}

// Not ordered after the engine's default stream, so a copy never waits for its kernels.
cuda::CUstream CudaDevice::copies() {
  const std::lock_guard lock(copiesMaking_);
  if (copies_ == nullptr) {
    api_.check(api_.cuStreamCreate(&copies_, cuda::kStreamNonBlocking), "cuStreamCreate", "copies");
  }
  return copies_;
}

DeviceInfo CudaDevice::info() const {
  // Only a context knows what is free. An owner has none, and does not keep this one.
  CudaContext passing(api_, device_);
  const CudaContext::Scope scope(context_->made() ? *context_ : passing);
  std::size_t free = 0;
  std::size_t total = 0;
  api_.check(api_.cuMemGetInfo(&free, &total), "cuMemGetInfo", "");
  return {.backend = "cuda",
          .ordinal = ordinal_,
          .name = cuda::deviceName(api_, device_),
          .uuid = cuda::deviceUuid(api_, device_),
          .driver = cuda::driverVersion(api_),
          .granularityBytes = granularity_,
          .totalBytes = total,
          .freeBytes = free};
}

Address CudaDevice::reserve(std::uint64_t bytes, Address wanted) {
  book_.checkBytes("reserve", bytes);
  if (wanted != 0) book_.checkRange("reserve", wanted, bytes);
  const CudaContext::Scope scope(*context_);
  cuda::CUdeviceptr base = 0;
  auto result = api_.cuMemAddressReserve(&base, bytes, granularity_, wanted, 0);
  // A wanted address that cannot be had may be refused instead of replaced.
  if (result != kSuccess && wanted != 0) {
    result = api_.cuMemAddressReserve(&base, bytes, granularity_, 0, 0);
  }
  api_.check(result, "cuMemAddressReserve", describe(bytes));
  book_.addReservation({base, bytes});
  return base;
}

void CudaDevice::unreserve(Address base, std::uint64_t bytes) {
  book_.checkRange("unreserve", base, bytes);
  book_.removeReservation({base, bytes});
  const CudaContext::Scope scope(*context_);
  const auto result = api_.cuMemAddressFree(base, bytes);
  if (result != kSuccess) book_.addReservation({base, bytes});  // still there, to be tried again
  api_.check(result, "cuMemAddressFree", show({base, bytes}));
}

Handle CudaDevice::create(std::uint64_t bytes) {
  book_.checkBytes("create", bytes);
  const CudaContext::Uncaptured uncaptured(api_);
  const auto wanted = pinnedOn(device_);
  cuda::CUmemGenericAllocationHandle handle = 0;
  api_.check(api_.cuMemCreate(&handle, bytes, &wanted, 0), "cuMemCreate", describe(bytes));
  book_.addHandle(handle, bytes, Origin::Created);
  return handle;
}

void CudaDevice::release(Handle handle) {
  const auto facts = book_.removeHandle(handle);
  const CudaContext::Uncaptured uncaptured(api_);
  const auto result = api_.cuMemRelease(handle);
  if (result != kSuccess) book_.addHandle(handle, facts.bytes, facts.origin);  // to be tried again
  api_.check(result, "cuMemRelease", "handle " + hex(handle));
}

UniqueFd CudaDevice::exportHandle(Handle handle) {
  book_.checkExportable(handle);
  const CudaContext::Uncaptured uncaptured(api_);
  int fd = -1;
  api_.check(api_.cuMemExportToShareableHandle(&fd, handle, cuda::kHandleTypePosixFd, 0),
             "cuMemExportToShareableHandle", "handle " + hex(handle));
  UniqueFd owned(fd);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);  // the driver does not say whether it has set it
  return owned;
}

Handle CudaDevice::importHandle(int fd, std::uint64_t bytes) {
  book_.checkBytes("import", bytes);
  const CudaContext::Scope scope(*context_);
  cuda::CUmemGenericAllocationHandle handle = 0;
  // The driver takes the descriptor itself in the pointer's place.
  void* const asPointer = reinterpret_cast<void*>(static_cast<std::uintptr_t>(fd));
  const auto result =
      fd < 0 ? cuda::kInvalidValue
             : api_.cuMemImportFromShareableHandle(&handle, asPointer, cuda::kHandleTypePosixFd);
  if (result != kSuccess && result != cuda::kOutOfMemory) {
    // Whatever the driver makes of a descriptor that is none of its own, it is the input's fault.
    throw Error(Code::InvalidArgument, "import: cuMemImportFromShareableHandle(descriptor " +
                                           std::to_string(fd) + ", " + describe(bytes) +
                                           "): " + api_.errorName(result));
  }
  api_.check(result, "cuMemImportFromShareableHandle", describe(bytes));
  book_.addHandle(handle, bytes, Origin::Imported);
  return handle;
}

void CudaDevice::map(Address at, Handle handle, std::uint64_t bytes) {
  book_.beginMap(at, handle, bytes);
  const CudaContext::Scope scope(*context_);
  const auto result = api_.cuMemMap(at, bytes, 0, handle, 0);
  book_.endMap(at, result == kSuccess);
  api_.check(result, "cuMemMap", show({at, bytes}) + ", handle " + hex(handle));
}

void CudaDevice::access(Address at, std::uint64_t bytes, Access access) {
  const Range range{at, bytes};
  book_.beginAccess(range);
  const CudaContext::Scope scope(*context_);
  const int flags = access == Access::None   ? cuda::kAccessNone
                    : access == Access::Read ? cuda::kAccessRead
                                             : cuda::kAccessReadWrite;
  const cuda::CUmemAccessDesc wanted{{cuda::kLocationTypeDevice, device_}, flags};
  const auto result = api_.cuMemSetAccess(at, bytes, &wanted, 1);
  // After a failure neither the old nor the new access can be promised.
  book_.endAccess(range, result == kSuccess ? access : Access::None);
  api_.check(result, "cuMemSetAccess", show(range));
}

void CudaDevice::unmap(Address at, std::uint64_t bytes) {
  const Range range{at, bytes};
  book_.beginUnmap(range);
  const CudaContext::Scope scope(*context_);
  const auto result = api_.cuMemUnmap(at, bytes);
  book_.endUnmap(range, result == kSuccess);
  api_.check(result, "cuMemUnmap", show(range));
}

std::unique_ptr<Fence> CudaDevice::fence(Stream stream) {
  return std::make_unique<CudaFence>(context_, stream);
}

// The driver takes a pitched copy only where all between its first byte and its last is mapped (and,
// which was not measured, may be touched), also between the rows; and only up to a largest pitch.
bool CudaDevice::mustGoByRows(Address at, std::uint64_t pitch, std::uint64_t otherPitch,
                              std::uint64_t width, std::uint64_t rows, Access needed) const {
  if (pitch > kPitchMax || otherPitch > kPitchMax) return true;
  return !book_.gapless({at, (rows - 1) * pitch + width}, needed);
}

void CudaDevice::copyIn(Address to, std::uint64_t toPitch, const void* from,
                        std::uint64_t fromPitch, std::uint64_t width, std::uint64_t rows) {
  book_.checkCopy("copyIn", to, toPitch, width, rows, Access::ReadWrite);
  if (width == 0 || rows == 0) return;
  const CudaContext::Scope scope(*context_);
  if (isDense(toPitch, fromPitch, width, rows)) {
    const auto bytes = width * rows;
    return copyAndWait(api_, copies(), "cuMemcpyHtoDAsync", bytes,
                       [&] { return api_.cuMemcpyHtoDAsync(to, from, bytes, copies_); });
  }
  if (mustGoByRows(to, toPitch, fromPitch, width, rows, Access::ReadWrite)) {
    for (std::uint64_t row = 0; row < rows; ++row) {
      copyIn(to + row * toPitch, width, static_cast<const char*>(from) + row * fromPitch, width,
             width, 1);
    }
    return;
  }
  cuda::CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = cuda::kMemoryTypeHost;
  copy.srcHost = from;
  copy.srcPitch = fromPitch;
  copy.dstMemoryType = cuda::kMemoryTypeDevice;
  copy.dstDevice = to;
  copy.dstPitch = toPitch;
  copy.WidthInBytes = width;
  copy.Height = rows;
  copyAndWait(api_, copies(), "cuMemcpy2DAsync", width * rows,
              [&] { return api_.cuMemcpy2DAsync(&copy, copies_); });
}

void CudaDevice::copyOut(void* to, std::uint64_t toPitch, Address from, std::uint64_t fromPitch,
                         std::uint64_t width, std::uint64_t rows) {
  book_.checkCopy("copyOut", from, fromPitch, width, rows, Access::Read);
  if (width == 0 || rows == 0) return;
  const CudaContext::Scope scope(*context_);
  if (isDense(toPitch, fromPitch, width, rows)) {
    const auto bytes = width * rows;
    return copyAndWait(api_, copies(), "cuMemcpyDtoHAsync", bytes,
                       [&] { return api_.cuMemcpyDtoHAsync(to, from, bytes, copies_); });
  }
  if (mustGoByRows(from, fromPitch, toPitch, width, rows, Access::Read)) {
    for (std::uint64_t row = 0; row < rows; ++row) {
      copyOut(static_cast<char*>(to) + row * toPitch, width, from + row * fromPitch, width, width,
              1);
    }
    return;
  }
  cuda::CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = cuda::kMemoryTypeDevice;
  copy.srcDevice = from;
  copy.srcPitch = fromPitch;
  copy.dstMemoryType = cuda::kMemoryTypeHost;
  copy.dstHost = to;
  copy.dstPitch = toPitch;
  copy.WidthInBytes = width;
  copy.Height = rows;
  copyAndWait(api_, copies(), "cuMemcpy2DAsync", width * rows,
              [&] { return api_.cuMemcpy2DAsync(&copy, copies_); });
}

}  // namespace kvspan
