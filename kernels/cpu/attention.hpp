// Dense attention on the CPU: plain strided K and V, one request a call. It knows nothing of pages,
// extents or block tables, which is the point: memory that kvspan made contiguous is read by a
// kernel that was written for contiguous memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvspan::kernels {

enum class Element { Bf16, Fp32 };

constexpr std::uint64_t elementBytes(Element element) noexcept {
  return element == Element::Bf16 ? 2 : 4;
}

inline constexpr std::uint32_t kHeadDimMax = 1024;
inline constexpr std::uint32_t kQueryHeadsMax = 1024;

// One tensor of rows: element d of head h of token t lies at
//   data + t * tokenStrideBytes + h * headStrideBytes + d * elementBytes.
struct Strided {
  const void* data = nullptr;
  std::uint64_t tokenStrideBytes = 0;
  std::uint64_t headStrideBytes = 0;
};

// Causal attention of the last `queryCount` tokens of a request over all of it: query i sees the
// tokens [0, length - queryCount + 1 + i). Query head h reads KV head h / (queryHeads / kvHeads).
struct Attention {
  Element element = Element::Bf16;
  std::uint32_t queryHeads = 0;  // a multiple of kvHeads
  std::uint32_t kvHeads = 0;
  std::uint32_t headDim = 0;  // 1 .. kHeadDimMax
  std::uint32_t queryCount = 0;
  std::uint64_t length = 0;  // tokens; at least queryCount
  Strided k;
  Strided v;
  float scale = 1.0f;              // of the scores, before the softmax
  const float* queries = nullptr;  // [queryCount, queryHeads, headDim], dense
  float* out = nullptr;            // the same shape; must not overlap `queries`
};

// Computes it on the calling thread, in float32 with an online softmax. Reads no byte outside the
// rows [0, length). Throws Error(InvalidArgument) that names the field and the constraint, before
// anything is read or written.
void attend(const Attention& attention);

// The shape's checks alone, for a caller that must refuse before it allocates.
void checkAttention(const Attention& attention);

// Bytes from `tensor.data` up to and with the last byte that `attend` reads of it: what a caller
// compares with its buffer. Throws if that does not fit 64 bits.
std::uint64_t reachBytes(const Attention& attention, const Strided& tensor);

}  // namespace kvspan::kernels
