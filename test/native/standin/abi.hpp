// The driver's types and values, as far as the stand-in answers to them. Written down apart from
// native/core on purpose: a mistake there must not be repeated here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#define STANDIN_API extern "C" __attribute__((visibility("default"))) int

namespace standin {

enum Result {
  Success = 0,
  InvalidValue = 1,
  OutOfMemory = 2,
  NotInitialized = 3,
  Deinitialized = 4,
  NoDevice = 100,
  InvalidDevice = 101,
  InvalidContext = 201,
  NoBinaryForGpu = 209,
  UnsupportedPtxVersion = 222,
  InvalidHandle = 400,
  NotFound = 500,
  NotReady = 600,
  NotSupported = 801,
  CaptureUnsupported = 900,
  CaptureInvalidated = 901,
};

constexpr std::size_t kPage = 2u << 20;

struct Location {
  int type;
  int id;
};

struct AllocationProp {
  int type;
  int handleTypes;
  Location location;
  void* win32;
  unsigned char flags[8];
};
static_assert(sizeof(AllocationProp) == 32);

struct AccessDesc {
  Location location;
  int flags;
};
static_assert(sizeof(AccessDesc) == 12);

struct Copy2D {
  std::size_t srcX, srcY;
  int srcType;
  const void* srcHost;
  unsigned long long srcDevice;
  void* srcArray;
  std::size_t srcPitch;
  std::size_t dstX, dstY;
  int dstType;
  void* dstHost;
  unsigned long long dstDevice;
  void* dstArray;
  std::size_t dstPitch;
  std::size_t width, height;
};
static_assert(sizeof(Copy2D) == 128);

// context.cpp
// Success, NotInitialized, or Deinitialized once the process is ending.
int needDriver();
// The same, and InvalidContext if the thread has no current context.
int needContext();
std::size_t totalBytes();
bool lacks(const char* what);

// capture.cpp
// For calls that the driver may not allow while a graph is captured: CaptureUnsupported, and the
// capture is lost.
int needNoCapture();

// accounting.cpp: what is taken of the device, by this process or, if so asked, by all.
std::size_t usedBytes();
void addUsed(std::size_t bytes);
void removeUsed(std::size_t bytes);
inline constexpr const char* kMemoryName = "cuda-stand-in";
// The name to give to new memory: who shares a device shares it.
const char* memoryName();

// streams.cpp
// Work that the stream does in its turn.
void submit(void* stream, std::function<void()> work);

// plain.cpp
// Whether all of the range is plain memory of the device.
bool plain(unsigned long long at, std::size_t bytes);

// memory.cpp
// Whether all of the range may be read (or written) by a copy.
bool copyable(unsigned long long at, std::size_t bytes, bool write);

}  // namespace standin
