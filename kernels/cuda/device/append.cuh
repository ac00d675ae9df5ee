// Append: new rows of K and V to where the layout has them. A block takes one new row, all its heads.
#pragma once

#include "../decode_shape.hpp"
#include "kv_address.cuh"

namespace kvspan::attention {

// The request that has `row`: the last one whose rows begin at or before it.
__device__ __forceinline__ int requestOf(const std::int32_t* starts, int requests, int row) {
  int low = 0;
  int high = requests;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (__ldg(starts + middle) <= row) low = middle;
    else high = middle;
  }
  return low;
}

template <int HeadDim>
__device__ __forceinline__ void copyRow(const RowTensor& from, const KvTensor& to, int row,
                                        std::int64_t offset, int kvHeads) {
  constexpr int kChunks = HeadDim / 8;
  for (int i = threadIdx.x; i < kvHeads * kChunks; i += kAppendThreads) {
    const int head = i / kChunks;
    const int dim = i % kChunks * 8;
    const auto* const source = static_cast<const std::uint16_t*>(from.base) +
                               row * from.rowStride + head * from.headStride + dim;
    auto* const target = static_cast<std::uint16_t*>(const_cast<void*>(to.base)) + offset +
                         head * to.headStride + dim;
    *reinterpret_cast<uint4*>(target) = __ldg(reinterpret_cast<const uint4*>(source));
  }
}

// The grid has a block for each row that may come; those past the last row find nothing to do.
template <int HeadDim, int PageTokens>
__device__ __forceinline__ void append(const AppendParams& params) {
  const int row = blockIdx.x;
  int request = row;
  int fromEnd = 1;
  if (params.rowStarts != nullptr) {
    if (row >= __ldg(params.rowStarts + params.requests)) return;
    request = requestOf(params.rowStarts, params.requests, row);
    fromEnd = __ldg(params.rowStarts + request + 1) - row;
  }
  if (request >= params.requests) return;
  const int token = __ldg(params.lengths + request) - fromEnd;
  if (token < 0) return;
  const KvAddress<PageTokens> address(params.kv, request);
  const std::int32_t found = address.lookup(token);
  copyRow<HeadDim>(params.newK, params.kv.k, row, address.offset(params.kv.k, found, token),
                   params.kvHeads);
  copyRow<HeadDim>(params.newV, params.kv.v, row, address.offset(params.kv.v, found, token),
                   params.kvHeads);
}

}  // namespace kvspan::attention
