// Enough of CUDA to run a kernel's own source on the CPU: a block's 128 threads are threads, what a
// warp does together is an exchange between two barriers, and the instructions of mma.cuh are written
// out by their definitions (PTX ISA: ldmatrix, movmatrix, mma.m16n8k16). Slow and exact: it shows that
// indices, masks, barriers and reductions are right where there is no GPU. Asynchronous copies happen
// at once, so it shows nothing of their order. To be included once, before device code.
#pragma once

#define KVSPAN_MMA  // instead of mma.cuh

#include <algorithm>
#include <array>
#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#define __device__
#define __forceinline__ inline
#define __shared__
#define __align__(bytes)

struct int4 {
  int x, y, z, w;
};
struct float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
struct EmulatedIndex {
  int x;
};
inline thread_local EmulatedIndex threadIdx, blockIdx;

namespace kvspan::test {

inline constexpr int kEmulatedThreads = 128;

struct EmulatedWarp {
  std::barrier<> barrier{32};
  std::uint32_t slots[32][6];
};
struct EmulatedBlock {
  std::barrier<> barrier{kEmulatedThreads};
  int flags[kEmulatedThreads];
  EmulatedWarp warps[kEmulatedThreads / 32];
};
inline std::unique_ptr<EmulatedBlock> emulatedBlock;

inline int lane() { return threadIdx.x % 32; }
inline EmulatedWarp& warp() { return emulatedBlock->warps[threadIdx.x / 32]; }

// Each lane puts words in its slot, then reads others'; nobody goes on before all have read.
template <typename Read>
auto exchange(std::initializer_list<std::uint32_t> words, Read&& read) {
  auto& mine = warp();
  std::ranges::copy(words, mine.slots[lane()]);
  mine.barrier.arrive_and_wait();
  auto result = read(mine.slots);
  mine.barrier.arrive_and_wait();
  return result;
}

// Runs the body as each thread of each block, one block after the other.
template <typename Body>
void emulateGrid(int blocks, Body&& body) {
  for (int block = 0; block < blocks; ++block) {
    emulatedBlock = std::make_unique<EmulatedBlock>();
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kEmulatedThreads; ++thread) {
      threads.emplace_back([&body, block, thread] {
        threadIdx.x = thread;
        blockIdx.x = block;
        body();
      });
    }
  }
}

}  // namespace kvspan::test

inline void __syncwarp() { kvspan::test::warp().barrier.arrive_and_wait(); }
inline void __syncthreads() { kvspan::test::emulatedBlock->barrier.arrive_and_wait(); }
inline int __syncthreads_or(int flag) {
  auto& flags = kvspan::test::emulatedBlock->flags;
  flags[threadIdx.x] = flag;
  __syncthreads();
  const bool any = std::ranges::any_of(flags, [](int one) { return one != 0; });
  __syncthreads();
  return any;
}
template <typename T>
T __shfl_sync(unsigned, T value, int from) {
  return kvspan::test::exchange({std::bit_cast<std::uint32_t>(value)}, [&](const auto& slots) {
    return std::bit_cast<T>(slots[from % 32][0]);
  });
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return __shfl_sync(mask, value, kvspan::test::lane() ^ lanes);
}
inline bool __any_sync(unsigned, bool value) {
  return kvspan::test::exchange({value}, [](const auto& slots) {
    return std::ranges::any_of(slots, [](const auto& slot) { return slot[0] != 0; });
  });
}
template <typename T>
T __ldg(const T* from) {
  return *from;
}
template <typename T>
T __ldcg(const T* from) {
  return *from;
}
template <typename T>
void __stcg(T* to, T value) {
  *to = value;
}
inline int atomicAdd(std::int32_t* to, int value) { return std::exchange(*to, *to + value); }
inline void __threadfence() {}
inline float __fdividef(float a, float b) { return a / b; }

namespace kvspan::attention {

using std::max;
using std::min;

alignas(128) unsigned char shared[1 << 18];
inline std::uint32_t sharedAddress(const void* pointer) {
  return static_cast<std::uint32_t>(static_cast<const unsigned char*>(pointer) - shared);
}

struct Bf16 {};
struct Fragment {
  std::uint32_t r[4];
};

inline void copyAsync(std::uint32_t to, const void* from, int bytes) {
  if (bytes == 0) std::memset(shared + to, 0, 16);
  else std::memcpy(shared + to, from, 16);
}
inline void commitCopies() {}
template <int>
void waitForCopies() {}

inline std::uint32_t halfAt(std::uint32_t address) {
  std::uint16_t half;
  std::memcpy(&half, shared + address, sizeof half);
  return half;
}

// Lane 8 m + i names row i of matrix m; a lane gets two elements of row lane / 4 (or column).
inline Fragment loadMatrix(std::uint32_t address) {
  return test::exchange({address}, [](const auto& slots) {
    Fragment f{};
    for (int m = 0; m < 4; ++m) {
      const std::uint32_t at = slots[m * 8 + test::lane() / 4][0] + test::lane() % 4 * 4;
      f.r[m] = halfAt(at) | halfAt(at + 2) << 16;
    }
    return f;
  });
}
inline Fragment loadMatrixTransposed(std::uint32_t address) {
  return test::exchange({address}, [](const auto& slots) {
    Fragment f{};
    for (int m = 0; m < 4; ++m) {
      const int row = m * 8 + test::lane() % 4 * 2;
      const auto column = static_cast<std::uint32_t>(test::lane() / 4 * 2);
      f.r[m] = halfAt(slots[row][0] + column) | halfAt(slots[row + 1][0] + column) << 16;
    }
    return f;
  });
}
inline std::uint32_t transposeMatrix(std::uint32_t from) {
  return test::exchange({from}, [](const auto& slots) {
    const int column = test::lane() / 4;
    const auto element = [&](int row) {
      return slots[row * 4 + column / 2][0] >> column % 2 * 16 & 0xffff;
    };
    const int row = test::lane() % 4 * 2;
    return element(row) | element(row + 1) << 16;
  });
}

inline float bf16(std::uint32_t bits) { return std::bit_cast<float>(bits << 16); }
inline std::uint32_t roundBf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

template <typename Element>
struct Arithmetic;
template <>
struct Arithmetic<Bf16> {
  static void mma(float (&c)[4], const Fragment& a, std::uint32_t b0, std::uint32_t b1) {
    const auto sums = test::exchange(
        {a.r[0], a.r[1], a.r[2], a.r[3], b0, b1}, [&](const auto& slots) {
          std::array<float, 4> sums{c[0], c[1], c[2], c[3]};
          for (int j = 0; j < 4; ++j) {
            const int row = test::lane() / 4 + j / 2 * 8;
            const int column = test::lane() % 4 * 2 + j % 2;
            for (int k = 0; k < 16; ++k) {
              const std::uint32_t left = slots[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
              const std::uint32_t right = slots[column * 4 + k % 8 / 2][4 + k / 8];
              sums[j] += bf16(left >> k % 2 * 16 & 0xffff) * bf16(right >> k % 2 * 16 & 0xffff);
            }
          }
          return sums;
        });
    std::ranges::copy(sums, c);
  }
  static std::uint32_t pack(float low, float high) { return roundBf16(low) | roundBf16(high) << 16; }
};

inline float exp2Fast(float x) { return std::exp2(x); }

}  // namespace kvspan::attention
