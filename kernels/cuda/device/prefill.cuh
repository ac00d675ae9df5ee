// Causal attention of new queries over all tokens of their requests, from sm_80 on. One block
// computes one tile of query rows of one KV head; its four warps share the tiles of K and V, and
// each warp keeps its own rows' scores and outputs in registers:
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
#include "prefill_rows.cuh"
#include "prefill_tiles.cuh"

namespace kvspan::attention {

template <typename Element, int kHeadDim, int kPageTokens, bool kOptions>
class PrefillBlock {
 public:
  static constexpr int kRows = prefillTileRows(kHeadDim);

 private:
  using Math = Arithmetic<Element>;
  static constexpr int kWarps = kPrefillThreads / 32;
  static constexpr int kTokens = prefillTileTokens(kHeadDim);
  static constexpr int kSlabs = kRows / kWarps / 16;  // of 16 rows, that a warp computes
  using QLayout = TileLayout<kHeadDim, kRows>;
  using KvLayout = TileLayout<kHeadDim, kTokens>;
  using Loader = KvLoader<kHeadDim, kPageTokens, kTokens, kWarps>;
  using Rows = PrefillRows<kSlabs, kTokens, kOptions>;

 public:
  __device__ __forceinline__ PrefillBlock(const PrefillParams& p, const PrefillWork& work,
                                          uint32_t shared)
      : p_(p),
        work_(work),
        lane_(threadIdx.x % 32),
        warpRow_(threadIdx.x / 32 * (kSlabs * 16)),
        q_(shared),
        k_(shared + QLayout::kBytes),
        v_(k_ + kPrefillStages * KvLayout::kBytes),
        loader_(p, work, threadIdx.x / 32, lane_),
        rows_(p, work, warpRow_, lane_) {}

  __device__ __forceinline__ void run() {
    int token = work_.lastTile(kTokens);
    loadQueries<kHeadDim, kRows, kPrefillThreads>(p_, work_, q_, threadIdx.x);
    loader_.lookup(token);
    load<true>(token, 0);
    clear(out_);
    for (int stage = 0;; stage ^= 1, token -= kTokens) {
      waitForCopies<0>();
      // Everybody's copies have arrived, and everybody is done with the other stage.
      __syncthreads();
      if (token > work_.beginToken) load<false>(token - kTokens, stage ^ 1);
      multiplyQk(k_ + stage * KvLayout::kBytes);
      rows_.adjust(scores_, token);
      scaleRows<kSlabs, kHeadDim>(out_, rows_.weigh(scores_));
      multiplyPv(v_ + stage * KvLayout::kBytes);
      if (token <= work_.beginToken) break;
    }
    scaleRows<kSlabs, kHeadDim>(out_, rows_.normalizers());
    storeOut<Math, kSlabs, kHeadDim>(p_, work_, rows_, out_, lane_);
  }

 private:
  template <bool kChecked>
  __device__ __forceinline__ void load(int token, int stage) {
    loader_.template loadK<kChecked>(p_.kv, k_ + stage * KvLayout::kBytes, token);
    loader_.template loadV<kChecked>(p_.kv, v_ + stage * KvLayout::kBytes, token);
    commitCopies();
    loader_.lookup(token - kTokens);
  }

  template <int kColumns>
  static __device__ __forceinline__ void clear(float (&values)[kSlabs][kColumns][4]) {
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) values[slab][n][i] = 0.0f;
      }
    }
  }

  __device__ __forceinline__ void multiplyQk(uint32_t k) {
    clear(scores_);
    const uint32_t q = q_ + QLayout::at(warpRow_ + lane_ % 16, lane_ / 16);
    k += KvLayout::at(lane_ % 8 + lane_ / 16 * 8, lane_ / 8 % 2);
#pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step) {
      Fragment a[kSlabs];
#pragma unroll
      for (int slab = 0; slab < kSlabs; ++slab) {
        a[slab] = loadMatrix(QLayout::advance(q, step) + slab * 16 * 128);
      }
#pragma unroll
      for (int n = 0; n < kTokens / 16; ++n) {
        const Fragment b = loadMatrix(KvLayout::advance(k, step) + n * 16 * 128);
#pragma unroll
        for (int slab = 0; slab < kSlabs; ++slab) {
          Math::mma(scores_[slab][2 * n], a[slab], b.r[0], b.r[1]);
          Math::mma(scores_[slab][2 * n + 1], a[slab], b.r[2], b.r[3]);
        }
      }
    }
  }

  __device__ __forceinline__ void multiplyPv(uint32_t v) {
    v += KvLayout::at(lane_ % 16, lane_ / 16);
#pragma unroll
    for (int step = 0; step < kTokens / 16; ++step) {
      Fragment a[kSlabs];
#pragma unroll
      for (int slab = 0; slab < kSlabs; ++slab) {
        a[slab] = Math::weights(scores_[slab][2 * step], scores_[slab][2 * step + 1]);
      }
#pragma unroll
      for (int n = 0; n < kHeadDim / 16; ++n) {
        const Fragment b = loadMatrixTransposed(KvLayout::advance(v, n) + step * 16 * 128);
#pragma unroll
        for (int slab = 0; slab < kSlabs; ++slab) {
          Math::mma(out_[slab][2 * n], a[slab], b.r[0], b.r[1]);
          Math::mma(out_[slab][2 * n + 1], a[slab], b.r[2], b.r[3]);
        }
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
  Rows rows_;
  SlabRegisters<kSlabs, kTokens> scores_;
  SlabRegisters<kSlabs, kHeadDim> out_;
};

template <typename Element, int kHeadDim, int kPageTokens, bool kOptions>
__device__ __forceinline__ void prefill(const PrefillParams& p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  using Block = PrefillBlock<Element, kHeadDim, kPageTokens, kOptions>;
  PrefillWork work;
  if (!findWork<Block::kRows, kOptions>(p, blockIdx.x, work)) return;
  Block(p, work, sharedAddress(shared)).run();
}

}  // namespace kvspan::attention
