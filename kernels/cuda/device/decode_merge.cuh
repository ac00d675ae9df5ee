// The reductions of decode: warps of a block into one result, parts of a split unit into one.
#pragma once

#include "decode_tile.cuh"

namespace kvspan::attention {

// A part in the workspace (decodePartFloats): [rows][headDim + 2], the two being reference and sum.
template <int HeadDim, int Rows>
__device__ __forceinline__ float* partAt(const DecodeParams& params, int part) {
  return params.plan.partials + std::int64_t{part} * (Rows * (HeadDim + 2));
}

template <int Rows, typename Scratch>
__device__ __forceinline__ float highestReference(const Scratch& scratch, int row) {
  float highest = scratch.reference[0][row];
#pragma unroll
  for (int warp = 1; warp < sizeof(scratch.reference) / sizeof(scratch.reference[0]); ++warp) {
    highest = fmaxf(highest, scratch.reference[warp][row]);
  }
  return highest;
}

template <typename Scratch>
__device__ __forceinline__ float totalSum(const Scratch& scratch, int row, float highest) {
  float total = 0.0f;
#pragma unroll
  for (int warp = 0; warp < sizeof(scratch.sum) / sizeof(scratch.sum[0]); ++warp) {
    total += scratch.sum[warp][row] * exp2Fast(scratch.reference[warp][row] - highest);
  }
  return total;
}

// Leaves the weighted sum of all warps in scratch.weighted, relative to the highest reference.
// The warps add one after the other: that needs no memory for each of them, and always gives the
// same result.
template <typename Element, int HeadDim, int Rows>
__device__ __forceinline__ void mergeWarps(DecodeState<Element, HeadDim, Rows>& state, int rows,
                                           DecodeScratch<HeadDim, Rows>& scratch) {
  using Shape = DecodeShape<HeadDim>;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int column = (lane % 4) * 2;
#pragma unroll
  for (int i = 0; i < Rows / 4; ++i) {
    float sum = state.sum[i / 2][i % 2];
#pragma unroll
    for (int lanes = 4; lanes < 32; lanes *= 2) sum += __shfl_xor_sync(kFullWarp, sum, lanes);
    const int row = (i / 2) * 8 + column + i % 2;
    if (lane < 4) {
      scratch.reference[warp][row] = state.reference[i / 2][i % 2];
      scratch.sum[warp][row] = sum;
    }
  }
  __syncthreads();
  float shrink[Rows / 4];
#pragma unroll
  for (int i = 0; i < Rows / 4; ++i) {
    const int row = (i / 2) * 8 + column + i % 2;
    shrink[i] = exp2Fast(state.reference[i / 2][i % 2] - highestReference<Rows>(scratch, row));
  }
  for (int turn = 0; turn < Shape::kWarps; ++turn) {
    if (turn == warp) {
#pragma unroll
      for (int step = 0; step < HeadDim / 16; ++step) {
#pragma unroll
        for (int i = 0; i < Rows / 2; ++i) {
          const int row = (i / 4) * 8 + column + i % 2;
          if (row >= rows) continue;
          float& to = scratch.weighted[row][step * 16 + lane / 4 + (i % 4 / 2) * 8];
          const float value = state.weighted[step][i / 4][i % 4] * shrink[i / 4 * 2 + i % 2];
          to = turn == 0 ? value : to + value;
        }
      }
    }
    __syncthreads();
  }
}

// An empty request has no weights: its result is zero.
template <typename Element>
__device__ __forceinline__ void writePair(const DecodeParams& params, const DecodeItem& item,
                                          int row, int dim, float a, float b, float total) {
  const float inverse = total == 0.0f ? 0.0f : 1.0f / total;
  const int head =
      item.kvHead * (params.queryHeads / params.kvHeads) + item.firstRow + row;
  auto* const to = static_cast<std::uint16_t*>(params.out.base) +
                   item.request * params.out.rowStride + head * params.out.headStride + dim;
  *reinterpret_cast<std::uint32_t*>(to) = Arithmetic<Element>::pack(a * inverse, b * inverse);
}

template <typename Element, int HeadDim, int Rows>
__device__ __forceinline__ void writeResult(const DecodeParams& params, const DecodeItem& item,
                                            int rows, const DecodeScratch<HeadDim, Rows>& scratch) {
  for (int i = threadIdx.x * 2; i < rows * HeadDim; i += DecodeShape<HeadDim>::kThreads * 2) {
    const int row = i / HeadDim;
    const int dim = i % HeadDim;
    const float total = totalSum(scratch, row, highestReference<Rows>(scratch, row));
    writePair<Element>(params, item, row, dim, scratch.weighted[row][dim],
                       scratch.weighted[row][dim + 1], total);
  }
}

template <int HeadDim, int Rows>
__device__ __forceinline__ void writePart(const DecodeParams& params, const DecodeItem& item,
                                          int rows, const DecodeScratch<HeadDim, Rows>& scratch) {
  float* const part = partAt<HeadDim, Rows>(params, item.part);
  for (int i = threadIdx.x * 2; i < rows * HeadDim; i += DecodeShape<HeadDim>::kThreads * 2) {
    const int row = i / HeadDim;
    const int dim = i % HeadDim;
    float2* const to = reinterpret_cast<float2*>(part + row * (HeadDim + 2) + dim);
    __stcg(to, make_float2(scratch.weighted[row][dim], scratch.weighted[row][dim + 1]));
    if (dim != 0) continue;
    const float highest = highestReference<Rows>(scratch, row);
    __stcg(reinterpret_cast<float2*>(part + row * (HeadDim + 2) + HeadDim),
           make_float2(highest, totalSum(scratch, row, highest)));
  }
}

// True in the block that finds all other parts written. It leaves the counter as the next launch
// needs it.
__device__ __forceinline__ bool arriveLast(const DecodeParams& params, const DecodeItem& item) {
  __threadfence();
  bool last = false;
  __syncthreads();
  if (threadIdx.x == 0) {
    std::int32_t* const counter = params.plan.arrivals + item.firstBlock;
    last = atomicAdd(counter, 1) == item.parts - 1;
    if (last) *counter = 0;
    __threadfence();
  }
  return __syncthreads_or(last);
}

// The first part of a unit is the last item of its block, every other one the first of its own.
__device__ __forceinline__ int partIndex(const DecodeItem& item, int i) {
  return i == 0 ? 2 * item.firstBlock + 1 : 2 * (item.firstBlock + i);
}

template <typename Element, int HeadDim, int Rows>
__device__ __forceinline__ void reduceParts(const DecodeParams& params, const DecodeItem& item,
                                            int rows) {
  for (int i = threadIdx.x * 2; i < rows * HeadDim; i += DecodeShape<HeadDim>::kThreads * 2) {
    const int row = i / HeadDim;
    const int dim = i % HeadDim;
    float highest = DecodeState<Element, HeadDim, Rows>::kNothing;
    float total = 0.0f;
    float2 weighted = make_float2(0.0f, 0.0f);
#pragma unroll 4
    for (int p = 0; p < item.parts; ++p) {
      const float* const from =
          partAt<HeadDim, Rows>(params, partIndex(item, p)) + row * (HeadDim + 2);
      const float2 part = __ldcg(reinterpret_cast<const float2*>(from + HeadDim));
      const float2 value = __ldcg(reinterpret_cast<const float2*>(from + dim));
      const float higher = fmaxf(highest, part.x);
      const float keep = exp2Fast(highest - higher);
      const float take = exp2Fast(part.x - higher);
      highest = higher;
      total = total * keep + part.y * take;
      weighted.x = weighted.x * keep + value.x * take;
      weighted.y = weighted.y * keep + value.y * take;
    }
    writePair<Element>(params, item, row, dim, weighted.x, weighted.y, total);
  }
}

}  // namespace kvspan::attention
