// How the tiles of K, V and Q get into shared memory: by cp.async, 16 bytes a thread.
#pragma once

#include "kv_address.cuh"
#include "mma.cuh"
#include "prefill_work.cuh"
#include "tile_layout.cuh"

namespace kvspan::attention {

// With one instruction a warp copies four rows of a column (128 bytes): eight lanes a row.
inline constexpr int kRowsPerStep = 4;

// Copies a warp's share of a tile of K or V, rows [warp * kRows, warp * kRows + kRows). With pages
// each lane keeps the table's entry of one row; it is looked up one tile ahead, so that the table's
// latency is hidden.
template <int kHeadDim, int kPageTokens, int kTileTokens, int kWarps>
class KvLoader {
  using Layout = TileLayout<kHeadDim, kTileTokens>;
  static constexpr int kRows = kTileTokens / kWarps;
  static constexpr int kSteps = kRows / kRowsPerStep;
  static_assert(kRows <= 32 && kRows % 8 == 0);
  // Rows of a warp that are evenly spaced, as they share a page or there is none, and the steps in
  // which they are copied.
  static constexpr int kRun = kPageTokens == 0 || kPageTokens > kRows ? kRows : kPageTokens;
  static constexpr int kRunSteps = (kRun + kRowsPerStep - 1) / kRowsPerStep;
  static constexpr bool kEven = kRun == kRows;

 public:
  __device__ __forceinline__ KvLoader(const PrefillParams& p, const PrefillWork& work, int warp,
                                      int lane)
      : address_(p.kv, work.request),
        k_(start(p.kv.k, work.kvHead, lane)),
        v_(start(p.kv.v, work.kvHead, lane)),
        end_(work.endToken),
        firstRow_(warp * kRows),
        lane_(lane) {}

  // Asks where the tile that begins at `token` lies; a token before 0 is taken as 0.
  __device__ __forceinline__ void lookup(int token) {
    const int row = kEven ? 0 : lane_ % kRows;
    found_ = address_.lookup(min(max(token, 0) + firstRow_ + row, end_ - 1));
  }

  // Load the tile that was looked up last. Rows past the end are zeros if kChecked, which only the
  // last tile of a request needs.
  template <bool kChecked>
  __device__ __forceinline__ void loadK(const KvView& kv, uint32_t shared, int token) const {
    load<kChecked>(kv.k, k_, shared, token);
  }
  template <bool kChecked>
  __device__ __forceinline__ void loadV(const KvView& kv, uint32_t shared, int token) const {
    load<kChecked>(kv.v, v_, shared, token);
  }

 private:
  static __device__ __forceinline__ const uint16_t* start(const KvTensor& tensor, int head,
                                                          int lane) {
    return static_cast<const uint16_t*>(tensor.base) + head * tensor.headStride + lane % 8 * 8;
  }

  template <bool kChecked>
  __device__ __forceinline__ void load(const KvTensor& tensor, const uint16_t* base,
                                       uint32_t shared, int token) const {
    const int rowInStep = lane_ / 8;
    const int first = token + firstRow_ + rowInStep;
    const uint32_t to = shared + Layout::at(firstRow_ + rowInStep, lane_ % 8);
    const uint16_t* from = base;
    if (kEven) from += address_.offset(tensor, found_, first);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int row = step * kRowsPerStep;
      if (!kEven && step % kRunSteps == 0) {
        const int32_t found = __shfl_sync(~0u, found_, row + rowInStep);
        from = base + address_.offset(tensor, found, first + row);
      }
      // Every other step the rows are 4 to 7 of their eight: that flips a bit of the chunks' order.
      copyRow<kChecked>((to ^ (step % 2 * 64)) + row * 128, from, first + row < end_, base);
      from += kRowsPerStep * tensor.tokenStride;
    }
  }

  // This lane's chunk of each column.
  template <bool kChecked>
  static __device__ __forceinline__ void copyRow(uint32_t to, const uint16_t* from, bool exists,
                                                 const uint16_t* valid) {
#pragma unroll
    for (int column = 0; column < Layout::kColumns; ++column) {
      if constexpr (kChecked) {
        copyAsync(to + column * Layout::kColumnBytes, (exists ? from : valid) + column * 64,
                  exists ? 16 : 0);
      } else {
        copyAsync(to + column * Layout::kColumnBytes, from + column * 64);
      }
    }
  }

  KvAddress<kPageTokens> address_;
  const uint16_t* k_;  // of token 0 of the first slot or page: this head, this lane's chunk
  const uint16_t* v_;
  int32_t found_ = 0;
  int end_;  // one past the last token that exists
  int firstRow_;
  int lane_;
};

// Copies the rows of Q; those past the end are zeros.
template <int kHeadDim, int kRows, int kThreads>
__device__ __forceinline__ void loadQueries(const PrefillParams& p, const PrefillWork& work,
                                            uint32_t shared, int thread) {
  using Layout = TileLayout<kHeadDim, kRows>;
  const auto* base = static_cast<const uint16_t*>(p.queries.base);
  const int chunk = thread % 8;
#pragma unroll 2
  for (int row = thread / 8; row < kRows; row += kThreads / 8) {
    const bool exists = work.stored(row);
    const uint16_t* from = exists ? base + work.offset(p.queries, row) + chunk * 8 : base;
#pragma unroll
    for (int column = 0; column < Layout::kColumns; ++column) {
      copyAsync(shared + Layout::at(row, column * 8 + chunk), from + column * 64,
                exists ? 16 : 0);
    }
  }
}

}  // namespace kvspan::attention
