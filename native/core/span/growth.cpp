#include "span/growth.hpp"

#include <algorithm>
#include <bit>

namespace kvspan {

Pages pagesOf(const OrderCounts& counts) {
  Pages pages = 0;
  for (int order = 0; order <= kOrderMax; ++order) pages += counts[order] * pagesOfOrder(order);
  return pages;
}

std::uint64_t countOf(const OrderCounts& counts) {
  std::uint64_t count = 0;
  for (const auto one : counts) count += one;
  return count;
}

int orderNotAbove(Pages pages) {
  const Pages bounded = std::clamp<Pages>(pages, 1, kExtentPagesMax);
  return static_cast<int>(std::bit_width(bounded)) - 1;
}

int wantedOrder(const LaneNeed& lane, Pages stock) {
  if (lane.growth == Growth::Linear) return 0;
  const Pages gap = std::max<Pages>(lane.gap(), 1);
  const Pages room = lane.capacity - lane.mapped;
  const int exact = orderNotAbove(std::min(gap, room));
  if (lane.tight) return exact;
  const int generous = orderNotAbove(std::min(std::max(gap, lane.mapped / kGrowthDivisor), room));
  // Going past the target must not starve those who come after.
  const bool spare = stock >= pagesOfOrder(generous) + lane.othersGap;
  return spare ? generous : exact;
}

int availableOrder(const OrderCounts& stock, int wanted, Pages room) {
  for (int order = wanted; order >= 0; --order) {
    if (stock[order] > 0) return order;
  }
  for (int order = wanted + 1; order <= kOrderMax && pagesOfOrder(order) <= room; ++order) {
    if (stock[order] > 0) return order;
  }
  return -1;
}

Pages fillLane(LaneNeed lane, OrderCounts& stock, std::vector<std::uint8_t>& orders) {
  while (lane.mapped < lane.target) {
    const int wanted = wantedOrder(lane, pagesOf(stock));
    const int order = availableOrder(stock, wanted, lane.capacity - lane.mapped);
    if (order < 0) return lane.gap();
    --stock[order];
    orders.push_back(static_cast<std::uint8_t>(order));
    lane.mapped += pagesOfOrder(order);
  }
  return 0;
}

void addFewest(OrderCounts& counts, Pages pages) {
  while (pages > 0) {
    const int order = orderNotAbove(pages);
    // Everything above the largest order comes in one go, not one by one.
    const Pages many = order == kOrderMax ? pages / kExtentPagesMax : 1;
    counts[order] += static_cast<std::uint32_t>(many);
    pages -= many * pagesOfOrder(order);
  }
}

namespace {

// What the lanes lack if they take, one after the other, from this stock.
OrderCounts lackingOf(const std::vector<LaneNeed>& lanes, OrderCounts stock) {
  OrderCounts lacking{};
  std::vector<std::uint8_t> orders;
  for (LaneNeed lane : lanes) {
    lane.tight = true;
    const Pages missing = fillLane(lane, stock, orders);
    if (lane.growth == Growth::Linear) {
      lacking[0] += static_cast<std::uint32_t>(missing);
    } else {
      addFewest(lacking, missing);
    }
    orders.clear();
  }
  return lacking;
}

void addTo(OrderCounts& counts, const OrderCounts& more) {
  for (int order = 0; order <= kOrderMax; ++order) counts[order] += more[order];
}

}  // namespace

OrderCounts missingFor(const std::vector<LaneNeed>& lanes, OrderCounts stock) {
  OrderCounts need{};
  // More than once, because what is brought changes who takes what: a lane that made do with a
  // piece too large now takes one that fits, which was meant for another.
  for (;;) {
    const OrderCounts lacking = lackingOf(lanes, stock);
    if (countOf(lacking) == 0) return need;
    addTo(need, lacking);
    addTo(stock, lacking);
  }
}

OrderCounts geometricMix(Pages pages, int orderMax) {
  OrderCounts mix{};
  while (pages > 0) {
    const int order = std::min(orderNotAbove(pages / kGrowthDivisor), orderMax);
    ++mix[order];
    pages -= pagesOfOrder(order);
  }
  return mix;
}

}  // namespace kvspan
