// Prefill for Hopper: the same tiles of rows, masks and softmax as prefill.cuh, with wgmma. A block
// stays on its multiprocessor and takes one work after another. Its first warpgroup brings Q, K and
// V by cp.async, which knows as little of pages as the other kernel's: KvAddress alone tells the
// layouts apart. Two warpgroups compute 64 rows each:
//
//   S = Q K^T of a tile and O += P V of the tile before are issued together;
//   the softmax of the tile waits for its S alone, and runs under O += P V.
#pragma once

#include "../prefill_shape.hpp"
#include "prefill_rows.cuh"
#include "prefill_tiles.cuh"
#include "wgmma.cuh"

namespace kvspan::attention {

// Addresses of what lies in shared memory, and the barriers: `full` when a tile has arrived, `free`
// when both warpgroups are done with it.
template <int kHeadDim>
struct HopperShared {
  using QLayout = TileLayout<kHeadDim, kHopperTileRows>;
  using KvLayout = TileLayout<kHeadDim, kHopperTileTokens>;
  uint32_t base;

  __device__ __forceinline__ uint32_t q() const { return base; }
  __device__ __forceinline__ uint32_t k(int stage) const {
    return base + QLayout::kBytes + stage * KvLayout::kBytes;
  }
  __device__ __forceinline__ uint32_t v(int stage) const { return k(kHopperStages + stage); }
  __device__ __forceinline__ uint32_t barrier(int index) const {
    return k(2 * kHopperStages) + index * 8;
  }
  __device__ __forceinline__ uint32_t qFull() const { return barrier(0); }
  __device__ __forceinline__ uint32_t qFree() const { return barrier(1); }
  __device__ __forceinline__ uint32_t kFull(int stage) const { return barrier(2 + stage); }
  __device__ __forceinline__ uint32_t kFree(int stage) const {
    return barrier(2 + kHopperStages + stage);
  }
  __device__ __forceinline__ uint32_t vFull(int stage) const {
    return barrier(2 + 2 * kHopperStages + stage);
  }
  __device__ __forceinline__ uint32_t vFree(int stage) const {
    return barrier(2 + 3 * kHopperStages + stage);
  }

  // By one thread, before all others use them.
  __device__ __forceinline__ void initBarriers() const {
    constexpr int kLoads = kHopperLoaders;           // every loading thread arrives
    constexpr int kReaders = kHopperComputers / 32;  // a lane of every computing warp arrives
    initBarrier(qFull(), kLoads);
    initBarrier(qFree(), kReaders);
    for (int stage = 0; stage < kHopperStages; ++stage) {
      initBarrier(kFull(stage), kLoads);
      initBarrier(kFree(stage), kReaders);
      initBarrier(vFull(stage), kLoads);
      initBarrier(vFree(stage), kReaders);
    }
  }
};

// Where both sides are in the ring of stages.
struct HopperRing {
  int stage = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void next() {
    stage = stage + 1 == kHopperStages ? 0 : stage + 1;
    parity ^= stage == 0;
  }
};

// Calls `each(work)` for this block's works. Every other round goes backwards, as the works get
// shorter: so the blocks get equal sums.
template <bool kOptions, typename Each>
__device__ __forceinline__ void forEachWork(const PrefillParams& p, Each each) {
  const int works = *p.tileCount * p.kvHeads;
  const int blocks = gridDim.x;
  bool backwards = false;
  for (int first = 0; first < works; first += blocks, backwards = !backwards) {
    const int index = first + (backwards ? blocks - 1 - blockIdx.x : blockIdx.x);
    PrefillWork work;
    if (index < works && findWork<kHopperTileRows, kOptions>(p, index, work)) each(work);
  }
}

template <int kHeadDim, int kPageTokens, bool kOptions>
class HopperLoader {
 public:
  __device__ __forceinline__ HopperLoader(const PrefillParams& p, HopperShared<kHeadDim> shared,
                                          int thread)
      : p_(p), shared_(shared), thread_(thread) {}

  __device__ __forceinline__ void run() {
    uint32_t qParity = 0;
    HopperRing ring;
    forEachWork<kOptions>(p_, [&](const PrefillWork& work) {
      waitFor(shared_.qFree(), qParity ^ 1);
      qParity ^= 1;
      loadQueries<kHeadDim, kHopperTileRows, kHopperLoaders>(p_, work, shared_.q(), thread_);
      arriveWithCopies(shared_.qFull());
      KvLoader<kHeadDim, kPageTokens, kHopperTileTokens, kHopperLoaders / 32> loader(
          p_, work, thread_ / 32, thread_ % 32);
      int token = work.lastTile(kHopperTileTokens);
      loader.lookup(token);
      load<true>(loader, ring, token);
      for (token -= kHopperTileTokens; token + kHopperTileTokens > work.beginToken;
           token -= kHopperTileTokens) {
        load<false>(loader, ring, token);
      }
    });
  }

 private:
  template <bool kChecked, typename Loader>
  __device__ __forceinline__ void load(Loader& loader, HopperRing& ring, int token) {
    waitFor(shared_.kFree(ring.stage), ring.parity ^ 1);
    loader.template loadK<kChecked>(p_.kv, shared_.k(ring.stage), token);
    arriveWithCopies(shared_.kFull(ring.stage));
    waitFor(shared_.vFree(ring.stage), ring.parity ^ 1);
    loader.template loadV<kChecked>(p_.kv, shared_.v(ring.stage), token);
    arriveWithCopies(shared_.vFull(ring.stage));
    loader.lookup(token - kHopperTileTokens);
    ring.next();
  }

