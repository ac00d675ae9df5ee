// Holds cuda_api.hpp against the toolkit's own header wherever there is one. Nothing is generated.
#include "device/cuda_api.hpp"

#if __has_include(<cuda.h>)
#include <cuda.h>

namespace {
namespace own = kvspan::cuda;

static_assert(sizeof(own::CUmemAllocationProp) == sizeof(::CUmemAllocationProp));
static_assert(offsetof(own::CUmemAllocationProp, location) ==
              offsetof(::CUmemAllocationProp, location));
static_assert(offsetof(own::CUmemAllocationProp, allocFlags) ==
              offsetof(::CUmemAllocationProp, allocFlags));
static_assert(sizeof(own::CUmemAccessDesc) == sizeof(::CUmemAccessDesc));
static_assert(sizeof(own::CUDA_MEMCPY2D) == sizeof(::CUDA_MEMCPY2D));
static_assert(offsetof(own::CUDA_MEMCPY2D, dstDevice) == offsetof(::CUDA_MEMCPY2D, dstDevice));
static_assert(offsetof(own::CUDA_MEMCPY2D, Height) == offsetof(::CUDA_MEMCPY2D, Height));
static_assert(sizeof(own::CUdeviceptr) == sizeof(::CUdeviceptr));
static_assert(sizeof(own::CUuuid) == sizeof(::CUuuid));

static_assert(own::kSuccess == CUDA_SUCCESS && own::kInvalidValue == CUDA_ERROR_INVALID_VALUE);
static_assert(own::kOutOfMemory == CUDA_ERROR_OUT_OF_MEMORY);
static_assert(own::kDeinitialized == CUDA_ERROR_DEINITIALIZED);
static_assert(own::kNoDevice == CUDA_ERROR_NO_DEVICE);
static_assert(own::kInvalidDevice == CUDA_ERROR_INVALID_DEVICE);
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
static_assert(own::kMemoryTypeHost == CU_MEMORYTYPE_HOST);
static_assert(own::kMemoryTypeDevice == CU_MEMORYTYPE_DEVICE);

}  // namespace
#endif
