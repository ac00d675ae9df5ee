// The decode plan, which needs no GPU: every token of every unit exactly once, equal work for all.
#include <algorithm>
#include <map>
#include <random>
#include <tuple>
#include <vector>

#include "harness.hpp"
#include "kernels/cuda/host/decode_plan.hpp"

namespace kvspan::test {
namespace {

using attention::DecodeItem;
using attention::DecodePlan;
using attention::DecodePlanShape;
using attention::kDecodeTileTokens;

using Unit = std::tuple<std::int32_t, std::int32_t, std::int32_t>;  // request, KV head, first row

std::int32_t tiles(std::int32_t tokens) {
  return (tokens + kDecodeTileTokens - 1) / kDecodeTileTokens;
}

// Where a plan's tokens of a unit must begin: at the first tile that the window reaches into.
std::int32_t firstToken(const DecodePlanShape& shape, std::int32_t length) {
  const auto window = static_cast<std::int32_t>(shape.window);
  if (window == 0 || length <= window) return 0;
  return (length - window) / kDecodeTileTokens * kDecodeTileTokens;
}

std::map<Unit, std::vector<DecodeItem>> byUnit(const DecodePlan& plan) {
  std::map<Unit, std::vector<DecodeItem>> units;
  for (const auto& item : plan.items) {
    units[{item.request, item.kvHead, item.firstRow}].push_back(item);
  }
  for (auto& [unit, items] : units) {
    std::ranges::sort(items, {}, [](const DecodeItem& item) { return item.begin; });
  }
  return units;
}

void checkCovered(const DecodePlanShape& shape, const std::vector<std::int32_t>& lengths,
                  const DecodePlan& plan) {
  const auto units = byUnit(plan);
  KV_CHECK_EQ(units.size(), lengths.size() * shape.kvHeads * shape.unitsPerHead());
  for (const auto& [unit, items] : units) {
    const auto length = lengths[static_cast<std::size_t>(std::get<0>(unit))];
    std::int32_t at = firstToken(shape, length);
    for (const auto& item : items) {
      KV_CHECK_EQ(item.begin, at);
      KV_CHECK(item.end > item.begin || length == 0);
      KV_CHECK_EQ(item.begin % kDecodeTileTokens, 0);
      KV_CHECK_EQ(item.length, length);
      KV_CHECK_EQ(item.parts, static_cast<std::int32_t>(items.size()));
      at = item.end;
    }
    KV_CHECK_EQ(at, length);
  }
}

// No block has a tile more than another, but for those that are left over or when tiles are few.
void checkBalanced(const DecodePlanShape& shape, const DecodePlan& plan) {
  KV_CHECK_EQ(plan.blockStarts.size(), shape.blocks + 1);
  std::int32_t least = 1 << 30, most = 0, busy = 0;
  for (std::uint32_t block = 0; block < shape.blocks; ++block) {
    std::int32_t work = 0;
    for (auto i = plan.blockStarts[block]; i < plan.blockStarts[block + 1]; ++i) {
      const auto& item = plan.items[static_cast<std::size_t>(i)];
      work += std::max(1, tiles(item.end - item.begin));
    }
    if (work == 0) continue;
    ++busy;
    least = std::min(least, work);
    most = std::max(most, work);
  }
  KV_CHECK(most - least <= 1);
  if (busy > 0 && least > 1) KV_CHECK(busy >= static_cast<std::int32_t>(shape.blocks - shape.blocks / 32));
}

// What the kernel takes for granted: the parts of a unit lie where it looks for them, in blocks that
// are a step apart, and no two share a place.
void checkParts(const DecodePlan& plan) {
  std::map<std::int32_t, int> places;
  std::map<Unit, std::int32_t> counters;
  for (std::size_t block = 0; block + 1 < plan.blockStarts.size(); ++block) {
    const auto first = plan.blockStarts[block], last = plan.blockStarts[block + 1];
    for (auto i = first; i < last; ++i) {
      const auto& item = plan.items[static_cast<std::size_t>(i)];
      if (item.parts == 1) {
        KV_CHECK_EQ(item.part, -1);
        continue;
      }
      const auto b = static_cast<std::int32_t>(block);
      KV_CHECK_EQ(++places[item.part], 1);
      KV_CHECK_EQ((b - item.firstBlock) % item.blockStep, 0);
      const auto index = (b - item.firstBlock) / item.blockStep;
      KV_CHECK(index >= 0 && index < item.parts);
      KV_CHECK_EQ(item.part, index == 0 ? 2 * item.firstBlock + 1 : 2 * b);
      // The first part is its block's last item, every later one its block's first.
      KV_CHECK_EQ(index == 0 ? i : first, index == 0 ? last - 1 : i);
      counters[{item.request, item.kvHead, item.firstRow}] = item.firstBlock;
    }
  }
  std::map<std::int32_t, int> shared;
  for (const auto& [unit, counter] : counters) KV_CHECK_EQ(++shared[counter], 1);
}

void checkPlan(const DecodePlanShape& shape, const std::vector<std::int32_t>& lengths) {
  const auto plan = attention::planDecode(shape, lengths);
  checkCovered(shape, lengths, plan);
  checkBalanced(shape, plan);
  checkParts(plan);
  KV_CHECK(plan.items.size() <= shape.itemsMax());
}

DecodePlanShape h100(std::uint32_t requests) {
  return {.blocks = 264, .kvHeads = 8, .group = 4, .requestsMax = requests, .tokensMax = 1 << 20};
}

KV_TEST("kernels: a decode plan covers every token once and gives all blocks equal work") {
  checkPlan(h100(64), std::vector<std::int32_t>(64, 4096));
  checkPlan(h100(8), std::vector<std::int32_t>(1, 1));
  checkPlan(h100(8), {0, 0, 0});
  checkPlan(h100(8), {60'000, 128, 1, 0, 63, 64, 65});
  checkPlan(h100(8), {1 << 20});
}

KV_TEST("kernels: a decode plan of no requests leaves all blocks idle") {
  const auto plan = attention::planDecode(h100(4), {});
  KV_CHECK_EQ(plan.items.size(), 0u);
  KV_CHECK(plan.blockStarts == std::vector<std::int32_t>(265));
  KV_CHECK_EQ(plan.imbalance(), 1.0);
}

KV_TEST("kernels: decode plans of random shapes and lengths hold what the kernel relies on") {
  std::mt19937 random(5);
  for (int i = 0; i < 400; ++i) {
    DecodePlanShape shape{.blocks = 1 + static_cast<std::uint32_t>(random() % 300),
                          .kvHeads = 1 + static_cast<std::uint32_t>(random() % 40),
                          .group = 1 + static_cast<std::uint32_t>(random() % 40),
                          .requestsMax = 20,
                          .tokensMax = 1 << 16,
                          .window = random() % 3 ? 0 : 1 + static_cast<std::uint32_t>(random() % 999)};
    std::vector<std::int32_t> lengths;
    for (auto n = random() % 20; n > 0; --n) {
      lengths.push_back(static_cast<std::int32_t>(random() % (random() % 4 ? 300 : 60'000)));
    }
    checkPlan(shape, lengths);
  }
}

KV_TEST("kernels: blocks of a team read the same tokens of neighbouring heads") {
  const auto shape = h100(4);
  KV_CHECK_EQ(shape.teamBlocks(), 8u);
  const auto plan = attention::planDecode(shape, std::vector<std::int32_t>{50'000, 3});
  for (std::uint32_t block = 0; block < shape.blocks; ++block) {
    const auto& item = plan.items[static_cast<std::size_t>(plan.blockStarts[block])];
    const auto& leader = plan.items[static_cast<std::size_t>(plan.blockStarts[block / 8 * 8])];
    KV_CHECK_EQ(item.begin, leader.begin);
    KV_CHECK_EQ(item.end, leader.end);
    KV_CHECK_EQ(item.kvHead, static_cast<std::int32_t>(block % 8));
  }
}

KV_TEST("kernels: teams are only as large as leaves hardly a block idle") {
  auto shape = h100(4);
  shape.kvHeads = 96;  // 264 blocks are no whole number of 96 or of 48 of them
  KV_CHECK_EQ(shape.teamBlocks(), 32u);
  shape.kvHeads = 263;
  KV_CHECK_EQ(shape.teamBlocks(), 263u);
  shape.kvHeads = 1009;
  KV_CHECK_EQ(shape.teamBlocks(), 1u);
}

KV_TEST("kernels: a decode plan refuses lengths that its capacity does not have") {
  const DecodePlanShape shape{
      .blocks = 4, .kvHeads = 1, .group = 1, .requestsMax = 2, .tokensMax = 100};
  const auto plan = [&](std::vector<std::int32_t> lengths) {
    return attention::planDecode(shape, lengths);
  };
  KV_CHECK_THROWS(Code::InvalidArgument, plan({1, 2, 3}));
  KV_CHECK_THROWS(Code::InvalidArgument, plan({-1}));
  KV_CHECK_THROWS(Code::InvalidArgument, plan({101}));
  KV_CHECK_EQ(plan({100, 0}).tokens, 100u);
}

KV_TEST("kernels: a decode plan refuses a window that no kernel takes") {
  DecodePlanShape shape{
      .blocks = 4, .kvHeads = 1, .group = 1, .requestsMax = 2, .tokensMax = 100, .window = 1u << 30};
  attention::checkDecodePlanShape(shape);
  shape.window += 1;
  KV_CHECK_THROWS(Code::InvalidArgument, attention::checkDecodePlanShape(shape));
}

}  // namespace
}  // namespace kvspan::test
