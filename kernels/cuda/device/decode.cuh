// Decode: one query a request, over all its tokens.
//
// A block works through the items that the plan gave it. Within an item each warp takes every
// kWarps-th tile of 16 tokens and keeps a softmax of its own, so that warps never wait for each other
// but at an item's end, where they merge. Copies run ahead of the arithmetic, across the ends of
// items, so that the memory is busy all the time.
//
// Scores are computed transposed (tokens x heads = K Q^T, then dims x heads = V^T P^T): a tensor core
// tile is 16 x 8, and a unit has few query heads, so the heads are put where 8 are enough.
#pragma once

#include "decode_merge.cuh"
#include "decode_tile.cuh"

namespace kvspan::attention {

// An item's tiles of one warp, then the warps' results into one.
template <typename Element, int HeadDim, int Rows, typename Loader>
__device__ __forceinline__ void decodeItem(const DecodeParams& params, const DecodeItem& item,
                                           Loader& loader, std::uint32_t ring, int& stage,
                                           DecodeScratch<HeadDim, Rows>& scratch) {
  using Shape = DecodeShape<HeadDim>;
  const int lane = threadIdx.x % 32;
  const int rows = min(Rows, params.queryHeads / params.kvHeads - item.firstRow);
  DecodeQueries<HeadDim, Rows> queries;
  queries.read(params, item, rows);
  const DecodeScores<Rows> scoring(params, item, rows);
  DecodeState<Element, HeadDim, Rows> state;
  state.clear();
  for (int token = item.begin + (threadIdx.x / 32) * Shape::kTileTokens; token < item.end;
       token += Shape::kWarps * Shape::kTileTokens) {
    waitForCopies<Shape::kStages - 2>();
    __syncwarp();
    // The stage that was computed last is free: the copies of the next tile go there.
    loader.load(stage == 0 ? Shape::kStages - 1 : stage - 1);
    const std::uint32_t tile = ring + stage * (2 * Shape::kHalfBytes);
    float scores[Rows / 8][4];
    multiplyKeys<Element, HeadDim, Rows>(queries, tile, scores);
    scoring.apply(token, scores);
    state.add(scores, tile + Shape::kHalfBytes, (lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1);
    stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
  }
  mergeWarps(state, scratch);
  if (item.parts == 1) {
    writeResult<Element, HeadDim, Rows>(params, item, rows, scratch);
  } else {
    writePart<HeadDim, Rows>(params, item, rows, scratch);
    if (arriveLast(params, item)) reduceParts<Element, HeadDim, Rows>(params, item, rows);
  }
  __syncthreads();
}

template <typename Element, int HeadDim, int Rows, int PageTokens>
__device__ __forceinline__ void decode(const DecodeParams& params) {
  using Shape = DecodeShape<HeadDim>;
  extern __shared__ __align__(128) unsigned char shared[];
  auto& scratch = *reinterpret_cast<DecodeScratch<HeadDim, Rows>*>(shared + Shape::kRingBytes);
  const std::uint32_t ring =
      sharedAddress(shared) + (threadIdx.x / 32) * (Shape::kRingBytes / Shape::kWarps);
  const DecodeItems items(params.plan);
  DecodeLoader<HeadDim, PageTokens> loader(params, items, ring);
#pragma unroll
  for (int stage = 0; stage < Shape::kStages - 1; ++stage) loader.load(stage);
  int stage = 0;
  for (int index = 0; index < items.count(); ++index) {
    decodeItem<Element, HeadDim, Rows>(params, items.at(index), loader, ring, stage, scratch);
  }
  waitForCopies<0>();
}

}  // namespace kvspan::attention
