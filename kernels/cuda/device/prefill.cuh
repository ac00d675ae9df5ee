// Causal attention of new queries over all tokens of their requests. One block computes one tile of
// query rows of one KV head; its four warps share the tiles of K and V, and each warp keeps its own
// rows' scores and sums in registers:
//
//   for each tile of tokens, from the diagonal to the beginning:
//     S = Q K^T          mma, Q and K from shared memory
//     mask, softmax      in registers, online
//     O += P V           mma, P from registers, V from shared memory
//
// while the next tile's K and V arrive by cp.async in the other stage. The layout of K and V is
// KvAddress's alone.
#pragma once

#include "../prefill_shape.hpp"
#include "prefill_tiles.cuh"
#include "scores.cuh"

namespace kvspan::attention {

template <typename Element, int kHeadDim, int kPageTokens, bool kOptions>
class PrefillBlock {
 public:
  static constexpr int kRows = prefillTileRows(kHeadDim);

 private:
  using Row = RowShape<kHeadDim>;
  using Math = Arithmetic<Element>;
  static constexpr int kWarps = kPrefillThreads / 32;
  static constexpr int kTokens = prefillTileTokens(kHeadDim);
  static constexpr int kSlabs = kRows / kWarps / 16;  // of 16 rows, that a warp computes
  static constexpr int kTileBytes = kTokens * Row::kBytes;
  using Loader = KvLoader<kHeadDim, kPageTokens, kTokens, kWarps>;

 public:
  __device__ __forceinline__ PrefillBlock(const PrefillParams& p, const PrefillWork& work,
                                          uint32_t shared)
      : p_(p),
        work_(work),
        lane_(threadIdx.x % 32),
        warpRow_(threadIdx.x / 32 * (kSlabs * 16)),
        q_(shared),
        k_(shared + kRows * Row::kBytes),
        v_(k_ + kPrefillStages * kTileBytes),
        loader_(p, work, threadIdx.x / 32, lane_) {}

  __device__ __forceinline__ void run() {
    begin();
    int token = lastTile();
    for (int stage = 0;; stage ^= 1, token -= kTokens) {
      waitForCopies<0>();
      // Everybody's copies have arrived, and everybody is done with the other stage.
      __syncthreads();
      if (token > work_.beginToken) prefetch(token - kTokens, stage ^ 1);
      multiplyQk(k_ + stage * kTileBytes);
      adjust(token);
      softmax();
      multiplyPv(v_ + stage * kTileBytes);
      if (token <= work_.beginToken) break;
    }
    finish();
  }

 private:
  __device__ __forceinline__ int lastTile() const {
    return (work_.endToken - 1) / kTokens * kTokens;
  }

  __device__ __forceinline__ void begin() {
    const int token = lastTile();
    loader_.lookup(token, work_.endToken);
    loadQueries<kHeadDim, kRows, kPrefillThreads>(p_, work_, q_, threadIdx.x);
    loader_.template load<true>(p_.kv, k_, v_, token, work_.endToken);
    commitCopies();
    loader_.lookup(max(token - kTokens, 0), work_.endToken);
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        max_[slab][half] = -INFINITY;
        sum_[slab][half] = 0.0f;
        const int row = rowOf(slab, half);
        slope_[slab][half] = 0.0f;
        if (kOptions && p_.options.alibiSlopes && work_.stored(row)) {
          slope_[slab][half] = p_.options.alibiSlopes[work_.queryHead(row)];
        }
      }
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) out_[slab][n][i] = 0.0f;
      }
    }
  }

  __device__ __forceinline__ void prefetch(int token, int stage) {
    loader_.template load<false>(p_.kv, k_ + stage * kTileBytes, v_ + stage * kTileBytes, token,
                                 work_.endToken);
    commitCopies();
    loader_.lookup(max(token - kTokens, 0), work_.endToken);
  }

  // The tile's row that elements [.][2 * half] and [.][2 * half + 1] of a slab belong to.
  __device__ __forceinline__ int rowOf(int slab, int half) const {
    return warpRow_ + slab * 16 + half * 8 + lane_ / 4;
  }

  __device__ __forceinline__ void multiplyQk(uint32_t k) {
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) score_[slab][n][i] = 0.0f;
      }
    }
    const uint32_t q = q_ + Row::at(warpRow_ + lane_ % 16, lane_ / 16);
    k += Row::at(lane_ % 8 + lane_ / 16 * 8, lane_ / 8 % 2);
#pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step) {
      // Bits 5 and up of the chunk's offset are those of the step, permuted by the row's bits:
      // exclusive or, as in RowShape::at.
      Fragment a[kSlabs];
#pragma unroll
      for (int slab = 0; slab < kSlabs; ++slab) {
        a[slab] = loadMatrix((q ^ (step * 32)) + slab * 16 * Row::kBytes);
      }
