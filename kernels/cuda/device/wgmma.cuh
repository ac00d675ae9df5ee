// The instructions of sm_90a that the Hopper prefill kernel is made of: matrix products by a
// warpgroup, barriers in shared memory, and the hand-over of registers between warpgroups.
#pragma once

#include <cstdint>

#include "mma.cuh"

namespace kvspan::attention {

// ---- barriers in shared memory: a phase ends when all who are expected have arrived

__device__ __forceinline__ void initBarrier(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

__device__ __forceinline__ void arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// This thread arrives when its cp.async copies so far have.
__device__ __forceinline__ void arriveWithCopies(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

// Until the phase with this parity has ended.
__device__ __forceinline__ void waitFor(uint32_t barrier, uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra finished;\n"
      "bra again;\n"
      "finished:\n"
      "}\n" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// cp.async writes shared memory as ordinary stores do, wgmma reads it by another path: a thread that
// has waited for the one needs this before the other.
__device__ __forceinline__ void fenceForWgmma() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

template <int kRegisters>
__device__ __forceinline__ void giveUpRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters>
__device__ __forceinline__ void takeRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// ---- matrix products

__device__ __forceinline__ void beginProducts() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void commitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int kPending>
__device__ __forceinline__ void waitForProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving reads or writes of accumulators across this point, which it would
// as it does not know that wgmma works on them until it has been waited for.
template <int kColumns>
__device__ __forceinline__ void pin(float (&c)[kColumns][4]) {
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(c[n][i])::"memory");
  }
}

// Shared memory with the 128-byte swizzle, 1,024 bytes from one eight rows to the next; `leading`
// is the distance of columns of 64 elements, where an operand that is not K-major has several.
__device__ __forceinline__ uint64_t describe(uint32_t address, uint32_t leading) {
  constexpr uint64_t kSwizzle128 = 1ull << 62;
  constexpr uint64_t kEightRows = 1024 >> 4;
  return kSwizzle128 | kEightRows << 32 | static_cast<uint64_t>(leading >> 4) << 16 |
         (address & 0x3ffff) >> 4;
}

#define KVSPAN_C4(n) "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])
#define KVSPAN_C32                                                                          \
  KVSPAN_C4(0), KVSPAN_C4(1), KVSPAN_C4(2), KVSPAN_C4(3), KVSPAN_C4(4), KVSPAN_C4(5),       \
      KVSPAN_C4(6), KVSPAN_C4(7)
#define KVSPAN_C64                                                                          \
  KVSPAN_C32, KVSPAN_C4(8), KVSPAN_C4(9), KVSPAN_C4(10), KVSPAN_C4(11), KVSPAN_C4(12),      \
      KVSPAN_C4(13), KVSPAN_C4(14), KVSPAN_C4(15)
#define KVSPAN_R32                                                                          \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                 \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define KVSPAN_R64                                                                          \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                 \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "        \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "        \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"

// wgmmaQk: c = a b^T, or c += with `accumulate`; a 64 x 16 and b N x 16, both in shared memory.
// wgmmaPv: c += a b; a 64 x 16 in registers, b 16 x N in shared memory, N contiguous.
#define KVSPAN_WGMMA(Element, type)                                                             \
  __device__ __forceinline__ void wgmmaQk(Element, float (&c)[16][4], uint64_t a, uint64_t b,   \
                                          bool accumulate) {                                    \
    asm volatile(                                                                               \
        "{\n.reg .pred more;\nsetp.ne.b32 more, %66, 0;\n"                                      \
        "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " " KVSPAN_R64             \
        ", %64, %65, more, 1, 1, 0, 0;\n}\n"                                                    \
        : KVSPAN_C64                                                                            \
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));                                   \
  }                                                                                             \
  __device__ __forceinline__ void wgmmaPv(Element, float (&c)[16][4], const Fragment& a,        \
                                          uint64_t b) {                                         \
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " " KVSPAN_R64    \
                 ", {%64, %65, %66, %67}, %68, 1, 1, 1, 1;\n"                                   \
                 : KVSPAN_C64                                                                   \
                 : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "l"(b));                 \
  }                                                                                             \
  __device__ __forceinline__ void wgmmaPv(Element, float (&c)[8][4], const Fragment& a,         \
                                          uint64_t b) {                                         \
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type " " KVSPAN_R32     \
                 ", {%32, %33, %34, %35}, %36, 1, 1, 1, 1;\n"                                   \
                 : KVSPAN_C32                                                                   \
                 : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "l"(b));                 \
  }

KVSPAN_WGMMA(Bf16, "bf16")
KVSPAN_WGMMA(Fp16, "f16")

#undef KVSPAN_WGMMA
#undef KVSPAN_R64
#undef KVSPAN_R32
#undef KVSPAN_C64
#undef KVSPAN_C32
#undef KVSPAN_C4

}  // namespace kvspan::attention