  const PrefillParams& p_;
  HopperShared<kHeadDim> shared_;
  int thread_;
};

// One warpgroup's 64 rows.
template <typename Element, int kHeadDim, bool kOptions>
class HopperComputer {
  using Math = Arithmetic<Element>;
  using Rows = PrefillRows<1, kHopperTileTokens, kOptions>;
  using Shared = HopperShared<kHeadDim>;
  static constexpr int kSteps = kHopperTileTokens / 16;  // of P V

 public:
  __device__ __forceinline__ HopperComputer(const PrefillParams& p, Shared shared, int thread)
      : p_(p), shared_(shared), lane_(thread % 32), warp_(thread / 32), group_(thread / 128) {}

  __device__ __forceinline__ void run() {
    forEachWork<kOptions>(p_, [&](const PrefillWork& work) { compute(work); });
  }

 private:
  __device__ __forceinline__ void release(uint32_t barrier) const {
    if (lane_ == 0) arrive(barrier);
  }

  __device__ __forceinline__ void compute(const PrefillWork& work) {
    Rows rows(p_, work, warp_ * 16, lane_);
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) out_[0][n][i] = 0.0f;
    }
    int token = work.lastTile(kHopperTileTokens);
    begin(rows, token, token > work.beginToken);
    while (token > work.beginToken) {
      token -= kHopperTileTokens;
      advance(rows, token, token > work.beginToken);
    }
    finish();
    scaleRows<1, kHeadDim>(out_, rows.normalizers());
    storeOut<Math, 1, kHeadDim>(p_, work, rows, out_, lane_);
  }

  // The first tile's scores and weights.
  __device__ __forceinline__ void begin(Rows& rows, int token, bool more) {
    waitFor(shared_.qFull(), qParity_);
    qParity_ ^= 1;
    waitFor(shared_.kFull(k_.stage), k_.parity);
    fenceForWgmma();
    issueQk();
    waitForProducts<0>();
    pin(scores_[0]);
    releaseK(more);
    rows.adjust(scores_, token);
    rows.weigh(scores_);
    keepWeights();
    awaitNext(more);
  }

  // The next tile's scores and weights, and the last one's outputs.
  __device__ __forceinline__ void advance(Rows& rows, int token, bool more) {
    issueQk();
    issuePv();
    waitForProducts<1>();
    pin(scores_[0]);
    releaseK(more);
    rows.adjust(scores_, token);
    const auto factors = rows.weigh(scores_);
    // The softmax before the waits, so that it runs under the products, and so do the waits.
    pin(scores_[0]);
    HopperRing last = v_;
    v_.next();
    awaitNext(more);
    waitForProducts<0>();
    pin(out_[0]);
    release(shared_.vFree(last.stage));
    scaleRows<1, kHeadDim>(out_, factors);
    keepWeights();
  }

  // The last tile's outputs.
  __device__ __forceinline__ void finish() {
    issuePv();
    waitForProducts<0>();
    pin(out_[0]);
    release(shared_.vFree(v_.stage));
    v_.next();
  }

  // After a tile's scores; those of a work's last tile are the last that read Q.
  __device__ __forceinline__ void releaseK(bool more) {
    release(shared_.kFree(k_.stage));
    k_.next();
    if (!more) release(shared_.qFree());
  }

  // Until what the next products read has arrived.
  __device__ __forceinline__ void awaitNext(bool more) const {
    if (more) waitFor(shared_.kFull(k_.stage), k_.parity);
    waitFor(shared_.vFull(v_.stage), v_.parity);
    fenceForWgmma();
  }

  __device__ __forceinline__ void issueQk() {
    const uint32_t q = shared_.q() + group_ * 64 * 128;
    const uint32_t k = shared_.k(k_.stage);
    pin(scores_[0]);
    beginProducts();
#pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step) {
      const uint32_t inRow = step % 4 * 32;
      const uint32_t column = step / 4;
      wgmmaQk(Element(), scores_[0],
              describe(q + column * Shared::QLayout::kColumnBytes + inRow, 0),
              describe(k + column * Shared::KvLayout::kColumnBytes + inRow, 0), step > 0);
    }
    commitProducts();
  }

  __device__ __forceinline__ void issuePv() {
    const uint32_t v = shared_.v(v_.stage);
    pin(out_[0]);
    beginProducts();
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      wgmmaPv(Element(), out_[0], weights_[step],
              describe(v + step * 16 * 128, Shared::KvLayout::kColumnBytes));
    }
    commitProducts();
  }

  __device__ __forceinline__ void keepWeights() {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      weights_[step] = Math::weights(scores_[0][2 * step], scores_[0][2 * step + 1]);
    }
  }

  const PrefillParams& p_;
  Shared shared_;
  int lane_;
  int warp_;  // of the eight computing warps: 16 rows each
  int group_;
  uint32_t qParity_ = 0;
  HopperRing k_;
  HopperRing v_;
  SlabRegisters<1, kHopperTileTokens> scores_;
  SlabRegisters<1, kHeadDim> out_;
  Fragment weights_[kSteps];
};

template <typename Element, int kHeadDim, int kPageTokens, bool kOptions>
__device__ __forceinline__ void prefillHopper(const PrefillParams& p) {
  extern __shared__ __align__(1024) unsigned char memory[];
  const HopperShared<kHeadDim> shared{sharedAddress(memory)};
  if (threadIdx.x == 0) shared.initBarriers();
  __syncthreads();
  if (threadIdx.x < kHopperLoaders) {
    giveUpRegisters<kHopperLoaderRegisters>();
    HopperLoader<kHeadDim, kPageTokens, kOptions>(p, shared, threadIdx.x).run();
  } else {
    takeRegisters<kHopperComputerRegisters>();
    HopperComputer<Element, kHeadDim, kOptions>(p, shared, threadIdx.x - kHopperLoaders).run();
  }
}

}  // namespace kvspan::attention
