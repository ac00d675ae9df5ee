// What one block of a prefill kernel does: which rows of which request, and what they may see.
#pragma once

#include "../params.hpp"

namespace kvspan::attention {

struct PrefillWork {
  int request;
  int kvHead;
  int group;       // query heads of a KV head
  int firstRow;    // of the request's queries * group rows
  int lastRow;     // of the tile, the last that exists
  int past;        // tokens before the request's first query
  int beginToken;  // the first that any row of the tile sees
  int endToken;    // one past the last
  std::int64_t firstQuery;  // of the request, in `queries` and `out`

  // Rows past the end share the last one's position: they are computed, and not stored.
  __device__ __forceinline__ int position(int row) const {
    return past + min(firstRow + row, lastRow) / group;
  }
  // The first token of the last tile of `tokens` tokens: tiles are taken from there to the beginning.
  __device__ __forceinline__ int lastTile(int tokens) const {
    return (endToken - 1) / tokens * tokens;
  }
  __device__ __forceinline__ bool stored(int row) const { return firstRow + row <= lastRow; }
  __device__ __forceinline__ int queryHead(int row) const {
    return kvHead * group + (firstRow + row) % group;
  }
  // Elements from the tensor's base to a row that exists.
  __device__ __forceinline__ std::int64_t offset(const RowTensor& tensor, int row) const {
    return (firstQuery + (firstRow + row) / group) * tensor.rowStride +
           queryHead(row) * tensor.headStride;
  }
};

// Work `index` of the grid, of tiles * KV heads; false if there is nothing to do. KV heads vary
// fastest, so that the tiles of all heads start longest first.
template <int kRows, bool kOptions>
__device__ __forceinline__ bool findWork(const PrefillParams& p, int index, PrefillWork& work) {
  const int chosen = index / p.kvHeads;
  if (chosen >= *p.tileCount) return false;
  const PrefillTile tile = p.tiles[chosen];
  work.request = tile.request;
  work.kvHead = index - chosen * p.kvHeads;
  work.group = p.queryHeads / p.kvHeads;
  work.firstQuery = p.queryStarts[tile.request];
  const int queries = p.queryStarts[tile.request + 1] - static_cast<int>(work.firstQuery);
  const int length = p.lengths[tile.request];
  work.firstRow = tile.firstRow;
  work.lastRow = min(tile.firstRow + kRows, queries * work.group) - 1;
  // A plan that does not belong to the lengths must not make the kernel read out of bounds.
  if (work.lastRow < work.firstRow || length < queries) return false;
  work.past = length - queries;
  work.endToken = work.position(kRows - 1) + 1;
  work.beginToken = 0;
  if (kOptions && p.options.window > 0) {
    work.beginToken = max(0, work.position(0) - p.options.window + 1);
  }
  return true;
}

}  // namespace kvspan::attention
