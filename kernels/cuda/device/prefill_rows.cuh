// A warp's rows of a prefill tile, in the registers that mma and wgmma leave them in: slabs of 16
// rows, of which a lane holds rows lane / 4 and lane / 4 + 8 and, of every eight columns, two.
#pragma once

#include "prefill_work.cuh"
#include "scores.cuh"

namespace kvspan::attention {

template <int kSlabs, int kColumns>
using SlabRegisters = float[kSlabs][kColumns / 8][4];

// Masks and online softmax of a warp's rows.
template <int kSlabs, int kTokens, bool kOptions>
class PrefillRows {
 public:
  using Scores = SlabRegisters<kSlabs, kTokens>;
  struct Factors {
    float of[kSlabs][2];
    bool needed;  // by any row of the warp
  };

  __device__ __forceinline__ PrefillRows(const PrefillParams& p, const PrefillWork& work,
                                         int firstRow, int lane)
      : options_(p.options), work_(work), firstRow_(firstRow), lane_(lane) {
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        max_[slab][half] = -INFINITY;
        sum_[slab][half] = 0.0f;
        slope_[slab][half] = 0.0f;
        const int row = rowOf(slab, half);
        if (kOptions && options_.alibiSlopes && work.stored(row)) {
          slope_[slab][half] = options_.alibiSlopes[work.queryHead(row)];
        }
      }
    }
  }

  // The tile's row that elements [2 * half] and [2 * half + 1] of a slab's registers belong to.
  __device__ __forceinline__ int rowOf(int slab, int half) const {
    return firstRow_ + slab * 16 + half * 8 + lane_ / 4;
  }

  // Options, and minus infinity for what a row does not see. Without options, a tile that all rows
  // see whole is left as it is.
  __device__ __forceinline__ void adjust(Scores& scores, int token) const {
    if (!kOptions && token + kTokens <= work_.position(0) + 1) return;
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
      const int positions[2] = {work_.position(rowOf(slab, 0)), work_.position(rowOf(slab, 1))};
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int distance = positions[i / 2] - (token + n * 8 + lane_ % 4 * 2 + i % 2);
          float& score = scores[slab][n][i];
          bool seen = distance >= 0;
          if constexpr (kOptions) {
            score = optionScore(score, options_, slope_[slab][i / 2], distance);
            seen = seen && (options_.window <= 0 || distance < options_.window);
          }
          if (!seen) score = -INFINITY;
        }
      }
    }
  }

  // Scores to weights, in place. Returns what the outputs so far must be multiplied by.
  __device__ __forceinline__ Factors weigh(Scores& scores) {
    const float unit = kOptions ? 1.0f : options_.scale * kLog2E;
    Factors factors;
    bool moved = false;
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float before = max_[slab][half];
        const float highest = fmaxf(before, highestOf(scores, slab, half));
        // A row that has seen nothing yet: any finite base gives weights of zero.
        const float base = highest == -INFINITY ? 0.0f : highest * unit;
        max_[slab][half] = highest;
        moved = moved || highest != before;
        const float factor = exp2Fast(before * unit - base);
        factors.of[slab][half] = factor;
        sum_[slab][half] *= factor;
#pragma unroll
        for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
          for (int i = 2 * half; i < 2 * half + 2; ++i) {
            scores[slab][n][i] = exp2Fast(scores[slab][n][i] * unit - base);
            sum_[slab][half] += scores[slab][n][i];
          }
        }
      }
    }
    // Maxima settle after a few tiles; from then on the outputs need no scaling.
    factors.needed = __any_sync(~0u, moved);
    return factors;
  }

  // What the outputs must be multiplied by in the end. A row that saw nothing becomes zeros.
  __device__ __forceinline__ Factors normalizers() const {
    Factors factors;
    factors.needed = true;
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float sum = sum_[slab][half];
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        factors.of[slab][half] = sum == 0.0f ? 0.0f : 1.0f / sum;
      }
    }
    return factors;
  }

 private:
  __device__ __forceinline__ float highestOf(const Scores& scores, int slab, int half) const {
    float highest = -INFINITY;
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
      highest = fmaxf(highest, fmaxf(scores[slab][n][2 * half], scores[slab][n][2 * half + 1]));
    }
    highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
    return fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
  }

  const ScoreOptions& options_;
  const PrefillWork& work_;
  int firstRow_;
  int lane_;
  float max_[kSlabs][2];
  float sum_[kSlabs][2];  // this lane's part
  float slope_[kSlabs][2];
};

template <int kSlabs, int kHeadDim, typename Factors>
__device__ __forceinline__ void scaleRows(SlabRegisters<kSlabs, kHeadDim>& out,
                                          const Factors& factors) {
  if (!factors.needed) return;
#pragma unroll
  for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) out[slab][n][i] *= factors.of[slab][i / 2];
    }
  }
}

// Four lanes hold a 4 x 4 matrix of words, a column each: afterwards each holds a row.
__device__ __forceinline__ void transposeInQuad(uint32_t (&word)[4], int lane) {
  const auto exchange = [&](uint32_t& low, uint32_t& high, int bit) {
    const bool upper = lane & bit;
    const uint32_t received = __shfl_xor_sync(~0u, upper ? low : high, bit);
    (upper ? low : high) = received;
  };
  exchange(word[0], word[1], 1);
  exchange(word[2], word[3], 1);
  exchange(word[0], word[2], 2);
  exchange(word[1], word[3], 2);
}

// Stores the rows that exist, 16 bytes a lane.
template <typename Math, int kSlabs, int kHeadDim, typename Rows>
__device__ __forceinline__ void storeOut(const PrefillParams& p, const PrefillWork& work,
                                         const Rows& rows,
                                         const SlabRegisters<kSlabs, kHeadDim>& out, int lane) {
#pragma unroll
  for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = rows.rowOf(slab, half);
      const bool stored = work.stored(row);
      auto* to = static_cast<uint16_t*>(p.out.base) + lane % 4 * 8;
      if (stored) to += work.offset(p.out, row);
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; n += 4) {
        uint32_t word[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          word[i] = Math::pack(out[slab][n + i][2 * half], out[slab][n + i][2 * half + 1]);
        }
        transposeInQuad(word, lane);
        if (stored) {
          *reinterpret_cast<uint4*>(to + n * 8) = make_uint4(word[0], word[1], word[2], word[3]);
        }
      }
    }
  }
}

}  // namespace kvspan::attention
