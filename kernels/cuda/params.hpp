// What host and device agree on: plain structs, passed to the kernels by value. Compiled by g++ and
// by nvcc, so it includes nothing but <cstdint> and holds no behaviour but constants.
//
// Words: a *request* is a row of the batch; a *slot* is where a contiguous cache keeps a request; a
// *unit* is one request's KV head with at most `kDecodeRowsMax` of its query heads.
#pragma once

#include <cstdint>

namespace kvspan::attention {

// One layer's K or V. Strides in elements (16 bits each), all multiples of 8; `base` on 16 bytes.
// The head dimension is contiguous.
//   contiguous: base + slots[request] * slotStride + token * tokenStride + head * headStride
//   paged:      base + blockTable[request * blockTableStride + token / P] * pageStride
//                    + (token % P) * tokenStride + head * headStride
struct KvTensor {
  const void* base;
  std::int64_t slotStride;   // contiguous only
  std::int64_t pageStride;   // paged only
  std::int64_t tokenStride;  // paged: within a page
  std::int64_t headStride;
};

// K, V and where a request lies in them. Arrays are on the device.
struct KvView {
  KvTensor k;
  KvTensor v;
  const std::int32_t* slots;       // contiguous: [requests]
  const std::int32_t* blockTable;  // paged: [requests, blockTableStride]
  std::int64_t blockTableStride;   // paged: entries from one request to the next
};

// Dense in the head dimension; strides in elements, multiples of 8.
struct RowTensor {
  void* base;
  std::int64_t rowStride;   // from one token (decode: request) to the next
  std::int64_t headStride;
};

// Score of a query at position i and a key at position j <= i:
//   s = scale * dot(q, k);  s = softCap * tanh(s / softCap) if softCap > 0
//   s += alibiSlopes[queryHead] * (j - i) if alibiSlopes
// and j is seen only if window == 0 or i - j < window.
struct ScoreOptions {
  float scale;
  float softCap;             // 0: none
  std::int32_t window;       // 0: none; else tokens seen, the query's own among them
  const float* alibiSlopes;  // [queryHeads] on the device, or null
};

// Writes new rows at the end of each request: row rowStarts[r] + i becomes token
// lengths[r] - (rowStarts[r + 1] - rowStarts[r]) + i. Without rowStarts, row r becomes token
// lengths[r] - 1. A request of length 0 takes none.
struct AppendParams {
  KvView kv;
  RowTensor newK;
  RowTensor newV;
  const std::int32_t* lengths;    // [requests], after the append
  const std::int32_t* rowStarts;  // [requests + 1], or null: one row a request
  std::int32_t requests;
  std::int32_t kvHeads;
};

inline constexpr int kDecodeRowsMax = 16;   // query heads of one unit
inline constexpr int kDecodeTileTokens = 64;  // cuts between work items lie on multiples of it

// A piece of one unit that one thread block computes: tokens [begin, end) of a request.
struct DecodeItem {
  std::int32_t request;
  std::int32_t kvHead;
  std::int32_t firstRow;   // of the query heads of this KV head
  std::int32_t begin;
  std::int32_t end;
  std::int32_t length;     // of the request: the query's position is length - 1
  std::int32_t part;       // -1: the whole unit; else where its partial result lies
  std::int32_t firstBlock; // of a split unit: the block that has its first part, and its counter
  std::int32_t parts;      // of the unit; 1 if whole
  std::int32_t blockStep;  // from the block of a part to that of the next
  std::int32_t padding[2];
};

// What the plan leaves on the device. Sizes depend on the capacity alone (plans.hpp), so that a
// captured graph reads whatever plan was last copied there. A block's first item stands at the block's
// own index, where it can be read without looking up where: with `parts` 0 the block has none.
struct DecodePlanView {
  const DecodeItem* items;          // [blocks], the first items, then the further ones
  const std::int32_t* blockStarts;  // [blocks + 1]: where a block's further items begin in `items`
  float* partials;                  // [2 * blocks] parts of decodePartFloats each
  std::int32_t* arrivals;           // [blocks], zero between launches
};

// One query a request: its last token. `queries` and `out` have a row per request.
struct DecodeParams {
  KvView kv;
  RowTensor queries;
  RowTensor out;
  ScoreOptions options;
  DecodePlanView plan;
  std::int32_t queryHeads;
  std::int32_t kvHeads;
};

// A tile of query rows that one thread block computes for one KV head. Row i of a request is query
// i / group and head i % group of the KV head's group of query heads: so short chunks fill a tile.
struct PrefillTile {
  std::int32_t request;
  std::int32_t firstRow;  // of the request's queries * group rows
};

// New queries over existing context, causal: query i of request r, of n = queryStarts[r + 1] -
// queryStarts[r], has position lengths[r] - n + i. K and V hold all lengths[r] tokens already.
struct PrefillParams {
  KvView kv;
  RowTensor queries;  // a row per query token, all requests' in order
  RowTensor out;
  ScoreOptions options;
  const std::int32_t* lengths;      // [requests], with the new tokens
  const std::int32_t* queryStarts;  // [requests + 1]
  const PrefillTile* tiles;         // [capacity], longest first
  const std::int32_t* tileCount;    // on the device; the grid is as large as the capacity
  std::int32_t queryHeads;
  std::int32_t kvHeads;
};

}  // namespace kvspan::attention
