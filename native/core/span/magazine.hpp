// Imported extents that are not mapped, by order. Not thread-safe: the extent store guards it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "span/growth.hpp"
#include "span/session.hpp"

namespace kvspan {

class Magazine {
 public:
  explicit Magazine(std::uint64_t pageBytes) : pageBytes_(pageBytes) {}

  // The order of an extent of so many bytes; -1 if they are not 2^k pages, k = 0 .. kOrderMax.
  int orderOf(std::uint64_t bytes) const;

  void put(const Extent& extent);
  // The extent put last of this order, which must not be empty.
  Extent take(int order);
  // Extents of at least `bytes` together if there are as many, as little above it as the sizes
  // allow: for giving back.
  std::vector<Extent> takeBytes(std::uint64_t bytes) { return takeBytes(bytes, bytes_); }
  // The same, but never so much that less than `bytes() - room` is left.
  std::vector<Extent> takeBytes(std::uint64_t bytes, std::uint64_t room);
  // Extents to bring the magazine down to `high` bytes or less, but never below `low`.
  std::vector<Extent> takeAbove(std::uint64_t high, std::uint64_t low);
  std::vector<Extent> takeAll() { return takeBytes(bytes_); }
  // These extents, all of which must be here.
  std::vector<Extent> takeIds(const std::vector<std::uint64_t>& ids);
  // The first of these ids that is not here, or nothing.
  std::optional<std::uint64_t> firstAbsent(const std::vector<std::uint64_t>& ids) const;

  const OrderCounts& counts() const { return counts_; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t extents() const { return countOf(counts_); }

 private:
  std::uint64_t pageBytes_;
  std::array<std::vector<Extent>, kOrderMax + 1> byOrder_;
  OrderCounts counts_{};
  std::uint64_t bytes_ = 0;
};

}  // namespace kvspan
