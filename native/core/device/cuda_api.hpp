// The part of the CUDA driver API that kvspan calls, declared here so that neither building nor
// starting needs anything of CUDA. Layouts and values: CUDA Driver API reference, and checked
// against cuda.h where a toolkit is found (cuda_api_check.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace kvspan::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUmemGenericAllocationHandle = unsigned long long;
struct ContextTag;
struct StreamTag;
struct EventTag;
using CUcontext = ContextTag*;
using CUstream = StreamTag*;
using CUevent = EventTag*;

struct CUuuid {
  char bytes[16];
};

inline constexpr CUresult kSuccess = 0;
inline constexpr CUresult kInvalidValue = 1;
inline constexpr CUresult kOutOfMemory = 2;
inline constexpr CUresult kNoDevice = 100;
inline constexpr CUresult kInvalidHandle = 400;
inline constexpr CUresult kNotReady = 600;
inline constexpr CUresult kNotSupported = 801;

inline constexpr int kAttributeVirtualMemory = 102;  // VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED
inline constexpr int kAttributePosixHandle = 103;    // HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED

inline constexpr int kAllocationTypePinned = 1;
inline constexpr int kHandleTypePosixFd = 1;
inline constexpr int kLocationTypeDevice = 1;
inline constexpr int kGranularityMinimum = 0;
inline constexpr int kAccessNone = 0;
inline constexpr int kAccessRead = 1;
inline constexpr int kAccessReadWrite = 3;
inline constexpr unsigned kEventDisableTiming = 2;
inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr int kCaptureModeRelaxed = 2;
inline constexpr int kMemoryTypeHost = 1;
inline constexpr int kMemoryTypeDevice = 2;

struct CUmemLocation {
  int type;
  int id;
};

struct CUmemAllocationProp {
  int type;
  int requestedHandleTypes;
  CUmemLocation location;
  void* win32HandleMetaData;
  struct {
    unsigned char compressionType;
    unsigned char gpuDirectRDMACapable;
    unsigned short usage;
    unsigned char reserved[4];
  } allocFlags;
};

struct CUmemAccessDesc {
  CUmemLocation location;
  int flags;
};

struct CUDA_MEMCPY2D {
  std::size_t srcXInBytes;
  std::size_t srcY;
  int srcMemoryType;
  const void* srcHost;
  CUdeviceptr srcDevice;
  void* srcArray;
  std::size_t srcPitch;
  std::size_t dstXInBytes;
  std::size_t dstY;
  int dstMemoryType;
  void* dstHost;
  CUdeviceptr dstDevice;
  void* dstArray;
  std::size_t dstPitch;
  std::size_t WidthInBytes;
  std::size_t Height;
};

