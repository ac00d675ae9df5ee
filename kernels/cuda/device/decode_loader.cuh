// The copies of a decode warp: tile after tile of K and V into its ring in shared memory.
#pragma once

#include "../decode_shape.hpp"
#include "kv_address.cuh"
#include "mma.cuh"

namespace kvspan::attention {

inline constexpr unsigned kFullWarp = 0xffffffffu;

// Where 16 bytes of a row lie in a tile: rows are shifted against each other so that a matrix load,
// which reads the same piece of 8 rows, finds them in different banks.
template <int HeadDim>
__device__ __forceinline__ std::uint32_t tileOffset(int row, int chunk) {
  return row * (HeadDim * 2) + ((chunk ^ (row & 7)) << 4);
}

__device__ __forceinline__ DecodeItem readItem(const DecodeItem* items, int index) {
  DecodeItem item;
  const int4* const from = reinterpret_cast<const int4*>(items + index);
  int4* const to = reinterpret_cast<int4*>(&item);
  to[0] = __ldg(from);
  to[1] = __ldg(from + 1);
  to[2] = __ldg(from + 2);
  return item;
}

// The items of this block.
class DecodeItems {
 public:
  __device__ __forceinline__ explicit DecodeItems(const DecodePlanView& plan) : items_(plan.items) {
    const DecodeItem first = readItem(items_, blockIdx.x);
    further_ = __ldg(plan.blockStarts + blockIdx.x);
    const int end = __ldg(plan.blockStarts + blockIdx.x + 1);
    count_ = first.parts == 0 ? 0 : 1 + end - further_;
  }
  __device__ __forceinline__ int count() const { return count_; }
  __device__ __forceinline__ DecodeItem at(int index) const {
    return readItem(items_, index == 0 ? blockIdx.x : further_ + index - 1);
  }

 private:
  const DecodeItem* items_;
  int further_;
  int count_;
};

// A warp's copies: tile after tile of its items, in the order in which it will compute them.
template <int HeadDim, int PageTokens>
class DecodeLoader {
  using Shape = DecodeShape<HeadDim>;
  using Address = KvAddress<PageTokens>;
  static constexpr int kChunks = HeadDim / 8;         // of 16 bytes in a row
  static constexpr int kRowsAtOnce = 32 / kChunks;    // that the warp copies with one instruction
  static constexpr int kCopies = Shape::kTileTokens / kRowsAtOnce;
  // One entry of the table serves a whole tile.
  static constexpr bool kUniform = Address::kRowsPerLookup >= Shape::kTileTokens;

 public:
  __device__ __forceinline__ DecodeLoader(const DecodeParams& params, const DecodeItems& items,
                                          std::uint32_t ring)
      : params_(params), items_(items), ring_(ring) {
    nextItem();
    lookAhead();
  }

  // Starts the copies of the next tile, if there is one, into `stage`; a group either way.
  __device__ __forceinline__ void load(int stage) {
    if (item_ < items_.count()) {
      copyTile(ring_ + stage * (2 * Shape::kHalfBytes));
      token_ += Shape::kWarps * Shape::kTileTokens;
      if (token_ >= end_) nextItem();
      lookAhead();
    }
    commitCopies();
  }

 private:
  __device__ __forceinline__ void nextItem() {
    const int warp = threadIdx.x / 32;
    while (++item_ < items_.count()) {
      const DecodeItem item = items_.at(item_);
      token_ = item.begin + warp * Shape::kTileTokens;
      end_ = item.end;
      if (token_ >= end_) continue;
      address_ = Address(params_.kv, item.request);
      kHead_ = item.kvHead * params_.kv.k.headStride;
      vHead_ = item.kvHead * params_.kv.v.headStride;
      return;
    }
  }

  __device__ __forceinline__ void lookAhead() {
    if (item_ >= items_.count()) return;
    const int row = kUniform ? 0 : threadIdx.x % Shape::kTileTokens;
    found_ = address_.lookup(min(token_ + row, end_ - 1));
  }

  __device__ __forceinline__ void copyTile(std::uint32_t to) const {
    const int lane = threadIdx.x % 32;
    const int firstRow = lane / kChunks;
    const int chunk = lane % kChunks;
    const auto* const k = static_cast<const std::uint16_t*>(params_.kv.k.base) + kHead_ + chunk * 8;
    const auto* const v = static_cast<const std::uint16_t*>(params_.kv.v.base) + vHead_ + chunk * 8;
    std::int64_t kRow = Address::offset(params_.kv.k, found_, token_) +
                        firstRow * params_.kv.k.tokenStride;
    std::int64_t vRow = Address::offset(params_.kv.v, found_, token_) +
                        firstRow * params_.kv.v.tokenStride;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int row = i * kRowsAtOnce + firstRow;
      if constexpr (!kUniform) {
        const std::int32_t found = __shfl_sync(kFullWarp, found_, row);
        kRow = Address::offset(params_.kv.k, found, token_ + row);
        vRow = Address::offset(params_.kv.v, found, token_ + row);
      }
      const int bytes = token_ + row < end_ ? 16 : 0;
      const std::uint32_t at = to + tileOffset<HeadDim>(row, chunk);
      copyAsync(at, k + kRow, bytes);
      copyAsync(at + Shape::kHalfBytes, v + vRow, bytes);
      kRow += kRowsAtOnce * params_.kv.k.tokenStride;
      vRow += kRowsAtOnce * params_.kv.v.tokenStride;
    }
  }

  const DecodeParams& params_;
  const DecodeItems& items_;
  const std::uint32_t ring_;
  int item_ = -1;
  int token_ = 0;
  int end_ = 0;
  Address address_;
  std::int64_t kHead_ = 0;
  std::int64_t vHead_ = 0;
  std::int32_t found_ = 0;
};

}  // namespace kvspan::attention
