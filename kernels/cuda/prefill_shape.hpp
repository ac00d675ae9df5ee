// The prefill kernels' tiles and launch shapes: read by the device code, by the plan and by the
// host that launches. There are two families, which take the same parameters and the same plan:
//   kvspan_prefill_<bf16|fp16>_d<headDim>_p<pageTokens>        from sm_80 on, mma.sync
//   kvspan_prefill_sm90_<bf16|fp16>_d<headDim>_p<pageTokens>   Hopper alone, wgmma
// with _options at the end of those that read all of ScoreOptions; the plain ones read `scale`
// alone, and it must be above zero.
#pragma once

#include <cstdint>

#include "params.hpp"

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

// Whether a launch needs the kernel with options. A scale that is not above zero does: the plain
// kernels take the maximum of the scores before they are scaled.
constexpr bool prefillReadsOptions(const ScoreOptions& options) {
  return options.softCap > 0 || options.window > 0 || options.alibiSlopes != nullptr ||
         !(options.scale > 0);
}

// ---- Hopper: one warpgroup loads, two compute 64 rows each

inline constexpr int kHopperTileRows = 128;
inline constexpr int kHopperTileTokens = 128;
inline constexpr int kHopperStages = 3;
inline constexpr int kHopperLoaders = 128;
inline constexpr int kHopperComputers = 256;
inline constexpr int kHopperThreads = kHopperLoaders + kHopperComputers;
// Registers of a thread, of the 65,536 that all share.
inline constexpr int kHopperLoaderRegisters = 56;
inline constexpr int kHopperComputerRegisters = 224;
static_assert(kHopperLoaders * kHopperLoaderRegisters +
                  kHopperComputers * kHopperComputerRegisters <= 65'536);
static_assert(kHopperTileRows == prefillTileRows(64) && kHopperTileRows == prefillTileRows(128));

// Q, the stages of K and of V, and the barriers.
constexpr int hopperPrefillSharedBytes(int headDim) {
  return 2 * headDim * (kHopperTileRows + 2 * kHopperStages * kHopperTileTokens) + 128;
}

// A block takes work after work: one for each multiprocessor, or fewer for a small capacity.
constexpr std::int64_t hopperPrefillBlocks(std::int64_t tiles, int kvHeads, int multiprocessors) {
  const std::int64_t works = tiles * kvHeads;
  return works < multiprocessors ? works : multiprocessors;
}

// How to launch prefill on a device.
struct PrefillLaunch {
  const char* kernel;  // "prefill" or "prefill_sm90": of the fatbin, and after "kvspan_"
  int threads;
  int sharedBytes;
  std::int64_t blocks;
};

constexpr PrefillLaunch prefillLaunch(int headDim, std::int64_t tilesMax, int kvHeads,
                                      int computeMajor, int multiprocessors) {
  if (computeMajor == 9 && headDim <= 128) {
    return {"prefill_sm90", kHopperThreads, hopperPrefillSharedBytes(headDim),
            hopperPrefillBlocks(tilesMax, kvHeads, multiprocessors)};
  }
  return {"prefill", kPrefillThreads, prefillSharedBytes(headDim),
          prefillBlocks(tilesMax, kvHeads)};
}

}  // namespace kvspan::attention
