// Where the rows of K and V lie: the one thing in which the contiguous and the paged kernels differ.
// A row's address is found in two steps, so that a paged kernel can ask for its table's entry a tile
// ahead: `lookup` touches memory (paged) or not (contiguous), `offset` only computes.
#pragma once

#include <cstdint>

#include "../params.hpp"

namespace kvspan::attention {

// PageTokens 0 is the contiguous layout.
template <int PageTokens>
class KvAddress;

template <>
class KvAddress<0> {
 public:
  static constexpr int kPageTokens = 0;
  // Consecutive tokens, from a multiple of it on, that one lookup serves: the rows between are
  // tokenStride apart.
  static constexpr int kRowsPerLookup = 1 << 30;

  KvAddress() = default;
  __device__ __forceinline__ KvAddress(const KvView& view, int request)
      : slot_(__ldg(view.slots + request)) {}

  __device__ __forceinline__ std::int32_t lookup(int /*token*/) const { return slot_; }

  // Elements from tensor.base to the row of `token`, without the head.
  __device__ __forceinline__ static std::int64_t offset(const KvTensor& tensor, std::int32_t found,
                                                        int token) {
    return found * tensor.slotStride + token * tensor.tokenStride;
  }

 private:
  std::int32_t slot_ = 0;
};

template <int PageTokens>
class KvAddress {
 public:
  static constexpr int kPageTokens = PageTokens;
  static constexpr int kRowsPerLookup = PageTokens;
  static_assert(PageTokens > 0 && (PageTokens & (PageTokens - 1)) == 0);

  KvAddress() = default;
  __device__ __forceinline__ KvAddress(const KvView& view, int request)
      : table_(view.blockTable + request * view.blockTableStride) {}

  // The page of `token`, which must lie within the request: entries past it are not read.
  __device__ __forceinline__ std::int32_t lookup(int token) const {
    return __ldg(table_ + static_cast<unsigned>(token) / PageTokens);
  }

  __device__ __forceinline__ static std::int64_t offset(const KvTensor& tensor, std::int32_t found,
                                                        int token) {
    return found * tensor.pageStride +
           static_cast<std::int32_t>(static_cast<unsigned>(token) % PageTokens) *
               tensor.tokenStride;
  }

 private:
  const std::int32_t* table_ = nullptr;
};

}  // namespace kvspan::attention
