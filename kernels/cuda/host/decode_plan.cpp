#include "kernels/cuda/host/decode_plan.hpp"

#include <algorithm>
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

// A stretch of one row of tiles that a team takes: of the units [firstUnit, firstUnit + team) of a
// request, its blocks take one each.
struct Stretch {
  std::int32_t request;
  std::int32_t firstUnit;
  std::int32_t begin;
  std::int32_t end;
  std::int32_t firstTeam;  // that has the first stretch of the same units
  std::int32_t parts;
  bool first;
};

// Deals tiles to teams, in order.
class Dealer {
 public:
  Dealer(std::uint64_t teams, std::uint64_t tiles)
      : teams_(teams), tiles_(tiles), active_(std::min(teams, tiles)) {
    starts.push_back(0);
  }

  void deal(Stretch whole, std::uint64_t tiles) {
    const std::size_t first = stretches.size();
    whole.firstTeam = static_cast<std::int32_t>(team());
    for (std::uint64_t done = 0; done < tiles;) {
      const std::uint64_t take = std::min(tiles - done, teamEnd() - at_);
      add(whole, done, take);
      done += take;
      at_ += take;
      if (at_ == teamEnd()) starts.push_back(stretches.size());
    }
    for (std::size_t i = first; i < stretches.size(); ++i) {
      stretches[i].parts = static_cast<std::int32_t>(stretches.size() - first);
    }
  }

  // The teams that got nothing.
  void finish() { starts.resize(teams_ + 1, stretches.size()); }

  std::vector<Stretch> stretches;
  std::vector<std::size_t> starts;  // [teams + 1], into stretches

 private:
  std::uint64_t team() const { return starts.size() - 1; }
  std::uint64_t teamEnd() const { return (team() + 1) * tiles_ / active_; }

  void add(const Stretch& whole, std::uint64_t done, std::uint64_t take) {
    Stretch piece = whole;
    const std::int64_t begin = whole.begin + static_cast<std::int64_t>(done) * kDecodeTileTokens;
    const std::int64_t end = begin + static_cast<std::int64_t>(take) * kDecodeTileTokens;
    piece.begin = static_cast<std::int32_t>(std::min<std::int64_t>(begin, whole.end));
    piece.end = static_cast<std::int32_t>(std::min<std::int64_t>(end, whole.end));
    piece.first = done == 0;
    stretches.push_back(piece);
  }

  const std::uint64_t teams_;
  const std::uint64_t tiles_;
  const std::uint64_t active_;
  std::uint64_t at_ = 0;
};

Dealer dealRequests(const DecodePlanShape& shape, std::span<const std::int32_t> lengths) {
  const std::uint32_t team = shape.teamBlocks();
  std::uint64_t tiles = 0;
  for (const auto length : lengths) tiles += tilesOf(shape, static_cast<std::uint32_t>(length));
  Dealer dealer(shape.blocks / team, tiles * (shape.unitsPerRequest() / team));
  for (std::size_t request = 0; request < lengths.size(); ++request) {
    const auto length = static_cast<std::uint32_t>(lengths[request]);
    Stretch whole{};
    whole.request = static_cast<std::int32_t>(request);
    whole.begin = static_cast<std::int32_t>(firstToken(shape, length));
    whole.end = lengths[request];
    for (std::uint32_t unit = 0; unit < shape.unitsPerRequest(); unit += team) {
      whole.firstUnit = static_cast<std::int32_t>(unit);
      dealer.deal(whole, tilesOf(shape, length));
    }
  }
  dealer.finish();
  return dealer;
}

// A block's first item may continue a unit, its last one may be continued: two places for parts each.
DecodeItem itemOf(const DecodePlanShape& shape, const Stretch& stretch, std::uint32_t block,
                  std::int32_t length) {
  const auto team = static_cast<std::int32_t>(shape.teamBlocks());
  const auto lane = static_cast<std::int32_t>(block) % team;
  const auto unitsPerHead = static_cast<std::int32_t>(shape.unitsPerHead());
  const std::int32_t unit = stretch.firstUnit + lane;
  DecodeItem item{};
  item.request = stretch.request;
  item.kvHead = unit / unitsPerHead;
  item.firstRow = unit % unitsPerHead * static_cast<std::int32_t>(shape.rows());
  item.begin = stretch.begin;
  item.end = stretch.end;
  item.length = length;
  const auto place = static_cast<std::int32_t>(2 * block) + (stretch.first ? 1 : 0);
  item.part = stretch.parts == 1 ? -1 : place;
  item.firstBlock = stretch.firstTeam * team + lane;
  item.parts = stretch.parts;
  item.blockStep = team;
  return item;
}

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

