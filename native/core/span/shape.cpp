#include "span/shape.hpp"

#include <algorithm>
#include <string>

#include "base/error.hpp"

namespace kvspan {
namespace {

void within(const char* field, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
  if (value >= low && value <= high) return;
  throw Error::badField(field, std::to_string(value),
                        std::to_string(low) + ".." + std::to_string(high));
}

void wholePages(const char* field, std::uint64_t value, std::uint64_t page) {
  if (value != 0 && value % page == 0) return;
  throw Error::badField(field, std::to_string(value), "a multiple of " + std::to_string(page));
}

// The plan comes from another process: its products may not even fit 64 bits.
using Wide = unsigned __int128;

void atLeast(const char* field, std::uint64_t value, Wide least, const char* what) {
  if (Wide{value} >= least) return;
  throw Error::badField(field, std::to_string(value), std::string("at least ") + what);
}

void check(const CachePlan& plan, const CacheOptions& options, std::uint64_t page) {
  within("plan.laneCount", plan.laneCount, 1, kLanesMax);
  within("plan.slotCount", plan.slotCount, 1, kSlotsMax);
  within("plan.maxTokens", plan.maxTokens, 1, kMaxTokensMax);
  within("plan.rowBytes", plan.rowBytes, 1, plan.slotStrideBytes);
  wholePages("plan.slotStrideBytes", plan.slotStrideBytes, page);
  wholePages("plan.totalBytes", plan.totalBytes, page);
  atLeast("plan.slotStrideBytes", plan.slotStrideBytes, Wide{plan.maxTokens} * plan.rowBytes,
          "maxTokens x rowBytes");
  const Wide lane = Wide{plan.slotCount} * plan.slotStrideBytes;
  if (plan.laneCount > 1) {
    wholePages("plan.laneStrideBytes", plan.laneStrideBytes, page);
    atLeast("plan.laneStrideBytes", plan.laneStrideBytes, lane, "slotCount x slotStrideBytes");
  }
  atLeast("plan.totalBytes", plan.totalBytes,
          Wide{plan.laneCount - 1} * plan.laneStrideBytes + lane,
          "(laneCount - 1) x laneStrideBytes + slotCount x slotStrideBytes");
  within("options.overreadTokens", options.overreadTokens, 0, kOverreadTokensMax);
}

}  // namespace

Shape::Shape(const CachePlan& plan, const CacheOptions& options, std::uint64_t pageBytes)
    : plan_(plan), options_(options), pageBytes_(pageBytes) {
  check(plan, options, pageBytes);
  capacityBytes_ = neededBytes(plan.maxTokens);
}

std::uint64_t Shape::neededBytes(std::uint32_t tokens) const {
  // In 128 bits: rowBytes may be as large as the stride.
  const Wide bytes = (Wide{tokens} + options_.overreadTokens) * plan_.rowBytes;
  const Wide whole = (bytes + pageBytes_ - 1) / pageBytes_ * pageBytes_;
  return static_cast<std::uint64_t>(std::min<Wide>(whole, plan_.slotStrideBytes));
}

std::uint32_t Shape::usableTokens(std::uint64_t bytes) const {
  if (bytes >= capacityBytes_) return plan_.maxTokens;
  const std::uint64_t rows = bytes / plan_.rowBytes;
  if (rows <= options_.overreadTokens) return 0;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(rows - options_.overreadTokens, plan_.maxTokens));
}

std::uint32_t Shape::quietTokens(std::uint32_t usable) const {
  if (usable == plan_.maxTokens) return usable;
  return usable - std::min(usable, options_.lookaheadTokens);
}

LaneNeed Shape::need(std::uint64_t mappedBytes, std::uint32_t tokens) const {
  LaneNeed lane;
  lane.mapped = pages(mappedBytes);
  lane.target = std::max(lane.mapped, pages(neededBytes(tokens)));
  lane.capacity = std::max(lane.target, pages(capacityBytes_));
  lane.growth = options_.growth;
  return lane;
}

}  // namespace kvspan
