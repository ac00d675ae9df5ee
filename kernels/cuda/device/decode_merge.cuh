// The reductions of decode: warps of a block into one result, parts of a split unit into one.
#pragma once

#include "decode_tile.cuh"

namespace kvspan::attention {

// A part in the workspace (decodePartFloats): the weighted sums of all rows, then each row's
// reference and sum.
template <int HeadDim, int Rows>
struct DecodePart {
  float* base;

  __device__ __forceinline__ DecodePart(const DecodeParams& params, int part)
      : base(params.plan.partials + std::int64_t{part} * (Rows * (HeadDim + 2))) {}
  __device__ __forceinline__ float2* weighted(int row, int dim) const {
    return reinterpret_cast<float2*>(base + row * HeadDim + dim);
  }
  __device__ __forceinline__ float2* totals(int row) const {
    return reinterpret_cast<float2*>(base + Rows * HeadDim + row * 2);
  }
};

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

// Leaves every warp's reference and sum of each row where all can read them.
template <typename Element, int HeadDim, int Rows>
__device__ __forceinline__ void shareTotals(const DecodeState<Element, HeadDim, Rows>& state,
                                            DecodeScratch<HeadDim, Rows>& scratch) {
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
#pragma unroll
  for (int i = 0; i < Rows / 4; ++i) {
    float sum = state.sum[i / 2][i % 2];
#pragma unroll
    for (int lanes = 4; lanes < 32; lanes *= 2) sum += __shfl_xor_sync(kFullWarp, sum, lanes);
    const int row = (i / 2) * 8 + (lane % 4) * 2 + i % 2;
    if (lane < 4) {
      scratch.reference[warp][row] = state.reference[i / 2][i % 2];
      scratch.sum[warp][row] = sum;
    }
  }
  __syncthreads();
}

// Adds a warp's weighted sums of the dims [16 step, 16 step + 32) to the block's, of which there are
// none in the first turn. All loads come before all stores, or each would wait for the one before it.
template <typename Element, int HeadDim, int Rows>
__device__ __forceinline__ void addSteps(const DecodeState<Element, HeadDim, Rows>& state, int step,
                                         const float (&shrink)[Rows / 4], int turn,
                                         DecodeScratch<HeadDim, Rows>& scratch) {
  const int lane = threadIdx.x % 32;
  float* const corner = &scratch.weighted[(lane % 4) * 2][step * 16 + lane / 4];
  const auto at = [&](int i) -> float& {
    const int row = i / 4 % (Rows / 8) * 8 + i % 2;
    const int dim = i / (Rows / 2) * 16 + i % 4 / 2 * 8;
    return corner[row * static_cast<int>(sizeof scratch.weighted[0] / sizeof(float)) + dim];
  };
  float sums[Rows] = {};
  if (turn > 0) {
#pragma unroll
    for (int i = 0; i < Rows; ++i) sums[i] = at(i);
  }
#pragma unroll
  for (int i = 0; i < Rows; ++i) {
    const int g = i / 4 % (Rows / 8);
    at(i) = sums[i] + state.weighted[step + i / (Rows / 2)][g][i % 4] * shrink[g * 2 + i % 2];
  }
}

// Leaves the weighted sum of all warps in scratch.weighted, relative to the highest reference. The
// warps add one after the other: that needs no memory for each of them, and always gives the same
// result.
template <typename Element, int HeadDim, int Rows>
__device__ __forceinline__ void mergeWarps(const DecodeState<Element, HeadDim, Rows>& state,
                                           DecodeScratch<HeadDim, Rows>& scratch) {
  shareTotals(state, scratch);
  float shrink[Rows / 4];
#pragma unroll
  for (int i = 0; i < Rows / 4; ++i) {
    const int row = (i / 2) * 8 + (threadIdx.x % 4) * 2 + i % 2;
    shrink[i] = exp2Fast(state.reference[i / 2][i % 2] - highestReference<Rows>(scratch, row));
  }
  for (int turn = 0; turn < DecodeShape<HeadDim>::kWarps; ++turn) {
    if (turn == threadIdx.x / 32) {
#pragma unroll
      for (int step = 0; step < HeadDim / 16; step += 2) addSteps(state, step, shrink, turn, scratch);
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
  const DecodePart<HeadDim, Rows> part(params, item.part);
  for (int i = threadIdx.x * 2; i < rows * HeadDim; i += DecodeShape<HeadDim>::kThreads * 2) {
    const int row = i / HeadDim;
    const int dim = i % HeadDim;
    __stcg(part.weighted(row, dim),
           make_float2(scratch.weighted[row][dim], scratch.weighted[row][dim + 1]));
    if (dim != 0) continue;
    const float highest = highestReference<Rows>(scratch, row);
    __stcg(part.totals(row), make_float2(highest, totalSum(scratch, row, highest)));
  }
}

// True in the block that finds all other parts written. It leaves the counter as the next launch
// needs it.
__device__ __forceinline__ bool arriveLast(const DecodeParams& params, const DecodeItem& item) {
  bool last = false;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    std::int32_t* const counter = params.plan.arrivals + item.firstBlock;
    last = atomicAdd(counter, 1) == item.parts - 1;
    if (last) *counter = 0;
    __threadfence();
  }
  return __syncthreads_or(last);
}

// The first part of a unit is the last item of its block, every other one the first of its own.
__device__ __forceinline__ int partIndex(const DecodeItem& item, int i) {
  return i == 0 ? 2 * item.firstBlock + 1 : 2 * (item.firstBlock + i * item.blockStep);
}

// One row of all parts, by one warp. The parts come from L2, so many of them are asked for at once.
template <typename Element, int HeadDim, int Rows>
__device__ __forceinline__ void reduceRow(const DecodeParams& params, const DecodeItem& item,
                                          int row) {
  constexpr int kPairs = HeadDim / 64;
  constexpr int kAtOnce = HeadDim == 256 ? 8 : 16;
  const int lane = threadIdx.x % 32;
  float highest = DecodeState<Element, HeadDim, Rows>::kNothing;
  float total = 0.0f;
  float2 weighted[kPairs] = {};
  for (int first = 0; first < item.parts; first += kAtOnce) {
    float2 totals[kAtOnce];
    float2 values[kAtOnce][kPairs];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      // Past the last part: that one again, without weight.
      const DecodePart<HeadDim, Rows> part(params, partIndex(item, min(first + i, item.parts - 1)));
      totals[i] = __ldcg(part.totals(row));
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) {
        values[i][pair] = __ldcg(part.weighted(row, pair * 64 + lane * 2));
      }
    }
    const float before = highest;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) highest = fmaxf(highest, totals[i].x);
    const float keep = exp2Fast(before - highest);
    total *= keep;
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      weighted[pair].x *= keep;
      weighted[pair].y *= keep;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const float take = first + i < item.parts ? exp2Fast(totals[i].x - highest) : 0.0f;
      total += totals[i].y * take;
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) {
        weighted[pair].x += values[i][pair].x * take;
        weighted[pair].y += values[i][pair].y * take;
      }
    }
  }
#pragma unroll
  for (int pair = 0; pair < kPairs; ++pair) {
    writePair<Element>(params, item, row, pair * 64 + lane * 2, weighted[pair].x, weighted[pair].y,
                       total);
  }
}

template <typename Element, int HeadDim, int Rows>
__device__ __forceinline__ void reduceParts(const DecodeParams& params, const DecodeItem& item,
                                            int rows) {
  for (int row = threadIdx.x / 32; row < rows; row += DecodeShape<HeadDim>::kWarps) {
    reduceRow<Element, HeadDim, Rows>(params, item, row);
  }
}

}  // namespace kvspan::attention