DecodePlan::Arrays DecodePlan::forDevice() const {
  const std::size_t blocks = blockStarts.size() - 1;
  Arrays arrays;
  arrays.items.reserve(blocks + items.size());
  arrays.items.resize(blocks);
  for (std::size_t block = 0; block < blocks; ++block) {
    const auto first = items.begin() + blockStarts[block];
    const auto last = items.begin() + blockStarts[block + 1];
    arrays.blockStarts.push_back(static_cast<std::int32_t>(arrays.items.size()));
    if (first == last) continue;
    arrays.items[block] = *first;
    arrays.items.insert(arrays.items.end(), first + 1, last);
  }
  arrays.blockStarts.push_back(static_cast<std::int32_t>(arrays.items.size()));
  return arrays;
}

void checkDecodePlanShape(const DecodePlanShape& shape) {
  require(shape.blocks >= 1 && shape.blocks <= kBlocksMax, "blocks", shape.blocks,
          "1 .. " + std::to_string(kBlocksMax));
  require(shape.kvHeads >= 1, "kvHeads", shape.kvHeads, "at least 1");
  require(shape.group >= 1, "group", shape.group, "at least 1");
  require(shape.requestsMax >= 1, "requestsMax", shape.requestsMax, "at least 1");
  require(shape.tokensMax >= 1 && shape.tokensMax <= kTokensMax, "tokensMax", shape.tokensMax,
          "1 .. " + std::to_string(kTokensMax));
  require(shape.window <= kTokensMax, "window", shape.window,
          "1 .. " + std::to_string(kTokensMax) + " tokens, or none");
  require(shape.itemsMax() <= kItemsMax, "requestsMax", shape.requestsMax,
          "requestsMax x kvHeads x units of a head up to " + std::to_string(kItemsMax));
}

std::uint32_t DecodePlanShape::teamBlocks() const {
  constexpr std::uint32_t kIdleShare = 32;  // at most one block in so many
  for (std::uint32_t team = std::min(unitsPerRequest(), blocks); team > 1; --team) {
    if (unitsPerRequest() % team == 0 && blocks % team <= blocks / kIdleShare) return team;
  }
  return 1;
}

DecodePlan planDecode(const DecodePlanShape& shape, std::span<const std::int32_t> lengths) {
  checkDecodePlanShape(shape);
  checkLengths(shape, lengths);
  const Dealer dealt = dealRequests(shape, lengths);
  DecodePlan plan;
  plan.items.reserve(dealt.stretches.size() * shape.teamBlocks());
  plan.blockStarts.reserve(shape.blocks + 1);
  plan.blockStarts.push_back(0);
  for (std::uint32_t block = 0; block < shape.blocks; ++block) {
    const std::size_t team = block / shape.teamBlocks();
    // Blocks that are left over when the teams are made up have nothing to do.
    const bool idle = team + 1 >= dealt.starts.size();
    std::uint64_t tokens = 0;
    for (std::size_t i = idle ? 0 : dealt.starts[team]; i < (idle ? 0 : dealt.starts[team + 1]); ++i) {
      const Stretch& stretch = dealt.stretches[i];
      plan.items.push_back(
          itemOf(shape, stretch, block, lengths[static_cast<std::size_t>(stretch.request)]));
      tokens += static_cast<std::uint64_t>(stretch.end - stretch.begin);
      if (stretch.parts > 1) ++plan.parts;
    }
    plan.tokens += tokens;
    plan.blockTokensMax = std::max(plan.blockTokensMax, tokens);
    plan.blockStarts.push_back(static_cast<std::int32_t>(plan.items.size()));
  }
  return plan;
}

}  // namespace kvspan::attention
