// The part of the CUDA driver API that launching kernels needs, found at run time as cuda_api.hpp's
// is: from the same library, with the same types.
#pragma once

#include <cstddef>
#include <string>

#include "device/cuda_api.hpp"

namespace kvspan::cuda {

struct ModuleTag;
struct FunctionTag;
struct GraphTag;
struct GraphExecTag;
using CUmodule = ModuleTag*;
using CUfunction = FunctionTag*;
using CUgraph = GraphTag*;
using CUgraphExec = GraphExecTag*;

inline constexpr CUresult kNoBinaryForGpu = 209;
inline constexpr CUresult kUnsupportedPtxVersion = 222;
inline constexpr CUresult kNotFound = 500;
inline constexpr int kFunctionSharedBytesMax = 8;  // MAX_DYNAMIC_SHARED_SIZE_BYTES
inline constexpr int kAttributeClockKhz = 13;
inline constexpr int kAttributeMultiprocessors = 16;
inline constexpr int kAttributeMemoryClockKhz = 36;
inline constexpr int kAttributeL2Bytes = 38;
inline constexpr int kAttributeComputeMajor = 75;
inline constexpr int kAttributeComputeMinor = 76;
inline constexpr int kAttributeSharedBytesMax = 97;  // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
inline constexpr int kAttributeSharedBytesPerMultiprocessor = 81;
inline constexpr unsigned kEventDefault = 0;

// KVSPAN_CUDA(member, exported name, parameters), as in cuda_api.hpp.
#define KVSPAN_LAUNCH_FUNCTIONS(KVSPAN_CUDA)                                                      \
  KVSPAN_CUDA(cuModuleLoadData, cuModuleLoadData, (CUmodule*, const void*))                       \
  KVSPAN_CUDA(cuModuleUnload, cuModuleUnload, (CUmodule))                                         \
  KVSPAN_CUDA(cuModuleGetFunction, cuModuleGetFunction, (CUfunction*, CUmodule, const char*))     \
  KVSPAN_CUDA(cuFuncSetAttribute, cuFuncSetAttribute, (CUfunction, int, int))                     \
  KVSPAN_CUDA(cuLaunchKernel, cuLaunchKernel,                                                     \
              (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,  \
               CUstream, void**, void**))                                                         \
  KVSPAN_CUDA(cuMemAlloc, cuMemAlloc_v2, (CUdeviceptr*, std::size_t))                             \
  KVSPAN_CUDA(cuMemFree, cuMemFree_v2, (CUdeviceptr))                                             \
  KVSPAN_CUDA(cuMemsetD8Async, cuMemsetD8Async,                                                   \
              (CUdeviceptr, unsigned char, std::size_t, CUstream))                                \
  KVSPAN_CUDA(cuMemcpyDtoDAsync, cuMemcpyDtoDAsync_v2,                                            \
              (CUdeviceptr, CUdeviceptr, std::size_t, CUstream))                                  \
  KVSPAN_CUDA(cuStreamBeginCapture, cuStreamBeginCapture_v2, (CUstream, int))                     \
  KVSPAN_CUDA(cuStreamEndCapture, cuStreamEndCapture, (CUstream, CUgraph*))                       \
  KVSPAN_CUDA(cuGraphInstantiate, cuGraphInstantiateWithFlags,                                    \
              (CUgraphExec*, CUgraph, unsigned long long))                                        \
  KVSPAN_CUDA(cuGraphLaunch, cuGraphLaunch, (CUgraphExec, CUstream))                              \
  KVSPAN_CUDA(cuGraphExecDestroy, cuGraphExecDestroy, (CUgraphExec))                              \
  KVSPAN_CUDA(cuGraphDestroy, cuGraphDestroy, (CUgraph))

// The symbol that every driver has. The header of CUDA 12.8 and later names a newer one, so this is
// not among those that launch_api_check.cpp holds against it.
#define KVSPAN_ELAPSED(KVSPAN_CUDA) \
  KVSPAN_CUDA(cuEventElapsedTime, cuEventElapsedTime, (float*, CUevent, CUevent))

struct LaunchApi {
#define KVSPAN_CUDA(member, exported, parameters) CUresult(*member) parameters = nullptr;
  KVSPAN_LAUNCH_FUNCTIONS(KVSPAN_CUDA)
  KVSPAN_ELAPSED(KVSPAN_CUDA)
#undef KVSPAN_CUDA

  // After Api::load of the same library. Throws DeviceUnavailable.
  static const LaunchApi& load(const std::string& library);
};

}  // namespace kvspan::cuda
