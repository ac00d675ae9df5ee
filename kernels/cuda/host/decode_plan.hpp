// Which thread block decodes what. A pure function: lengths in, arrays out.
//
// All units (a request's KV head with some of its query heads) stand in a row, cut into tiles of
// kDecodeTileTokens tokens; the blocks take equal stretches of that row. So a long request is split
// over many blocks, a block serves many short ones, and no block has a tile more than another.
//
// A *team* of blocks takes the units of one request that differ only in their heads, each of its
// blocks the same tokens of another unit: what lies side by side in memory is read at the same time
// (on an H100 worth 1 to 5 % of the bandwidth).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/params.hpp"

namespace kvspan::attention {

struct DecodePlanShape {
  std::uint32_t blocks = 0;  // that run at once: the grid
  std::uint32_t kvHeads = 0;
  std::uint32_t group = 0;  // query heads of a KV head
  std::uint32_t requestsMax = 0;
  std::uint32_t tokensMax = 0;
  std::uint32_t window = 0;  // 0: none

  // Query heads that a unit holds: 8 or 16.
  std::uint32_t rows() const { return group <= 8 ? 8 : kDecodeRowsMax; }
  std::uint32_t unitsPerHead() const { return (group + rows() - 1) / rows(); }
  std::uint32_t unitsPerRequest() const { return kvHeads * unitsPerHead(); }
  // Blocks of a team: the largest divisor of the units that leaves hardly a block without work.
  std::uint32_t teamBlocks() const;
  // Of `items` for any lengths: each unit once, and once more for each cut.
  std::uint64_t itemsMax() const {
    return std::uint64_t{requestsMax} * unitsPerRequest() + blocks;
  }
};

struct DecodePlan {
  std::vector<std::int32_t> blockStarts;  // [blocks + 1]
  std::vector<DecodeItem> items;
  std::uint32_t parts = 0;         // items that are a part of a split unit
  std::uint64_t tokens = 0;        // of all items
  std::uint64_t blockTokensMax = 0;

  // Tokens of the busiest block over the mean; 1 if there are none.
  double imbalance() const;
  // As DecodePlanView has them: a block's first item at the block's own index.
  struct Arrays {
    std::vector<DecodeItem> items;
    std::vector<std::int32_t> blockStarts;
  };
  Arrays forDevice() const;
};

// Throws Error(InvalidArgument) for more requests or longer ones than the shape allows.
DecodePlan planDecode(const DecodePlanShape& shape, std::span<const std::int32_t> lengths);

// The shape alone: throws for what no plan can be made for.
void checkDecodePlanShape(const DecodePlanShape& shape);

}  // namespace kvspan::attention
