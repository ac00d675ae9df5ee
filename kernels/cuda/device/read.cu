// Reads a buffer once: the bandwidth that the other kernels are measured against, and what empties L2
// before a run. So the loads must be ordinary ones: lines that are marked as read once (`.cs`) are
// the first to be evicted, and would push out one another instead of what lies there.
#include "../params.hpp"

namespace kvspan::attention {

inline constexpr int kReadsAtOnce = 8;

extern "C" __global__ void __launch_bounds__(512)
    kvspan_read(const uint4* from, unsigned long long count, unsigned* never) {
  const unsigned long long step = static_cast<unsigned long long>(gridDim.x) * blockDim.x;
  unsigned long long at = static_cast<unsigned long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  unsigned folded = 0;
  for (; at + (kReadsAtOnce - 1) * step < count; at += kReadsAtOnce * step) {
    uint4 words[kReadsAtOnce];
#pragma unroll
    for (int i = 0; i < kReadsAtOnce; ++i) words[i] = __ldg(from + at + i * step);
#pragma unroll
    for (int i = 0; i < kReadsAtOnce; ++i) {
      folded += words[i].x ^ words[i].y ^ words[i].z ^ words[i].w;
    }
  }
  for (; at < count; at += step) {
    const uint4 word = __ldg(from + at);
    folded += word.x ^ word.y ^ word.z ^ word.w;
  }
  // The sum is used in a way that the compiler cannot see through, so that it keeps the reads.
  if (never != nullptr) *never = folded;
}

}  // namespace kvspan::attention
