// From raw dot products to what the softmax takes: options and masks, one score at a time, in the
// base-2 domain in which exp2 works.
#pragma once

#include <cmath>
#include <cstdint>

#include "../params.hpp"
#include "mma.cuh"

namespace kvspan::attention {

inline constexpr float kLog2E = 1.4426950408889634f;

// tanh by one exp2 and a division: its absolute error is a few 1e-7, where the hardware's own
// approximation is off by up to 5e-4 of a cap that may be 50.
__device__ __forceinline__ float tanhFast(float x) {
  return 1.0f - __fdividef(2.0f, 1.0f + exp2Fast(x * (2.0f * kLog2E)));
}

// A score with its options, times log2(e).
__device__ __forceinline__ float optionScore(float dot, const ScoreOptions& options, float slope,
                                             int distance) {
  float score = dot * options.scale;
  if (options.softCap > 0.0f) {
    score = options.softCap * tanhFast(__fdividef(score, options.softCap));
  }
  return (score - slope * distance) * kLog2E;
}

}  // namespace kvspan::attention
