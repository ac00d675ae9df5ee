// The prefill kernels' tiles and launch shapes: read by the device code, by the plan and by the
// host that launches. Kernels are named kvspan_prefill_<bf16|fp16>_d<headDim>_p<pageTokens>, with
// _options at the end of those that read all of ScoreOptions; the plain ones read `scale` alone.
#pragma once

#include <cstdint>

namespace kvspan::attention {

// Query rows of a tile, and tokens that are in shared memory as one tile of K and of V.
constexpr int prefillTileRows(int headDim) { return headDim <= 128 ? 128 : 64; }
constexpr int prefillTileTokens(int headDim) { return headDim <= 128 ? 64 : 32; }

inline constexpr int kPrefillThreads = 128;
inline constexpr int kPrefillStages = 2;  // tiles of K and V in shared memory: read and arriving

// Dynamic shared memory of a block: the rows of Q, and the stages of K and of V, in 16-bit elements.
constexpr int prefillSharedBytes(int headDim) {
  return 2 * headDim * (prefillTileRows(headDim) + 2 * kPrefillStages * prefillTileTokens(headDim));
}

// Blocks of a grid, which has one dimension, for a capacity of tiles.
constexpr std::int64_t prefillBlocks(std::int64_t tiles, int kvHeads) { return tiles * kvHeads; }

}  // namespace kvspan::attention
