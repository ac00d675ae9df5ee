// How long something took, in log-sized buckets: fixed size, one writer, readers at any time.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace kvspan {

// Sixteen buckets for each doubling: a reported quantile is at most 1/16 above the true one.
class Histogram {
 public:
  // By the one writer: plain loads and stores, no read-modify-write.
  void record(std::uint64_t nanoseconds) noexcept {
    bump(buckets_[bucketOf(nanoseconds)]);
    bump(count_);
    if (nanoseconds > max_.load(std::memory_order_relaxed)) {
      max_.store(nanoseconds, std::memory_order_relaxed);
    }
  }

  std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
  std::uint64_t max() const noexcept { return max_.load(std::memory_order_relaxed); }

  // Adds another's counts: for a total over several, built by the reader.
  void merge(const Histogram& other) noexcept {
    for (std::size_t i = 0; i < kBuckets; ++i) {
      add(buckets_[i], other.buckets_[i].load(std::memory_order_relaxed));
    }
    add(count_, other.count());
    max_.store(std::max(max(), other.max()), std::memory_order_relaxed);
  }

  // The upper edge of the bucket in which the quantile (0 .. 1) lies; 0 if nothing was recorded.
  std::uint64_t quantile(double share) const noexcept {
    const std::uint64_t total = count();
    if (total == 0) return 0;
    const auto rank = static_cast<std::uint64_t>(share * static_cast<double>(total));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += buckets_[i].load(std::memory_order_relaxed);
      if (seen > rank) return std::min(upperEdge(i), max());
    }
    return max();
  }

 private:
  static constexpr int kSubBits = 4;
  static constexpr std::size_t kSub = std::size_t{1} << kSubBits;
  // Up to 2^40 ns, about 18 minutes; longer ones share the last bucket.
  static constexpr int kBitsMax = 40;
  static constexpr std::size_t kBuckets = (kBitsMax - kSubBits + 1) * kSub;

  static std::size_t bucketOf(std::uint64_t value) noexcept {
    if (value < kSub) return value;
    const int bits = static_cast<int>(std::bit_width(value));
    if (bits > kBitsMax) return kBuckets - 1;
    const int shift = bits - kSubBits - 1;
    return static_cast<std::size_t>(shift) * kSub + static_cast<std::size_t>(value >> shift);
  }
  static std::uint64_t upperEdge(std::size_t bucket) noexcept {
    if (bucket < 2 * kSub) return bucket;
    const std::size_t shift = bucket / kSub - 1;
    const std::uint64_t lead = bucket - shift * kSub;
    return ((lead + 1) << shift) - 1;
  }
  static void add(std::atomic<std::uint64_t>& to, std::uint64_t by) noexcept {
    to.store(to.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  static void bump(std::atomic<std::uint64_t>& counter) noexcept { add(counter, 1); }

  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint64_t> max_{0};
};

}  // namespace kvspan
