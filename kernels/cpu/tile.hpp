// The inner loops of the attention kernel over one tile of tokens, compiled once for each
// instruction set of x86-64 that is worth it; `tileKernels` chooses by what this CPU has. Chosen by
// hand and not by ifunc: resolvers run before a sanitizer's own start-up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

namespace kvspan::kernels {

inline constexpr std::size_t kTileTokens = 64;
inline constexpr std::size_t kRowFloats = 16;  // rows are padded to the widest vector: 64 bytes

// Whole vectors that hold a head's row.
constexpr std::size_t paddedDim(std::size_t headDim) {
  return (headDim + kRowFloats - 1) / kRowFloats * kRowFloats;
}

// Zeroed floats at an address that any vector load may use.
class AlignedFloats {
 public:
  explicit AlignedFloats(std::size_t count)
      : count_(count), data_(static_cast<float*>(::operator new[](count * 4, kAlignment))) {
    fillZero();
  }
  ~AlignedFloats() { ::operator delete[](data_, kAlignment); }
  AlignedFloats(const AlignedFloats&) = delete;
  AlignedFloats& operator=(const AlignedFloats&) = delete;
  float* data() { return data_; }
  const float* data() const { return data_; }
  void fillZero() { std::memset(data_, 0, count_ * sizeof(float)); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  std::size_t count_;
  float* data_;
};

struct TileKernels {
  // `tokens` rows of `headDim` elements, `strideBytes` apart, to floats [tokens, paddedDim]. The
  // padding is left as it is (zero).
  using Load = void (*)(const std::byte* from, std::uint64_t strideBytes, std::size_t tokens,
                        std::size_t headDim, float* to);
  // One query row against a tile: scores, the running maximum and sum, and the weighted values.
  using Accumulate = void (*)(const float* query, const float* keys, const float* values,
                              std::size_t tokens, std::size_t padded, float* maximum, float* sum,
                              float* weighted);
  Load loadBf16;
  Load loadFp32;
  Accumulate accumulate;
  const char* name;  // "avx512", "avx2" or "baseline"
};

const TileKernels& tileKernels() noexcept;

}  // namespace kvspan::kernels