#pragma unroll
      for (int n = 0; n < kTokens / 16; ++n) {
        const Fragment b = loadMatrix((k ^ (step * 32)) + n * 16 * Row::kBytes);
#pragma unroll
        for (int slab = 0; slab < kSlabs; ++slab) {
          Math::mma(score_[slab][2 * n], a[slab], b.r[0], b.r[1]);
          Math::mma(score_[slab][2 * n + 1], a[slab], b.r[2], b.r[3]);
        }
      }
    }
  }

  // Options, and minus infinity for what a row does not see. A tile that all rows see whole skips it.
  __device__ __forceinline__ void adjust(int token) {
    bool whole = token + kTokens <= work_.position(0) + 1;
    if constexpr (kOptions) {
      whole = false;
    }
    if (whole) return;
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
      const int positions[2] = {work_.position(rowOf(slab, 0)), work_.position(rowOf(slab, 1))};
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int distance = positions[i / 2] - (token + n * 8 + lane_ % 4 * 2 + i % 2);
          float& score = score_[slab][n][i];
          bool seen = distance >= 0;
          if constexpr (kOptions) {
            score = optionScore(score, p_.options, slope_[slab][i / 2], distance);
            seen = seen && (p_.options.window <= 0 || distance < p_.options.window);
          }
          if (!seen) score = -INFINITY;
        }
      }
    }
  }

  // Scores to weights, in place; sums and outputs so far are scaled to the new maximum.
  __device__ __forceinline__ void softmax() {
    const float factor = kOptions ? 1.0f : p_.options.scale * kLog2E;
    float rescale[kSlabs][2];
    bool moved = false;
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float highest = max_[slab][half];
#pragma unroll
        for (int n = 0; n < kTokens / 8; ++n) {
          highest = fmaxf(highest, score_[slab][n][2 * half]);
          highest = fmaxf(highest, score_[slab][n][2 * half + 1]);
        }
        highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
        highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
        // A row that has seen nothing yet: any finite base gives weights of zero.
        const float base = highest == -INFINITY ? 0.0f : highest * factor;
        rescale[slab][half] = exp2Fast(max_[slab][half] * factor - base);
        moved = moved || highest != max_[slab][half];
        max_[slab][half] = highest;
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
          for (int i = 2 * half; i < 2 * half + 2; ++i) {
            score_[slab][n][i] = exp2Fast(score_[slab][n][i] * factor - base);
            sum += score_[slab][n][i];
          }
        }
        sum_[slab][half] = sum_[slab][half] * rescale[slab][half] + sum;
      }
    }
    // Maxima settle after a few tiles; from then on the outputs need no scaling.
    if (__any_sync(~0u, moved)) scaleOut(rescale);
  }

  __device__ __forceinline__ void scaleOut(const float (&factor)[kSlabs][2]) {
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) out_[slab][n][i] *= factor[slab][i / 2];
      }
    }
  }

  __device__ __forceinline__ void multiplyPv(uint32_t v) {
    v += Row::at(lane_ % 16, lane_ / 16);
#pragma unroll
    for (int step = 0; step < kTokens / 16; ++step) {
      Fragment a[kSlabs];
#pragma unroll
      for (int slab = 0; slab < kSlabs; ++slab) {
        const float(&left)[4] = score_[slab][2 * step];
        const float(&right)[4] = score_[slab][2 * step + 1];
        a[slab] = {Math::pack(left[0], left[1]), Math::pack(left[2], left[3]),
                   Math::pack(right[0], right[1]), Math::pack(right[2], right[3])};
      }
#pragma unroll
      for (int n = 0; n < kHeadDim / 16; ++n) {
        const Fragment b = loadMatrixTransposed((v ^ (n * 32)) + step * 16 * Row::kBytes);
#pragma unroll
        for (int slab = 0; slab < kSlabs; ++slab) {
          Math::mma(out_[slab][2 * n], a[slab], b.r[0], b.r[1]);
          Math::mma(out_[slab][2 * n + 1], a[slab], b.r[2], b.r[3]);
        }
      }
    }
  }

  // Divides by the sums and stores the rows, through the warp's own part of Q's shared memory.
  __device__ __forceinline__ void finish() {
    float inverse[kSlabs][2];
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float sum = sum_[slab][half];
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        inverse[slab][half] = sum > 0.0f ? 1.0f / sum : (sum == 0.0f ? 0.0f : sum);
      }
    }
    scaleOut(inverse);
    // The warp's reads of its own rows of Q are over; only this warp reads or writes them.
    __syncwarp();
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
        storeShared(rowOf(slab, 0), n, Math::pack(out_[slab][n][0], out_[slab][n][1]));
        storeShared(rowOf(slab, 1), n, Math::pack(out_[slab][n][2], out_[slab][n][3]));
      }
    }
    __syncwarp();
    storeRows();
  }

  __device__ __forceinline__ void storeShared(int row, int chunk, uint32_t value) {
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(q_ + Row::at(row, chunk) + lane_ % 4 * 4),
                 "r"(value)
                 : "memory");
  }

  __device__ __forceinline__ void storeRows() {
    auto* base = static_cast<uint16_t*>(p_.out.base);
    const int chunk = lane_ % Row::kChunks;
#pragma unroll 4
    for (int i = lane_ / Row::kChunks; i < kSlabs * 16; i += Row::kRowsPerWarp) {
      const int row = warpRow_ + i;
      uint4 value;
      asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                   : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                   : "r"(q_ + Row::at(row, chunk))
                   : "memory");
      if (work_.stored(row)) {
        *reinterpret_cast<uint4*>(base + work_.offset(p_.out, row) + chunk * 8) = value;
      }
    }
  }

  const PrefillParams& p_;
  const PrefillWork& work_;
  int lane_;
  int warpRow_;  // the warp's first row of the tile
  uint32_t q_;
  uint32_t k_;
  uint32_t v_;
  Loader loader_;
  float score_[kSlabs][kTokens / 8][4];
  float out_[kSlabs][kHeadDim / 8][4];
  float max_[kSlabs][2];
  float sum_[kSlabs][2];  // this lane's part
  float slope_[kSlabs][2];
};

template <typename Element, int kHeadDim, int kPageTokens, bool kOptions>
__device__ __forceinline__ void prefill(const PrefillParams& p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  using Block = PrefillBlock<Element, kHeadDim, kPageTokens, kOptions>;
  PrefillWork work;
  if (!findWork<Block::kRows, kOptions>(p, work)) return;
  Block(p, work, sharedAddress(shared)).run();
}

}  // namespace kvspan::attention
