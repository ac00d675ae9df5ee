#include "attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "base/error.hpp"
#include "tile.hpp"

namespace kvspan::kernels {
namespace {

// One row of the problem: a query of one query head, with its running softmax.
struct Row {
  std::uint64_t limit;  // tokens it sees
  float maximum;
  float sum;
};

// The rows that share one KV head, and the room they are worked in. Rows are padded with zeros to
// whole vectors so that the inner loops have no tails.
struct Workspace {
  Workspace(const Attention& a, std::uint32_t group)
      : padded(paddedDim(a.headDim)),
        rowCount(static_cast<std::size_t>(a.queryCount) * group),
        rows(rowCount),
        queries(rowCount * padded),
        sums(rowCount * padded),
        keys(kTileTokens * padded),
        values(kTileTokens * padded) {}
  std::size_t padded;
  std::size_t rowCount;
  std::vector<Row> rows;
  AlignedFloats queries, sums, keys, values;
};

void begin(const Attention& a, std::uint32_t kvHead, std::uint32_t group, Workspace& work) {
  work.sums.fillZero();
  for (std::uint32_t query = 0; query < a.queryCount; ++query) {
    for (std::uint32_t member = 0; member < group; ++member) {
      const std::size_t row = static_cast<std::size_t>(query) * group + member;
      const std::uint64_t limit = a.length - a.queryCount + 1 + query;
      work.rows[row] = {limit, -std::numeric_limits<float>::infinity(), 0.0f};
      const std::size_t head = static_cast<std::size_t>(kvHead) * group + member;
      const float* from =
          a.queries + (static_cast<std::size_t>(query) * a.queryHeads + head) * a.headDim;
      float* to = work.queries.data() + row * work.padded;
      for (std::uint32_t d = 0; d < a.headDim; ++d) to[d] = from[d] * a.scale;
    }
  }
}

void finish(const Attention& a, std::uint32_t kvHead, std::uint32_t group, const Workspace& work) {
  for (std::size_t row = 0; row < work.rowCount; ++row) {
    const std::size_t query = row / group;
    const std::size_t head = static_cast<std::size_t>(kvHead) * group + row % group;
    const float* from = work.sums.data() + row * work.padded;
    float* to = a.out + (query * a.queryHeads + head) * a.headDim;
    for (std::uint32_t d = 0; d < a.headDim; ++d) to[d] = from[d] / work.rows[row].sum;
  }
}

const std::byte* at(const Strided& tensor, std::uint32_t head, std::uint64_t token) {
  return static_cast<const std::byte*>(tensor.data) + head * tensor.headStrideBytes +
         token * tensor.tokenStrideBytes;
}

void attendHead(const Attention& a, std::uint32_t kvHead, std::uint32_t group, Workspace& work,
                const TileKernels& kernels) {
  begin(a, kvHead, group, work);
  for (std::uint64_t first = 0; first < a.length; first += kTileTokens) {
    const std::size_t tokens = std::min<std::uint64_t>(kTileTokens, a.length - first);
    const auto load = a.element == Element::Bf16 ? kernels.loadBf16 : kernels.loadFp32;
    load(at(a.k, kvHead, first), a.k.tokenStrideBytes, tokens, a.headDim, work.keys.data());
    load(at(a.v, kvHead, first), a.v.tokenStrideBytes, tokens, a.headDim, work.values.data());
    for (std::size_t row = 0; row < work.rowCount; ++row) {
      Row& state = work.rows[row];
      if (state.limit <= first) continue;
      const std::size_t seen = std::min<std::uint64_t>(tokens, state.limit - first);
      kernels.accumulate(work.queries.data() + row * work.padded, work.keys.data(),
                         work.values.data(), seen, work.padded, &state.maximum, &state.sum,
                         work.sums.data() + row * work.padded);
    }
  }
  finish(a, kvHead, group, work);
}

void require(bool holds, const char* field, std::uint64_t given, const std::string& allowed) {
  if (!holds) throw Error::badField(field, std::to_string(given), allowed);
}

void checkStrides(const Attention& a, const Strided& tensor, const char* name) {
  const std::string field = name;
  const std::uint64_t element = elementBytes(a.element);
  const std::uint64_t rowBytes = a.headDim * element;
  if (tensor.data == nullptr) throw Error::badField(field + ".data", "null", "an address");
  for (const auto& [stride, axis, count] :
       {std::tuple{tensor.tokenStrideBytes, ".tokenStrideBytes", a.length},
        std::tuple{tensor.headStrideBytes, ".headStrideBytes", std::uint64_t{a.kvHeads}}}) {
    const std::string which = field + axis;
    require(stride % element == 0, which.c_str(), stride,
            "a multiple of the element's " + std::to_string(element) + " bytes");
    require(count == 1 || stride >= rowBytes, which.c_str(), stride,
            "at least headDim x element = " + std::to_string(rowBytes) + " bytes");
  }
}

}  // namespace

void checkAttention(const Attention& a) {
  require(a.headDim >= 1 && a.headDim <= kHeadDimMax, "headDim", a.headDim,
          "1 to " + std::to_string(kHeadDimMax));
  require(a.kvHeads >= 1, "kvHeads", a.kvHeads, "at least 1");
  require(a.queryHeads >= 1 && a.queryHeads <= kQueryHeadsMax, "queryHeads", a.queryHeads,
          "1 to " + std::to_string(kQueryHeadsMax));
  require(a.queryHeads % a.kvHeads == 0, "queryHeads", a.queryHeads,
          "a multiple of kvHeads = " + std::to_string(a.kvHeads));
  require(a.queryCount >= 1, "queryCount", a.queryCount, "at least 1");
  require(a.length >= a.queryCount, "length", a.length,
          "at least queryCount = " + std::to_string(a.queryCount));
  if (!std::isfinite(a.scale)) throw Error::badField("scale", std::to_string(a.scale), "finite");
  checkStrides(a, a.k, "k");
  checkStrides(a, a.v, "v");
  reachBytes(a, a.k);
  reachBytes(a, a.v);
}

std::uint64_t reachBytes(const Attention& a, const Strided& tensor) {
  std::uint64_t tokens = 0, heads = 0, reach = 0;
  const std::uint64_t row = a.headDim * elementBytes(a.element);
  if (__builtin_mul_overflow(a.length - 1, tensor.tokenStrideBytes, &tokens) ||
      __builtin_mul_overflow(std::uint64_t{a.kvHeads} - 1, tensor.headStrideBytes, &heads) ||
      __builtin_add_overflow(tokens, heads, &reach) || __builtin_add_overflow(reach, row, &reach)) {
    throw Error::badField("length", std::to_string(a.length), "rows that fit a 64-bit address");
  }
  return reach;
}

void attend(const Attention& a) {
  checkAttention(a);
  if (a.queries == nullptr) throw Error::badField("queries", "null", "an address");
  if (a.out == nullptr) throw Error::badField("out", "null", "an address");
  const std::uint32_t group = a.queryHeads / a.kvHeads;
  Workspace work(a, group);
  const TileKernels& kernels = tileKernels();
  for (std::uint32_t head = 0; head < a.kvHeads; ++head) attendHead(a, head, group, work, kernels);
}

}  // namespace kvspan::kernels