// Each member is the driver's function of that name (the suffix is the exported symbol's).
// KVSPAN_CUDA(member, exported name, parameters)
#define KVSPAN_CUDA_FUNCTIONS(KVSPAN_CUDA)                                                        \
  KVSPAN_CUDA(cuInit, cuInit, (unsigned))                                                         \
  KVSPAN_CUDA(cuDriverGetVersion, cuDriverGetVersion, (int*))                                     \
  KVSPAN_CUDA(cuGetErrorName, cuGetErrorName, (CUresult, const char**))                           \
  KVSPAN_CUDA(cuDeviceGetCount, cuDeviceGetCount, (int*))                                         \
  KVSPAN_CUDA(cuDeviceGet, cuDeviceGet, (CUdevice*, int))                                         \
  KVSPAN_CUDA(cuDeviceGetName, cuDeviceGetName, (char*, int, CUdevice))                           \
  KVSPAN_CUDA(cuDeviceGetUuid, cuDeviceGetUuid_v2, (CUuuid*, CUdevice))                           \
  KVSPAN_CUDA(cuDeviceGetAttribute, cuDeviceGetAttribute, (int*, int, CUdevice))                  \
  KVSPAN_CUDA(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, (CUcontext*, CUdevice))         \
  KVSPAN_CUDA(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, (CUdevice))                \
  KVSPAN_CUDA(cuCtxGetCurrent, cuCtxGetCurrent, (CUcontext*))                                     \
  KVSPAN_CUDA(cuCtxPushCurrent, cuCtxPushCurrent_v2, (CUcontext))                                 \
  KVSPAN_CUDA(cuCtxPopCurrent, cuCtxPopCurrent_v2, (CUcontext*))                                  \
  KVSPAN_CUDA(cuThreadExchangeStreamCaptureMode, cuThreadExchangeStreamCaptureMode, (int*))       \
  KVSPAN_CUDA(cuMemGetInfo, cuMemGetInfo_v2, (std::size_t*, std::size_t*))                        \
  KVSPAN_CUDA(cuMemGetAllocationGranularity, cuMemGetAllocationGranularity,                       \
              (std::size_t*, const CUmemAllocationProp*, int))                                    \
  KVSPAN_CUDA(cuMemAddressReserve, cuMemAddressReserve,                                           \
              (CUdeviceptr*, std::size_t, std::size_t, CUdeviceptr, unsigned long long))          \
  KVSPAN_CUDA(cuMemAddressFree, cuMemAddressFree, (CUdeviceptr, std::size_t))                     \
  KVSPAN_CUDA(cuMemCreate, cuMemCreate,                                                           \
              (CUmemGenericAllocationHandle*, std::size_t, const CUmemAllocationProp*,            \
               unsigned long long))                                                               \
  KVSPAN_CUDA(cuMemRelease, cuMemRelease, (CUmemGenericAllocationHandle))                         \
  KVSPAN_CUDA(cuMemMap, cuMemMap,                                                                 \
              (CUdeviceptr, std::size_t, std::size_t, CUmemGenericAllocationHandle,               \
               unsigned long long))                                                               \
  KVSPAN_CUDA(cuMemUnmap, cuMemUnmap, (CUdeviceptr, std::size_t))                                 \
  KVSPAN_CUDA(cuMemSetAccess, cuMemSetAccess,                                                     \
              (CUdeviceptr, std::size_t, const CUmemAccessDesc*, std::size_t))                    \
  KVSPAN_CUDA(cuMemExportToShareableHandle, cuMemExportToShareableHandle,                         \
              (void*, CUmemGenericAllocationHandle, int, unsigned long long))                     \
  KVSPAN_CUDA(cuMemImportFromShareableHandle, cuMemImportFromShareableHandle,                     \
              (CUmemGenericAllocationHandle*, void*, int))                                        \
  KVSPAN_CUDA(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2,                                            \
              (CUdeviceptr, const void*, std::size_t, CUstream))                                  \
  KVSPAN_CUDA(cuMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2, (void*, CUdeviceptr, std::size_t, CUstream)) \
  KVSPAN_CUDA(cuMemcpy2DAsync, cuMemcpy2DAsync_v2, (const CUDA_MEMCPY2D*, CUstream))              \
  KVSPAN_CUDA(cuStreamCreate, cuStreamCreate, (CUstream*, unsigned))                              \
  KVSPAN_CUDA(cuStreamSynchronize, cuStreamSynchronize, (CUstream))                               \
  KVSPAN_CUDA(cuStreamDestroy, cuStreamDestroy_v2, (CUstream))                                    \
  KVSPAN_CUDA(cuEventCreate, cuEventCreate, (CUevent*, unsigned))                                 \
  KVSPAN_CUDA(cuEventRecord, cuEventRecord, (CUevent, CUstream))                                  \
  KVSPAN_CUDA(cuEventQuery, cuEventQuery, (CUevent))                                              \
  KVSPAN_CUDA(cuEventDestroy, cuEventDestroy_v2, (CUevent))

// The driver's functions, found at run time.
struct Api {
#define KVSPAN_CUDA(member, exported, parameters) CUresult(*member) parameters = nullptr;
  KVSPAN_CUDA_FUNCTIONS(KVSPAN_CUDA)
#undef KVSPAN_CUDA

  // Opens the library (empty: the system's libcuda.so.1) and initialises the driver. The library is
  // never closed again: the driver has threads of its own. Throws DeviceUnavailable.
  static const Api& load(const std::string& library);

  std::string errorName(CUresult result) const;
  // Throws for anything but success: `call` is the driver's name for it, `what` the sizes involved.
  void check(CUresult result, const char* call, const std::string& what) const;
};

}  // namespace kvspan::cuda
