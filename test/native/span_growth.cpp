// The arithmetic of growth, without a device: slack, number of extents, capacity.
#include <algorithm>
#include <random>

#include "harness.hpp"
#include "span/growth.hpp"
#include "span/magazine.hpp"
#include "span/shape.hpp"

using namespace kvspan;

namespace {

constexpr std::uint64_t kPageBytes = 2u << 20;
constexpr std::uint32_t kPlenty = 1u << 20;

OrderCounts plenty() {
  OrderCounts stock;
  stock.fill(kPlenty);
  return stock;
}

struct Grown {
  Pages mapped = 0;
  std::uint64_t extents = 0;
};

void reach(Grown& grown, Pages target, Pages capacity, Growth growth = Growth::Geometric) {
  OrderCounts stock = plenty();
  std::vector<std::uint8_t> orders;
  LaneNeed lane{grown.mapped, std::max(target, grown.mapped), capacity, growth};
  KV_CHECK_EQ(fillLane(lane, stock, orders), 0u);
  for (const int order : orders) grown.mapped += pagesOfOrder(order);
  grown.extents += orders.size();
}

}  // namespace

KV_TEST("growth: slack stays within an eighth and a page, capacity is never passed") {
  std::mt19937_64 random(7);
  for (int geometry = 0; geometry < 400; ++geometry) {
    const Pages capacity = 1 + random() % (1u << (1 + random() % 15));
    Grown grown;
    Pages length = 0;
    while (length < capacity) {
      length = std::min<Pages>(capacity, length + 1 + random() % (1 + length / 3));
      reach(grown, length, capacity);
      KV_CHECK(grown.mapped >= length);
      KV_CHECK(grown.mapped <= capacity);
      KV_CHECK(grown.mapped - length <= length / kGrowthDivisor + 1);
    }
  }
}

KV_TEST("growth: a slot that grows page by page to 24 GiB has about a hundred extents") {
  const Pages capacity = 24 * 512;
  Grown grown;
  for (Pages length = 1; length <= capacity; ++length) reach(grown, length, capacity);
  KV_CHECK_EQ(grown.mapped, capacity);
  KV_CHECK(grown.extents >= 70 && grown.extents <= 110);
  Grown linear;
  for (Pages length = 1; length <= 100; ++length) reach(linear, length, 100, Growth::Linear);
  KV_CHECK_EQ(linear.extents, 100u);
}

KV_TEST("growth: a known length takes the fewest extents") {
  Grown grown;
  reach(grown, 24 * 512, 32 * 512);
  KV_CHECK_EQ(grown.extents, 24u);
  for (Pages pages = 1; pages < 3000; ++pages) {
    OrderCounts exact{};
    addFewest(exact, pages);
    KV_CHECK_EQ(pagesOf(exact), pages);
    Grown met;
    reach(met, pages, 4096);
    KV_CHECK(met.extents <= countOf(exact));
  }
}

KV_TEST("growth: when memory is tight nothing past the target is taken") {
  for (Pages mapped = 0; mapped < 200; mapped += 7) {
    for (Pages gap = 1; gap < 40; gap += 3) {
      LaneNeed lane{mapped, mapped + gap, 4096};
      lane.tight = true;
      OrderCounts stock = plenty();
      std::vector<std::uint8_t> orders;
      KV_CHECK_EQ(fillLane(lane, stock, orders), 0u);
      KV_CHECK_EQ(pagesOf(plenty()) - pagesOf(stock), gap);
    }
  }
}

KV_TEST("growth: one that takes more than it must leaves enough for the others") {
  OrderCounts stock{};
  stock[0] = 40;
  stock[5] = 1;  // what an eighth of 300 pages would take
  LaneNeed lane{300, 301, 4096};
  KV_CHECK_EQ(wantedOrder(lane, pagesOf(stock)), 5);
  lane.othersGap = 50;
  KV_CHECK_EQ(wantedOrder(lane, pagesOf(stock)), 0);
}

KV_TEST("growth: smaller pieces come first, a larger one only within the capacity") {
  OrderCounts stock{};
  stock[1] = 1;
  stock[4] = 1;
  KV_CHECK_EQ(availableOrder(stock, 2, 100), 1);
  stock[1] = 0;
  KV_CHECK_EQ(availableOrder(stock, 2, 16), 4);
  KV_CHECK_EQ(availableOrder(stock, 2, 15), -1);
}

KV_TEST("growth: with what is missing for them all lanes can be served, and with less not") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    OrderCounts stock{};
    for (int order = 0; order < 5; ++order) stock[order] = random() % 4;
    std::vector<LaneNeed> lanes(1 + random() % 6);
    for (LaneNeed& lane : lanes) {
      lane.mapped = random() % 50;
      lane.target = lane.mapped + random() % 40;
      lane.capacity = lane.target + random() % 64;
      lane.tight = true;
    }
    const OrderCounts need = missingFor(lanes, stock);
    OrderCounts all = stock;
    for (int order = 0; order <= kOrderMax; ++order) all[order] += need[order];
    std::vector<std::uint8_t> orders;
    Pages missing = 0, missingBefore = 0;
    OrderCounts before = stock;
    for (const LaneNeed& lane : lanes) missing += fillLane(lane, all, orders);
    for (const LaneNeed& lane : lanes) missingBefore += fillLane(lane, before, orders);
    KV_CHECK_EQ(missing, 0u);
    KV_CHECK(missingBefore <= pagesOf(need));
    KV_CHECK_EQ(missingBefore == 0, countOf(need) == 0);
  }
}

