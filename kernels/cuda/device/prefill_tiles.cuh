// How tiles get into shared memory. A tile is rows of headDim elements; within each row the 16-byte
// chunks are permuted (chunk ^ row % 8), so that the eight rows that one ldmatrix reads lie in
// different banks.
#pragma once

#include "kv_address.cuh"
#include "mma.cuh"
#include "prefill_work.cuh"

namespace kvspan::attention {

template <int kHeadDim>
struct RowShape {
  static constexpr int kBytes = kHeadDim * 2;
  static constexpr int kChunks = kHeadDim / 8;  // of 16 bytes
  static constexpr int kRowsPerWarp = 32 / kChunks;  // that a warp copies with one instruction

  static __device__ __forceinline__ uint32_t at(int row, int chunk) {
    return row * kBytes + ((chunk ^ (row & 7)) << 4);
  }
};

// Copies a warp's share of the tiles of K and V, rows [warp * kRows, warp * kRows + kRows). With
// pages each lane keeps the table's entry of one row; what it looks up for a tile is used when the
// tile is loaded, one tile later, so that the table's latency is hidden.
template <int kHeadDim, int kPageTokens, int kTileTokens, int kWarps>
class KvLoader {
  using Row = RowShape<kHeadDim>;
  static constexpr int kRows = kTileTokens / kWarps;
  static constexpr int kSteps = kRows / Row::kRowsPerWarp;
  static_assert(kRows <= 32 && kRows % Row::kRowsPerWarp == 0);
  // Whether a warp's rows are evenly spaced: always, or because they share a page.
  static constexpr bool kEven = kPageTokens == 0 || kPageTokens >= kRows;

 public:
  __device__ __forceinline__ KvLoader(const PrefillParams& p, const PrefillWork& work, int warp,
                                      int lane)
      : address_(p.kv, work.request), firstRow_(warp * kRows), lane_(lane) {
    const int chunk = lane % Row::kChunks;
    k_ = start(p.kv.k, work.kvHead) + chunk * 8;
    v_ = start(p.kv.v, work.kvHead) + chunk * 8;
  }

  // Asks where the tile that begins at `token` lies. `end` is one past the last token that exists.
  __device__ __forceinline__ void lookup(int token, int end) {
    const int row = kEven ? 0 : lane_ % kRows;
    found_ = address_.lookup(min(token + firstRow_ + row, end - 1));
  }

  // Loads the tile that was looked up last. Rows at or past `end` are zeros if kChecked, which
  // only the last tile of a request needs.
  template <bool kChecked>
  __device__ __forceinline__ void load(const KvView& kv, uint32_t kShared, uint32_t vShared,
                                       int token, int end) const {
    const int base = token + firstRow_;
    const int rowInStep = lane_ / Row::kChunks;
    const int chunk = lane_ % Row::kChunks;
    if constexpr (kEven) {
      const uint16_t* k = k_ + address_.offset(kv.k, found_, base) + rowInStep * kv.k.tokenStride;
      const uint16_t* v = v_ + address_.offset(kv.v, found_, base) + rowInStep * kv.v.tokenStride;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const int row = step * Row::kRowsPerWarp + rowInStep;
        const uint32_t to = Row::at(firstRow_ + row, chunk);
        copy<kChecked>(kShared + to, k, base + row < end, k_);
        copy<kChecked>(vShared + to, v, base + row < end, v_);
        k += Row::kRowsPerWarp * kv.k.tokenStride;
        v += Row::kRowsPerWarp * kv.v.tokenStride;
      }
    } else {
      const int ownToken = base + lane_ % kRows;
      const int64_t kOwn = address_.offset(kv.k, found_, ownToken);
      const int64_t vOwn = address_.offset(kv.v, found_, ownToken);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const int row = step * Row::kRowsPerWarp + rowInStep;
        const uint32_t to = Row::at(firstRow_ + row, chunk);
        const int64_t k = __shfl_sync(~0u, kOwn, row);
        const int64_t v = __shfl_sync(~0u, vOwn, row);
        copy<kChecked>(kShared + to, k_ + k, base + row < end, k_);
        copy<kChecked>(vShared + to, v_ + v, base + row < end, v_);
      }
    }
  }

 private:
  static __device__ __forceinline__ const uint16_t* start(const KvTensor& tensor, int head) {
    return static_cast<const uint16_t*>(tensor.base) + head * tensor.headStride;
  }

  template <bool kChecked>
  static __device__ __forceinline__ void copy(uint32_t to, const uint16_t* from, bool exists,
                                              const uint16_t* valid) {
    if constexpr (kChecked) {
      copyAsync(to, exists ? from : valid, exists ? 16 : 0);
    } else {
      copyAsync(to, from);
    }
  }

  KvAddress<kPageTokens> address_;
  const uint16_t* k_;
  const uint16_t* v_;
  int32_t found_ = 0;
  int firstRow_;
  int lane_;
};

// Copies the rows of Q; those past the end are zeros.
template <int kHeadDim, int kRows, int kThreads>
__device__ __forceinline__ void loadQueries(const PrefillParams& p, const PrefillWork& work,
                                            uint32_t shared, int thread) {
  using Row = RowShape<kHeadDim>;
  const auto* base = static_cast<const uint16_t*>(p.queries.base);
  const int chunk = thread % Row::kChunks;
#pragma unroll 4
  for (int row = thread / Row::kChunks; row < kRows; row += kThreads / Row::kChunks) {
    const bool exists = work.stored(row);
    const uint16_t* from = exists ? base + work.offset(p.queries, row) + chunk * 8 : base;
    copyAsync(shared + Row::at(row, chunk), from, exists ? 16 : 0);
  }
}

}  // namespace kvspan::attention
