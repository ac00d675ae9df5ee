// How a slot grows, as arithmetic on pages: which extents to ask for, and which of those at hand to
// take instead. Pure: no memory is touched here, so that plans can be made, compared and tested
// without a device.
#pragma once

#include <cstdint>
#include <vector>

#include "span/session.hpp"

namespace kvspan {

using Pages = std::uint64_t;

// A slot's next extent is at most this part of what it has mapped: the bound on slack.
inline constexpr Pages kGrowthDivisor = 8;
inline constexpr Pages kExtentPagesMax = Pages{1} << kOrderMax;

inline constexpr Pages pagesOfOrder(int order) { return Pages{1} << order; }
// The fewest pages that hold so many bytes, of any number: a peer may name one near 2^64.
inline constexpr Pages pagesFor(std::uint64_t bytes, std::uint64_t pageBytes) {
  return bytes / pageBytes + (bytes % pageBytes != 0 ? 1 : 0);
}
Pages pagesOf(const OrderCounts& counts);
std::uint64_t countOf(const OrderCounts& counts);

// The largest order of at most `pages` pages (at least 1); never above kOrderMax.
int orderNotAbove(Pages pages);

// One lane that is to reach `target` pages. Invariant: mapped <= target <= capacity.
struct LaneNeed {
  Pages mapped = 0;
  Pages target = 0;
  Pages capacity = 0;
  Growth growth = Growth::Geometric;
  // Memory is short: take no more than the target asks for, if the sizes at hand allow it.
  bool tight = false;
  // What other lanes and slots still wait for, of the same stock: taking more than the target asks
  // for must leave as much.
  Pages othersGap = 0;

  Pages gap() const { return target - mapped; }
};

// The order that suits the lane best: the largest that the gap (a known length is met with the
// fewest extents) or an eighth of what is mapped can hold, within the capacity. `stock`: pages free.
int wantedOrder(const LaneNeed& lane, Pages stock);

// Which order to take when `wanted` is: that, else the next smaller, else a larger one of at most
// `room` pages. -1: none will do.
int availableOrder(const OrderCounts& stock, int wanted, Pages room);

// Takes from `stock` what the lane needs and appends the orders, in address order. Returns the
// pages still missing: 0 when the lane is served.
Pages fillLane(LaneNeed lane, OrderCounts& stock, std::vector<std::uint8_t>& orders);

// Adds the fewest extents that make exactly `pages`.
void addFewest(OrderCounts& counts, Pages pages);

// What a refill must bring so that all lanes can be served with it and `stock`, in the order given.
OrderCounts missingFor(const std::vector<LaneNeed>& lanes, OrderCounts stock);

// About `pages` pages in sizes that fall geometrically down to single pages, none above `orderMax`:
// a stock that suits spans of any length.
OrderCounts geometricMix(Pages pages, int orderMax);

}  // namespace kvspan
