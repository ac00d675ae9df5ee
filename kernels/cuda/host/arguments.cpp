#include "kernels/cuda/host/arguments.hpp"

#include <cmath>

#include "base/error.hpp"

namespace kvspan::attention {
namespace {

constexpr std::uint32_t kHeadsMax = 1024;
// Strides and addresses are multiplied by counts below 2^31 in 64 bits.
constexpr std::uint64_t kStrideMax = 1ull << 40;
constexpr std::uint64_t kPieceBytes = 16;  // what one copy of the kernels moves
constexpr std::uint32_t kWindowMax = 1u << 30;

void require(bool holds, const std::string& field, std::uint64_t given,
             const std::string& allowed) {
  if (!holds) throw Error::badField(field, std::to_string(given), allowed);
}

void checkAddress(Address address, const std::string& field, std::uint64_t alignment) {
  require(address != 0 && address % alignment == 0, field, address,
          "a device address, a multiple of " + std::to_string(alignment));
}

void checkStride(std::uint64_t stride, const std::string& field, std::uint64_t least) {
  require(stride % kPieceBytes == 0 && stride >= least && stride <= kStrideMax, field, stride,
          "a multiple of 16 bytes, " + std::to_string(least) + " .. " + std::to_string(kStrideMax));
}

std::int64_t elements(std::uint64_t bytes) { return static_cast<std::int64_t>(bytes / 2); }

KvTensor toKvTensor(const TensorArguments& tensor, const std::string& field, const Shape& shape,
                    bool paged) {
  checkAddress(tensor.address, field + ".address", kPieceBytes);
  // Two tokens of a head, and two heads of a token, must not overlap.
  checkStride(tensor.tokenStrideBytes, field + ".tokenStrideBytes", shape.rowBytes());
  checkStride(tensor.headStrideBytes, field + ".headStrideBytes",
              shape.kvHeads > 1 ? shape.rowBytes() : 0);
  // A cache of one slot, or of one page, needs no stride.
  if (paged) checkStride(tensor.pageStrideBytes, field + ".pageStrideBytes", 0);
  else checkStride(tensor.slotStrideBytes, field + ".slotStrideBytes", 0);
  return {.base = reinterpret_cast<const void*>(tensor.address),
          .slotStride = elements(tensor.slotStrideBytes),
          .pageStride = elements(tensor.pageStrideBytes),
          .tokenStride = elements(tensor.tokenStrideBytes),
          .headStride = elements(tensor.headStrideBytes)};
}

}  // namespace

std::string Shape::suffix() const {
  return std::string(dtype == Dtype::Bf16 ? "bf16" : "fp16") + "_d" + std::to_string(headDim);
}

void checkShape(const Shape& shape) {
  require(shape.headDim == 64 || shape.headDim == 128 || shape.headDim == 256, "shape.headDim",
          shape.headDim, "64, 128 or 256");
  require(shape.kvHeads >= 1 && shape.kvHeads <= kHeadsMax, "shape.kvHeads", shape.kvHeads,
          "1 .. " + std::to_string(kHeadsMax));
  require(shape.queryHeads >= 1 && shape.queryHeads <= kHeadsMax &&
              shape.queryHeads % shape.kvHeads == 0,
          "shape.queryHeads", shape.queryHeads,
          "a multiple of kvHeads = " + std::to_string(shape.kvHeads) + ", at most " +
              std::to_string(kHeadsMax));
}

const std::int32_t* toInts(Address address, const std::string& field) {
  checkAddress(address, field, 4);
  return reinterpret_cast<const std::int32_t*>(address);
}

KvView toKvView(const KvArguments& kv, const Shape& shape, std::uint64_t tokensMax) {
  const std::uint32_t page = kv.pageTokens;
  require(page == 0 || page == 1 || page == 16 || page == 64 || page == 256, "kv.pageTokens", page,
          "1, 16, 64 or 256");
  KvView view{};
  view.k = toKvTensor(kv.k, "kv.k", shape, page != 0);
  view.v = toKvTensor(kv.v, "kv.v", shape, page != 0);
  if (page == 0) {
    view.slots = toInts(kv.slots, "kv.slots");
    return view;
  }
  view.blockTable = toInts(kv.blockTable, "kv.blockTable");
  view.blockTableStride = kv.blockTableEntries;
  const std::uint64_t least = tokensMax == 0 ? 1 : (tokensMax + page - 1) / page;
  require(kv.blockTableEntries >= least, "kv.blockTableEntries", kv.blockTableEntries,
          "at least " + std::to_string(least) + " pages for " + std::to_string(tokensMax) +
              " tokens");
  return view;
}

RowTensor toRowTensor(const RowArguments& rows, const std::string& field, const Shape& shape,
                      std::uint32_t heads) {
  checkAddress(rows.address, field + ".address", kPieceBytes);
  checkStride(rows.rowStrideBytes, field + ".rowStrideBytes", shape.rowBytes());
  checkStride(rows.headStrideBytes, field + ".headStrideBytes", heads > 1 ? shape.rowBytes() : 0);
  return {.base = reinterpret_cast<void*>(rows.address),
          .rowStride = elements(rows.rowStrideBytes),
          .headStride = elements(rows.headStrideBytes)};
}

ScoreOptions toScoreOptions(const OptionArguments& options) {
  const auto scale = static_cast<float>(options.scale);
  const auto softCap = static_cast<float>(options.softCap);
  if (!std::isfinite(scale)) {
    throw Error::badField("options.scale", std::to_string(options.scale), "a finite float32");
  }
  if (!std::isfinite(softCap) || softCap < 0.0f || (softCap == 0.0f && options.softCap != 0.0)) {
    throw Error::badField("options.softCap", std::to_string(options.softCap),
                          "a positive finite float32, or none");
  }
  require(options.window <= kWindowMax, "options.window", options.window,
          "1 .. " + std::to_string(kWindowMax) + " tokens, or none");
  if (options.alibiSlopes != 0) checkAddress(options.alibiSlopes, "options.alibiSlopes", 4);
  return {.scale = scale,
          .softCap = softCap,
          .window = static_cast<std::int32_t>(options.window),
          .alibiSlopes = reinterpret_cast<const float*>(options.alibiSlopes)};
}

}  // namespace kvspan::attention
