// The arithmetic of a decode warp: scores of a tile, the running softmax, the weighted sum.
#pragma once

#include "decode_loader.cuh"
#include "scores.cuh"

namespace kvspan::attention {

// The 16 bit heads x dims of a unit's queries as the second operand of the scores' product.
template <int HeadDim, int Rows>
struct DecodeQueries {
  std::uint32_t words[Rows / 8][HeadDim / 16][2];

  __device__ __forceinline__ void read(const DecodeParams& params, const DecodeItem& item,
                                       int rows) {
    const int lane = threadIdx.x % 32;
    const int group = params.queryHeads / params.kvHeads;
#pragma unroll
    for (int g = 0; g < Rows / 8; ++g) {
      const int row = g * 8 + lane / 4;
      const int head = item.kvHead * group + item.firstRow + row;
      const auto* const from = static_cast<const std::uint16_t*>(params.queries.base) +
                               item.request * params.queries.rowStride +
                               head * params.queries.headStride + (lane % 4) * 2;
#pragma unroll
      for (int step = 0; step < HeadDim / 16; ++step) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          words[g][step][half] =
              row < rows
                  ? __ldg(reinterpret_cast<const std::uint32_t*>(from + step * 16 + half * 8))
                  : 0u;
        }
      }
    }
  }
};

// scores[g][j]: token lane / 4 (j >= 2: and 8), head 8 g + 2 (lane % 4) + j % 2.
template <typename Element, int HeadDim, int Rows>
__device__ __forceinline__ void multiplyKeys(const DecodeQueries<HeadDim, Rows>& queries,
                                             std::uint32_t keys,
                                             float (&scores)[Rows / 8][4]) {
  const int lane = threadIdx.x % 32;
  const int row = lane % 16;
  float odd[Rows / 8][4] = {};  // a sum of its own for every other step: half as long a chain
#pragma unroll
  for (int g = 0; g < Rows / 8; ++g) {
#pragma unroll
    for (int j = 0; j < 4; ++j) scores[g][j] = 0.0f;
  }
#pragma unroll
  for (int step = 0; step < HeadDim / 16; ++step) {
    const Fragment k = loadMatrix(keys + tileOffset<HeadDim>(row, 2 * step + lane / 16));
#pragma unroll
    for (int g = 0; g < Rows / 8; ++g) {
      Arithmetic<Element>::mma(step % 2 ? odd[g] : scores[g], k, queries.words[g][step][0],
                           queries.words[g][step][1]);
    }
  }
#pragma unroll
  for (int g = 0; g < Rows / 8; ++g) {
#pragma unroll
    for (int j = 0; j < 4; ++j) scores[g][j] += odd[g][j];
  }
}

// What turns products into scores, in units of log2, for one item.
template <int Rows>
class DecodeScores {
 public:
  __device__ __forceinline__ DecodeScores(const DecodeParams& params, const DecodeItem& item,
                                          int rows)
      : scale_(params.options.scale * kLog2E), last_(item.length - 1), end_(item.end) {
    const ScoreOptions& options = params.options;
    first_ = options.window > 0 ? max(0, item.length - options.window) : 0;
    if (options.softCap > 0.0f) {
      cap_ = options.softCap * kLog2E;
      capScale_ = options.scale / options.softCap;
    }
    if (options.alibiSlopes == nullptr) return;
    alibi_ = true;
    const int group = params.queryHeads / params.kvHeads;
#pragma unroll
    for (int i = 0; i < Rows / 4; ++i) {
      const int row = (i / 2) * 8 + (threadIdx.x % 4) * 2 + i % 2;
      const int head = item.kvHead * group + item.firstRow + row;
      slopes_[i] = row < rows ? __ldg(options.alibiSlopes + head) * kLog2E : 0.0f;
    }
  }

