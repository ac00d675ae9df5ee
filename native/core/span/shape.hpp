// A cache's arithmetic: tokens to bytes of one lane and back.
#pragma once

#include <cstdint>

#include "span/growth.hpp"
#include "span/session.hpp"

namespace kvspan {

// Kernels read whole tiles of at most a few hundred rows past the length.
inline constexpr std::uint32_t kOverreadTokensMax = 1u << 16;
// `step` takes lengths as int32.
inline constexpr std::uint32_t kMaxTokensMax = 0x7FFFFFFF;
inline constexpr std::uint32_t kSlotsMax = 1u << 20;
inline constexpr std::uint32_t kLanesMax = 1u << 14;

class Shape {
 public:
  // Throws InvalidArgument naming the field of the plan or of the options at fault.
  Shape(const CachePlan& plan, const CacheOptions& options, std::uint64_t pageBytes);

  const CachePlan& plan() const { return plan_; }
  const CacheOptions& options() const { return options_; }
  std::uint64_t pageBytes() const { return pageBytes_; }

  // What each lane must have mapped for a length of `tokens`: its rows and the overread, in whole
  // pages, within the slot's stride.
  std::uint64_t neededBytes(std::uint32_t tokens) const;
  // What a lane has mapped when its slot can grow no further.
  std::uint64_t capacityBytes() const { return capacityBytes_; }
  // The longest length for which `bytes` in each lane are enough.
  std::uint32_t usableTokens(std::uint64_t bytes) const;
  // The length up to which the look-ahead is there as well, so that the mapper has nothing to do.
  std::uint32_t quietTokens(std::uint32_t usable) const;

  Address laneAddress(Address base, std::uint32_t lane, std::uint32_t slot) const {
    return base + lane * plan_.laneStrideBytes + slot * plan_.slotStrideBytes;
  }
  Pages pages(std::uint64_t bytes) const { return bytes / pageBytes_; }
  LaneNeed need(std::uint64_t mappedBytes, std::uint32_t tokens) const;

 private:
  CachePlan plan_;
  CacheOptions options_;
  std::uint64_t pageBytes_;
  std::uint64_t capacityBytes_;
};

}  // namespace kvspan
