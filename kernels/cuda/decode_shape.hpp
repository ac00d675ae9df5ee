// The decode kernels' launch shapes: read by the device code and by the host that launches. Kernels
// are named kvspan_decode_<bf16|fp16>_d<headDim>_p<pageTokens>_r<rows>, rows being the query heads
// that a unit holds.
#pragma once

#include <cstdint>

#include "params.hpp"

namespace kvspan::attention {

template <int HeadDim>
struct DecodeShape {
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kTileTokens = kDecodeTileTokens / kWarps;  // of a warp
  static constexpr int kHalfBytes = kTileTokens * HeadDim * 2;    // K or V of a tile
  // Tiles of a warp in shared memory. At least 64 KiB a multiprocessor are on their way with these.
  static constexpr int kStages = HeadDim == 64 ? 6 : HeadDim == 128 ? 3 : 2;
  static constexpr int kBlocksPerMultiprocessor = HeadDim == 256 ? 1 : 2;
  static constexpr int kRingBytes = kWarps * kStages * 2 * kHalfBytes;
};

// Where the warps of a block merge their results.
template <int HeadDim, int Rows>
struct DecodeScratch {
  float weighted[Rows][HeadDim + 4];  // the columns of 8 rows lie in different banks
  float reference[DecodeShape<HeadDim>::kWarps][Rows];
  float sum[DecodeShape<HeadDim>::kWarps][Rows];
};

struct DecodeLaunch {
  int threads;
  int sharedBytes;
  int blocksPerMultiprocessor;
};

template <int HeadDim>
constexpr DecodeLaunch decodeLaunch(int rows) {
  using Shape = DecodeShape<HeadDim>;
  const auto scratch = rows == 8 ? sizeof(DecodeScratch<HeadDim, 8>)
                                 : sizeof(DecodeScratch<HeadDim, kDecodeRowsMax>);
  return {Shape::kThreads, Shape::kRingBytes + static_cast<int>(scratch),
          Shape::kBlocksPerMultiprocessor};
}

constexpr DecodeLaunch decodeLaunch(int headDim, int rows) {
  return headDim == 64    ? decodeLaunch<64>(rows)
         : headDim == 128 ? decodeLaunch<128>(rows)
                          : decodeLaunch<256>(rows);
}

// Floats of one part in the workspace: for each row the weighted sum, the reference and the sum.
constexpr std::int64_t decodePartFloats(int headDim, int rows) {
  return std::int64_t{rows} * (headDim + 2);
}

inline constexpr int kAppendThreads = 128;

}  // namespace kvspan::attention
