// Which tiles of query rows the prefill kernels compute, and in which order. Plain C++: the caller
// copies the plan to the device, where a captured graph reads whatever was copied last.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "../params.hpp"

namespace kvspan::attention {

struct PrefillBatch {
  std::span<const std::int32_t> lengths;      // [requests], with the new tokens
  std::span<const std::int32_t> queryStarts;  // [requests + 1]
  std::int32_t group;                         // query heads of a KV head
  std::int32_t tileRows;                      // prefillTileRows(headDim)
  std::int32_t window;                        // 0: none
};

// The most tiles that `requests` requests with `queries` queries in all can need: what a grid is
// sized by, and the plan's room on the device.
std::int64_t prefillTilesMax(std::int64_t queries, std::int64_t requests, std::int32_t group,
                             std::int32_t tileRows);

// The batch's tiles, those with the most tokens to see first: a grid starts its blocks in order, so
// that the short ones fill the gaps at its end. Requests without queries have none. Throws
// Error(InvalidArgument) for lengths that no batch can have.
std::vector<PrefillTile> planPrefill(const PrefillBatch& batch);

}  // namespace kvspan::attention
