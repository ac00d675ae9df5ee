// Holds cuda_api.hpp against the toolkit's own header wherever there is one, at compile time: every
// function's name, parameters and their order, every struct, every value. Nothing is generated.
// Last checked against the header of CUDA 13.0; without one this file is empty. By hand:
//   g++ -std=c++20 -fsyntax-only -I native/core -I TOOLKIT native/core/device/cuda_api_check.cpp
#include "device/cuda_api.hpp"

#if __has_include(<cuda.h>)

#include "device/cuda_alike.hpp"

// The types of our pointers, taken before the header's macros rename functions (a name pasted to
// another is not replaced).
namespace kvspan::cuda::check {
#define KVSPAN_CUDA(member, exported, parameters) using Own_##member = decltype(Api::member);
KVSPAN_CUDA_FUNCTIONS(KVSPAN_CUDA)
#undef KVSPAN_CUDA
}  // namespace kvspan::cuda::check

#include <cuda.h>

namespace kvspan::cuda::check {
namespace own = kvspan::cuda;

#define KVSPAN_CUDA(member, exported, parameters)                       \
  static_assert(same(KVSPAN_EXPANDED(member), #exported));              \
  static_assert(Functions<Own_##member, decltype(&::member)>::value);
KVSPAN_CUDA_FUNCTIONS(KVSPAN_CUDA)
#undef KVSPAN_CUDA

#define KVSPAN_STRUCT(name) \
  static_assert(sizeof(own::name) == sizeof(::name) && alignof(own::name) == alignof(::name))
#define KVSPAN_FIELD(name, field)                                                  \
  static_assert(offsetof(own::name, field) == offsetof(::name, field) &&           \
                sizeof(own::name::field) == sizeof(::name::field))
KVSPAN_STRUCT(CUmemLocation);
KVSPAN_FIELD(CUmemLocation, type);
KVSPAN_FIELD(CUmemLocation, id);
KVSPAN_STRUCT(CUmemAllocationProp);
KVSPAN_FIELD(CUmemAllocationProp, type);
KVSPAN_FIELD(CUmemAllocationProp, requestedHandleTypes);
KVSPAN_FIELD(CUmemAllocationProp, location);
KVSPAN_FIELD(CUmemAllocationProp, win32HandleMetaData);
KVSPAN_FIELD(CUmemAllocationProp, allocFlags);
KVSPAN_FIELD(CUmemAllocationProp, allocFlags.compressionType);
KVSPAN_FIELD(CUmemAllocationProp, allocFlags.gpuDirectRDMACapable);
KVSPAN_FIELD(CUmemAllocationProp, allocFlags.usage);
KVSPAN_STRUCT(CUmemAccessDesc);
KVSPAN_FIELD(CUmemAccessDesc, location);
KVSPAN_FIELD(CUmemAccessDesc, flags);
KVSPAN_STRUCT(CUDA_MEMCPY2D);
KVSPAN_FIELD(CUDA_MEMCPY2D, srcXInBytes);
KVSPAN_FIELD(CUDA_MEMCPY2D, srcY);
KVSPAN_FIELD(CUDA_MEMCPY2D, srcMemoryType);
KVSPAN_FIELD(CUDA_MEMCPY2D, srcHost);
KVSPAN_FIELD(CUDA_MEMCPY2D, srcDevice);
KVSPAN_FIELD(CUDA_MEMCPY2D, srcArray);
KVSPAN_FIELD(CUDA_MEMCPY2D, srcPitch);
KVSPAN_FIELD(CUDA_MEMCPY2D, dstXInBytes);
KVSPAN_FIELD(CUDA_MEMCPY2D, dstY);
KVSPAN_FIELD(CUDA_MEMCPY2D, dstMemoryType);
KVSPAN_FIELD(CUDA_MEMCPY2D, dstHost);
KVSPAN_FIELD(CUDA_MEMCPY2D, dstDevice);
KVSPAN_FIELD(CUDA_MEMCPY2D, dstArray);
KVSPAN_FIELD(CUDA_MEMCPY2D, dstPitch);
KVSPAN_FIELD(CUDA_MEMCPY2D, WidthInBytes);
KVSPAN_FIELD(CUDA_MEMCPY2D, Height);
KVSPAN_STRUCT(CUuuid);
KVSPAN_FIELD(CUuuid, bytes);

static_assert(sizeof(own::CUresult) == sizeof(::CUresult));
static_assert(sizeof(own::CUdevice) == sizeof(::CUdevice));
static_assert(sizeof(own::CUdeviceptr) == sizeof(::CUdeviceptr));
static_assert(sizeof(own::CUmemGenericAllocationHandle) == sizeof(::CUmemGenericAllocationHandle));

static_assert(own::kSuccess == CUDA_SUCCESS);
static_assert(own::kInvalidValue == CUDA_ERROR_INVALID_VALUE);
static_assert(own::kOutOfMemory == CUDA_ERROR_OUT_OF_MEMORY);
static_assert(own::kNoDevice == CUDA_ERROR_NO_DEVICE);
static_assert(own::kInvalidHandle == CUDA_ERROR_INVALID_HANDLE);
static_assert(own::kNotReady == CUDA_ERROR_NOT_READY);
static_assert(own::kNotSupported == CUDA_ERROR_NOT_SUPPORTED);
static_assert(own::kAttributeVirtualMemory ==
              CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED);
static_assert(own::kAttributePosixHandle ==
              CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED);
static_assert(own::kAllocationTypePinned == CU_MEM_ALLOCATION_TYPE_PINNED);
static_assert(own::kHandleTypePosixFd == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
static_assert(own::kLocationTypeDevice == CU_MEM_LOCATION_TYPE_DEVICE);
static_assert(own::kGranularityMinimum == CU_MEM_ALLOC_GRANULARITY_MINIMUM);
static_assert(own::kAccessNone == CU_MEM_ACCESS_FLAGS_PROT_NONE);
static_assert(own::kAccessRead == CU_MEM_ACCESS_FLAGS_PROT_READ);
static_assert(own::kAccessReadWrite == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
static_assert(own::kEventDisableTiming == CU_EVENT_DISABLE_TIMING);
static_assert(own::kStreamNonBlocking == CU_STREAM_NON_BLOCKING);
static_assert(own::kCaptureModeRelaxed == CU_STREAM_CAPTURE_MODE_RELAXED);
static_assert(own::kMemoryTypeHost == CU_MEMORYTYPE_HOST);
static_assert(own::kMemoryTypeDevice == CU_MEMORYTYPE_DEVICE);

}  // namespace kvspan::cuda::check

#endif
