// The instructions of sm_80 that attention is made of, and the two element types.
// A test that runs device code on the CPU brings its own (test/native/emulated_cuda.hpp).
#ifndef KVSPAN_MMA
#define KVSPAN_MMA

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace kvspan::attention {

using Bf16 = __nv_bfloat16;
using Fp16 = __half;

// A 16 x 16 operand of an MMA: four registers of two elements.
struct Fragment {
  uint32_t r[4];
};

__device__ __forceinline__ uint32_t sharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Copies 16 bytes; with `bytes` 0 it writes zeros and reads nothing.
__device__ __forceinline__ void copyAsync(uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(bytes)
               : "memory");
}

__device__ __forceinline__ void copyAsync(uint32_t to, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(from)
               : "memory");
}

__device__ __forceinline__ void commitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int kPending>
__device__ __forceinline__ void waitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

__device__ __forceinline__ Fragment loadMatrix(uint32_t address) {
  Fragment f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.r[0]), "=r"(f.r[1]), "=r"(f.r[2]), "=r"(f.r[3])
               : "r"(address)
               : "memory");
  return f;
}

__device__ __forceinline__ Fragment loadMatrixTransposed(uint32_t address) {
  Fragment f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.r[0]), "=r"(f.r[1]), "=r"(f.r[2]), "=r"(f.r[3])
               : "r"(address)
               : "memory");
  return f;
}

// Rows and columns of an 8 x 8 matrix of which each thread has two elements.
__device__ __forceinline__ uint32_t transposeMatrix(uint32_t from) {
  uint32_t to;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(to) : "r"(from));
  return to;
}

template <typename Element>
struct Arithmetic;

template <>
struct Arithmetic<Bf16> {
  // c += a (16 x 16) times b (16 x 8).
  static __device__ __forceinline__ void mma(float (&c)[4], const Fragment& a, uint32_t b0,
                                             uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b0), "r"(b1));
  }
  static __device__ __forceinline__ uint32_t pack(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
  }
  // Two results of 16 x 8 as an operand of 16 x 16.
  static __device__ __forceinline__ Fragment weights(const float (&left)[4],
                                                     const float (&right)[4]) {
    return {pack(left[0], left[1]), pack(left[2], left[3]), pack(right[0], right[1]),
            pack(right[2], right[3])};
  }
};

template <>
struct Arithmetic<Fp16> {
  static __device__ __forceinline__ void mma(float (&c)[4], const Fragment& a, uint32_t b0,
                                             uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b0), "r"(b1));
  }
  static __device__ __forceinline__ uint32_t pack(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
  }
  // Two results of 16 x 8 as an operand of 16 x 16.
  static __device__ __forceinline__ Fragment weights(const float (&left)[4],
                                                     const float (&right)[4]) {
    return {pack(left[0], left[1]), pack(left[2], left[3]), pack(right[0], right[1]),
            pack(right[2], right[3])};
  }
};

__device__ __forceinline__ float exp2Fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace kvspan::attention

#endif
