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

// The kernels for Hopper, kvspan_prefill_sm90_..., of head dimensions 64 and 128. One warpgroup
// loads, two compute 64 rows each; the plan is the same.
inline constexpr int kHopperTileRows = 128;
inline constexpr int kHopperTileTokens = 128;
inline constexpr int kHopperStages = 3;
inline constexpr int kHopperLoaders = 128;
inline constexpr int kHopperComputers = 256;
inline constexpr int kHopperThreads = kHopperLoaders + kHopperComputers;
inline constexpr int kHopperLoaderRegisters = 56;  // of the 65,536 that the threads share
inline constexpr int kHopperComputerRegisters = 224;

constexpr bool hopperPrefillHas(int headDim) { return headDim == 64 || headDim == 128; }

// Q, the stages of K and of V, and the barriers.
constexpr int hopperPrefillSharedBytes(int headDim) {
  return 2 * headDim * (kHopperTileRows + 2 * kHopperStages * kHopperTileTokens) + 128;
}

// A block takes work after work: one for each multiprocessor, or fewer for a small capacity.
constexpr std::int64_t hopperPrefillBlocks(std::int64_t tiles, int kvHeads, int multiprocessors) {
  const std::int64_t works = tiles * kvHeads;
  return works < multiprocessors ? works : multiprocessors;
}

}  // namespace kvspan::attention
