// How a tile lies in shared memory: rows of headDim elements, cut into columns of 64 elements (128
// bytes) that lie one after the other. Within a column the 16-byte chunks of a row are permuted
// (chunk ^ row % 8). So the eight rows that an ldmatrix reads lie in different banks, and it is the
// layout with 128-byte swizzle that wgmma reads. Tiles begin on multiples of 1,024 bytes.
#pragma once

#include <cstdint>

namespace kvspan::attention {

template <int kHeadDim, int kRows>
struct TileLayout {
  static constexpr int kColumns = kHeadDim / 64;
  static constexpr int kColumnBytes = kRows * 128;
  static constexpr int kBytes = kRows * kHeadDim * 2;
  static constexpr int kStepBytes = 32;  // 16 elements of a row
  static_assert(kHeadDim % 64 == 0 && kRows % 8 == 0);

  static __device__ __forceinline__ uint32_t at(int row, int chunk) {
    return chunk / 8 * kColumnBytes + row * 128 + ((chunk ^ row) % 8) * 16;
  }

  // From the address of a row's chunk 0 or 1 to the same chunk, 16 * step elements further.
  static __device__ __forceinline__ uint32_t advance(uint32_t address, int step) {
    return (address ^ (step % 4 * kStepBytes)) + step / 4 * kColumnBytes;
  }
};

}  // namespace kvspan::attention
