// Holds launch_api.hpp against the toolkit's own header wherever there is one, as cuda_api_check.cpp
// does. Last checked against the header of CUDA 13.0. By hand:
//   g++ -std=c++20 -fsyntax-only -I native/core -I . -I TOOLKIT kernels/cuda/host/launch_api_check.cpp
#include "kernels/cuda/host/launch_api.hpp"

#if __has_include(<cuda.h>)

#include "device/cuda_alike.hpp"

namespace kvspan::cuda::check {
#define KVSPAN_CUDA(member, exported, parameters) using Own_##member = decltype(LaunchApi::member);
KVSPAN_LAUNCH_FUNCTIONS(KVSPAN_CUDA)
#undef KVSPAN_CUDA
}  // namespace kvspan::cuda::check

#include <cuda.h>

namespace kvspan::cuda::check {
namespace own = kvspan::cuda;

#define KVSPAN_CUDA(member, exported, parameters)                       \
  static_assert(same(KVSPAN_EXPANDED(member), #exported));              \
  static_assert(Functions<Own_##member, decltype(&::member)>::value);
KVSPAN_LAUNCH_FUNCTIONS(KVSPAN_CUDA)
#undef KVSPAN_CUDA

static_assert(own::kNoBinaryForGpu == CUDA_ERROR_NO_BINARY_FOR_GPU);
static_assert(own::kUnsupportedPtxVersion == CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
static_assert(own::kNotFound == CUDA_ERROR_NOT_FOUND);
static_assert(own::kFunctionSharedBytesMax == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
static_assert(own::kAttributeClockKhz == CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
static_assert(own::kAttributeMultiprocessors == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
static_assert(own::kAttributeMemoryClockKhz == CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE);
static_assert(own::kAttributeL2Bytes == CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
static_assert(own::kAttributeComputeMajor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
static_assert(own::kAttributeComputeMinor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
static_assert(own::kAttributeSharedBytesMax ==
              CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
static_assert(own::kAttributeSharedBytesPerMultiprocessor ==
              CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
static_assert(own::kEventDefault == CU_EVENT_DEFAULT);

}  // namespace kvspan::cuda::check

#endif