  __device__ __forceinline__ void apply(int firstToken, float (&scores)[Rows / 8][4]) const {
    const int token = firstToken + threadIdx.x % 32 / 4;
#pragma unroll
    for (int g = 0; g < Rows / 8; ++g) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        float& score = scores[g][j];
        score = cap_ > 0.0f ? cap_ * tanhFast(score * capScale_) : score * scale_;
        if (alibi_) score += slopes_[g * 2 + j % 2] * (token + (j / 2) * 8 - last_);
      }
    }
    if (firstToken >= first_ && firstToken + 16 <= end_) return;
    // Set, not added: what the zeros past the end gave is of no consequence.
#pragma unroll
    for (int g = 0; g < Rows / 8; ++g) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int at = token + (j / 2) * 8;
        if (at < first_ || at >= end_) scores[g][j] = -INFINITY;
      }
    }
  }

 private:
  float scale_;
  float cap_ = 0.0f;
  float capScale_ = 0.0f;
  bool alibi_ = false;
  float slopes_[Rows / 4] = {};
  int first_;
  int last_;
  int end_;
};

// The running softmax of a warp over its tiles of one item. In the transposed scores a thread has,
// of each 8 heads, heads 2 (lane % 4) and the one after it, and tokens lane / 4 and 8 after it.
template <typename Element, int HeadDim, int Rows>
struct DecodeState {
  static constexpr int kGroups = Rows / 8;
  static constexpr int kSteps = HeadDim / 16;
  // A finite stand-in for -inf: differences of it are numbers.
  static constexpr float kNothing = -1e30f;
  // As long as no score is 2^8 above it, the reference may stay: no exchange, no rescaling.
  static constexpr float kHeadroom = 8.0f;

  float reference[kGroups][2];  // of the exponentials, log2; the same in all lanes of a head
  float sum[kGroups][2];        // of this lane's tokens only
  float weighted[kSteps][kGroups][4];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      reference[g][0] = reference[g][1] = kNothing;
      sum[g][0] = sum[g][1] = 0.0f;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
#pragma unroll
        for (int j = 0; j < 4; ++j) weighted[step][g][j] = 0.0f;
      }
    }
  }

  __device__ __forceinline__ void raise(const float (&scores)[kGroups][4]) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
#pragma unroll
      for (int head = 0; head < 2; ++head) {
        float highest = fmaxf(scores[g][head], scores[g][head + 2]);
#pragma unroll
        for (int lanes = 4; lanes < 32; lanes *= 2) {
          highest = fmaxf(highest, __shfl_xor_sync(kFullWarp, highest, lanes));
        }
        highest = fmaxf(highest, reference[g][head]);
        const float shrink = exp2Fast(reference[g][head] - highest);
        reference[g][head] = highest;
        sum[g][head] *= shrink;
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
          weighted[step][g][head] *= shrink;
          weighted[step][g][head + 2] *= shrink;
        }
      }
    }
  }

  // `values`: the tile's V in shared memory, as this lane loads it.
  __device__ __forceinline__ void add(const float (&scores)[kGroups][4], std::uint32_t values,
                                      int row, int chunk) {
    bool above = false;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
#pragma unroll
      for (int j = 0; j < 4; ++j) above |= scores[g][j] > reference[g][j % 2] + kHeadroom;
    }
    if (__any_sync(kFullWarp, above)) raise(scores);
    std::uint32_t weights[kGroups][2];
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      float p[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        p[j] = exp2Fast(scores[g][j] - reference[g][j % 2]);
        sum[g][j % 2] += p[j];
      }
      weights[g][0] = transposeMatrix(Arithmetic<Element>::pack(p[0], p[1]));
      weights[g][1] = transposeMatrix(Arithmetic<Element>::pack(p[2], p[3]));
    }
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const Fragment v = loadMatrixTransposed(values + tileOffset<HeadDim>(row, 2 * step + chunk));
#pragma unroll
      for (int g = 0; g < kGroups; ++g) {
        Arithmetic<Element>::mma(weighted[step][g], v, weights[g][0], weights[g][1]);
      }
    }
  }
};

}  // namespace kvspan::attention