KV_TEST("growth: a geometric mix has the pages asked for, with single ones among them") {
  for (const Pages pages : {1, 5, 31, 64, 1000, 5000}) {
    const OrderCounts mix = geometricMix(pages, kOrderMax);
    KV_CHECK_EQ(pagesOf(mix), pages);
    KV_CHECK(mix[0] >= 1);
    KV_CHECK(countOf(mix) < 100);
  }
  KV_CHECK_EQ(geometricMix(100, 0)[0], 100u);
}

KV_TEST("growth: bytes and tokens agree for any geometry") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 500; ++round) {
    CachePlan plan;
    plan.laneCount = 1;
    plan.slotCount = 1;
    plan.rowBytes = 1 + random() % (1u << (1 + random() % 23));
    plan.maxTokens = 1 + random() % 2000;
    const std::uint64_t least = plan.rowBytes * plan.maxTokens;
    plan.slotStrideBytes = (least / kPageBytes + 1 + random() % 3) * kPageBytes;
    plan.totalBytes = plan.slotStrideBytes;
    CacheOptions options;
    options.overreadTokens = random() % 300;
    const Shape shape(plan, options, kPageBytes);
    KV_CHECK(shape.capacityBytes() <= plan.slotStrideBytes);
    for (int i = 0; i < 50; ++i) {
      const std::uint32_t tokens = 1 + random() % plan.maxTokens;
      const std::uint64_t needed = shape.neededBytes(tokens);
      KV_CHECK_EQ(needed % kPageBytes, 0u);
      KV_CHECK(needed >= tokens * plan.rowBytes);
      KV_CHECK(shape.usableTokens(needed) >= tokens);
      // A page less is not enough.
      KV_CHECK(shape.usableTokens(needed - kPageBytes) < tokens);
    }
  }
}

KV_TEST("growth: a plan that does not add up is refused by the field at fault") {
  const auto refused = [](auto&& spoil) {
    CachePlan plan;
    plan.laneCount = 2;
    plan.rowBytes = 4096;
    plan.slotStrideBytes = kPageBytes;
    plan.laneStrideBytes = 4 * kPageBytes;
    plan.slotCount = 4;
    plan.maxTokens = 512;
    plan.totalBytes = 8 * kPageBytes;
    CacheOptions options;
    spoil(plan, options);
    try {
      Shape(plan, options, kPageBytes);
    } catch (const Error& error) {
      KV_CHECK_EQ(error.code(), Code::InvalidArgument);
      return error.field();
    }
    return std::string();
  };
  KV_CHECK_EQ(refused([](auto&, auto&) {}), "");
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.laneCount = 0; }), "plan.laneCount");
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.slotCount = 0; }), "plan.slotCount");
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.maxTokens = 0; }), "plan.maxTokens");
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.maxTokens = 1u << 31; }), "plan.maxTokens");
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.rowBytes = 0; }), "plan.rowBytes");
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.maxTokens = 513; }), "plan.slotStrideBytes");
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.slotStrideBytes += 4096; }), "plan.slotStrideBytes");
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.laneStrideBytes -= kPageBytes; }),
              "plan.laneStrideBytes");
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.totalBytes -= kPageBytes; }), "plan.totalBytes");
  // Products past 64 bits.
  constexpr std::uint64_t kHuge = ~std::uint64_t{0} / kPageBytes * kPageBytes;
  KV_CHECK_EQ(refused([](auto& p, auto&) { p.laneStrideBytes = kHuge; }),
              "plan.totalBytes");
  KV_CHECK_EQ(refused([](auto&, auto& o) { o.overreadTokens = kOverreadTokensMax + 1; }),
              "options.overreadTokens");
}

KV_TEST("magazine: gives and takes by order, by bytes and by id") {
  Magazine magazine(kPageBytes);
  KV_CHECK_EQ(magazine.orderOf(3 * kPageBytes), -1);
  KV_CHECK_EQ(magazine.orderOf(1024 * kPageBytes), -1);
  KV_CHECK_EQ(magazine.orderOf(kPageBytes + 1), -1);
  for (std::uint64_t id = 1; id <= 6; ++id) magazine.put({id, id, kPageBytes << (id % 3)});
  KV_CHECK_EQ(magazine.bytes(), 14 * kPageBytes);
  KV_CHECK_EQ(magazine.take(2).id, 5u);
  KV_CHECK_EQ(magazine.firstAbsent({1, 2, 5}).value_or(0), 5u);
  KV_CHECK_EQ(magazine.takeIds({1, 6}).size(), 2u);
  KV_CHECK_EQ(magazine.bytes(), 7 * kPageBytes);
  std::uint64_t got = 0;
  for (const Extent& extent : magazine.takeBytes(3 * kPageBytes)) got += extent.bytes;
  KV_CHECK_EQ(got, 3 * kPageBytes);
  KV_CHECK_EQ(magazine.takeAbove(2 * kPageBytes, 2 * kPageBytes).size(), 0u);
  const std::uint64_t left = magazine.extents();
  KV_CHECK_EQ(magazine.takeAll().size(), left);
  KV_CHECK_EQ(magazine.bytes(), 0u);
}
