#include "kernels/cuda/host/decode_plan.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "base/error.hpp"

namespace kvspan::attention {
namespace {

constexpr std::uint32_t kBlocksMax = 1u << 16;
constexpr std::uint64_t kItemsMax = 1u << 26;
constexpr std::uint32_t kTokensMax = 1u << 30;

std::uint32_t firstToken(const DecodePlanShape& shape, std::uint32_t length) {
  if (shape.window == 0 || length <= shape.window) return 0;
  const std::uint32_t first = length - shape.window;
  return first - first % kDecodeTileTokens;
}

// An empty request is a tile too: somebody has to write its zeros.
std::uint64_t tilesOf(const DecodePlanShape& shape, std::uint32_t length) {
  const std::uint32_t tokens = length - firstToken(shape, length);
  return std::max(1u, (tokens + kDecodeTileTokens - 1) / kDecodeTileTokens);
}

// Deals tiles to blocks, in order.
class Dealer {
 public:
  Dealer(const DecodePlanShape& shape, DecodePlan& plan, std::uint64_t tiles)
      : shape_(shape), plan_(plan), tiles_(tiles), active_(std::min<std::uint64_t>(shape.blocks, tiles)) {
    plan_.blockStarts.push_back(0);
  }

  void unit(const DecodeItem& whole, std::uint64_t tiles) {
    const std::size_t first = plan_.items.size();
    std::int32_t firstBlock = static_cast<std::int32_t>(block());
    std::uint64_t done = 0;
    while (done < tiles) {
      const std::uint64_t take = std::min(tiles - done, blockEnd() - at_);
      addPiece(whole, done, take, firstBlock);
      done += take;
      at_ += take;
      if (at_ == blockEnd()) endBlock();
    }
    const auto parts = static_cast<std::int32_t>(plan_.items.size() - first);
    if (parts == 1) plan_.items.back().part = -1;
    else plan_.parts += static_cast<std::uint32_t>(parts);
    for (std::size_t i = first; i < plan_.items.size(); ++i) plan_.items[i].parts = parts;
  }

  // The blocks that got nothing.
  void finish() {
    while (plan_.blockStarts.size() <= shape_.blocks) endBlock();
  }

 private:
  std::uint64_t block() const { return plan_.blockStarts.size() - 1; }
  std::uint64_t blockEnd() const { return (block() + 1) * tiles_ / active_; }

  void endBlock() {
    plan_.blockTokensMax = std::max(plan_.blockTokensMax, blockTokens_);
    blockTokens_ = 0;
    plan_.blockStarts.push_back(static_cast<std::int32_t>(plan_.items.size()));
  }

  // A block's first item may continue a unit, its last one may be continued: two places each.
  void addPiece(const DecodeItem& whole, std::uint64_t done, std::uint64_t take,
                std::int32_t firstBlock) {
    DecodeItem piece = whole;
    const std::int64_t begin = whole.begin + static_cast<std::int64_t>(done) * kDecodeTileTokens;
    const std::int64_t end = begin + static_cast<std::int64_t>(take) * kDecodeTileTokens;
    piece.begin = static_cast<std::int32_t>(std::min<std::int64_t>(begin, whole.end));
    piece.end = static_cast<std::int32_t>(std::min<std::int64_t>(end, whole.end));
    piece.firstBlock = firstBlock;
    piece.part = static_cast<std::int32_t>(2 * block()) + (done == 0 ? 1 : 0);
    const auto tokens = static_cast<std::uint64_t>(piece.end - piece.begin);
    plan_.tokens += tokens;
    blockTokens_ += tokens;
    plan_.items.push_back(piece);
  }

  const DecodePlanShape& shape_;
  DecodePlan& plan_;
  const std::uint64_t tiles_;
  const std::uint64_t active_;
  std::uint64_t at_ = 0;
  std::uint64_t blockTokens_ = 0;
};

void checkLengths(const DecodePlanShape& shape, std::span<const std::int32_t> lengths) {
  if (lengths.size() > shape.requestsMax) {
    throw Error::badField("lengths", std::to_string(lengths.size()) + " requests",
                          "at most requestsMax = " + std::to_string(shape.requestsMax));
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] >= 0 && static_cast<std::uint32_t>(lengths[i]) <= shape.tokensMax) continue;
    throw Error::badField("lengths[" + std::to_string(i) + "]", std::to_string(lengths[i]),
                          "0 .. tokensMax = " + std::to_string(shape.tokensMax));
  }
}

void require(bool holds, const char* field, std::uint64_t given, const std::string& allowed) {
  if (!holds) throw Error::badField(field, std::to_string(given), allowed);
}

}  // namespace

double DecodePlan::imbalance() const {
  const double mean = static_cast<double>(tokens) / static_cast<double>(blockStarts.size() - 1);
  return tokens == 0 ? 1.0 : static_cast<double>(blockTokensMax) / mean;
}

void checkDecodePlanShape(const DecodePlanShape& shape) {
  require(shape.blocks >= 1 && shape.blocks <= kBlocksMax, "blocks", shape.blocks,
          "1 .. " + std::to_string(kBlocksMax));
  require(shape.kvHeads >= 1, "kvHeads", shape.kvHeads, "at least 1");
  require(shape.group >= 1, "group", shape.group, "at least 1");
  require(shape.requestsMax >= 1, "requestsMax", shape.requestsMax, "at least 1");
  require(shape.tokensMax >= 1 && shape.tokensMax <= kTokensMax, "tokensMax", shape.tokensMax,
          "1 .. " + std::to_string(kTokensMax));
  require(shape.itemsMax() <= kItemsMax, "requestsMax", shape.requestsMax,
          "requestsMax x kvHeads x units of a head up to " + std::to_string(kItemsMax));
}

DecodePlan planDecode(const DecodePlanShape& shape, std::span<const std::int32_t> lengths) {
  checkDecodePlanShape(shape);
  checkLengths(shape, lengths);
  const std::uint64_t unitsPerRequest = std::uint64_t{shape.kvHeads} * shape.unitsPerHead();
  std::uint64_t tiles = 0;
  for (const auto length : lengths) tiles += tilesOf(shape, static_cast<std::uint32_t>(length));
  DecodePlan plan;
  plan.items.reserve(lengths.size() * unitsPerRequest + shape.blocks);
  plan.blockStarts.reserve(shape.blocks + 1);
  Dealer dealer(shape, plan, tiles * unitsPerRequest);
  for (std::size_t request = 0; request < lengths.size(); ++request) {
    const auto length = static_cast<std::uint32_t>(lengths[request]);
    DecodeItem whole{};
    whole.request = static_cast<std::int32_t>(request);
    whole.begin = static_cast<std::int32_t>(firstToken(shape, length));
    whole.end = whole.length = lengths[request];
    for (std::uint64_t unit = 0; unit < unitsPerRequest; ++unit) {
      whole.kvHead = static_cast<std::int32_t>(unit / shape.unitsPerHead());
      whole.firstRow = static_cast<std::int32_t>(unit % shape.unitsPerHead() * shape.rows());
      dealer.unit(whole, tilesOf(shape, length));
    }
  }
  dealer.finish();
  return plan;
}

}  // namespace kvspan::attention
