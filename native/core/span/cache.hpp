// One cache: its slots, and what the engine, the mapper and a reclaimer do to them.
//   cache.cpp           its life, rows, figures
//   cache_allocate.cpp  a slot for a request, and its end
//   cache_step.cpp      step
//   cache_growth.cpp    mapping and unmapping extents of a slot
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "span/core.hpp"
#include "span/histogram.hpp"
#include "span/session.hpp"
#include "span/shape.hpp"
#include "span/slot_table.hpp"

namespace kvspan {

// How often `destroy` looks whether a fence has been reached.
inline constexpr int kDestroyPollUs = 200;

// What a round of mapping ahead has left over.
struct AheadOutcome {
  bool starved = false;  // a slot wants memory that the magazine does not have
  bool failed = false;   // the driver failed; worth trying again
};

class SpanCache final : public Cache {
 public:
  // Reserves the addresses.
  SpanCache(std::shared_ptr<SessionCore> core, const CachePlan& plan, const CacheOptions& options);
  ~SpanCache() override;

  Address base() const override { return base_; }
  const CachePlan& plan() const override { return shape_.plan(); }
  AllocateReport allocate(std::uint32_t tokens) override;
  AllocateReport allocateUnannounced(std::uint32_t tokens) override;
  AllocateReport allocateAwaiting(std::uint32_t tokens, std::chrono::milliseconds patience,
                                  std::uint64_t hurries, bool promised) override;
  void hurry() override { core_->store().interrupt(); }
  std::uint64_t hurries() const override { return core_->store().interrupts(); }
  void announce(std::uint32_t slot) override;
  AllocateReport allocateWarm(std::uint32_t tokens) override;
  const StepReport& step(const std::int32_t* lengths, std::size_t count) override;
  void promise(std::uint32_t slot, bool promised) override;
  void free(std::uint32_t slot, bool hasStream, Stream stream) override;
  std::uint32_t length(std::uint32_t slot) const override;
  std::uint32_t mappedTokens(std::uint32_t slot) const override;
  void write(std::uint32_t slot, std::uint32_t lane, std::uint32_t firstToken,
             std::uint32_t tokens, std::uint64_t offset, std::uint64_t width,
             const void* data) override;
  void read(std::uint32_t slot, std::uint32_t lane, std::uint32_t firstToken, std::uint32_t tokens,
            std::uint64_t offset, std::uint64_t width, void* data) override;
  CacheStats stats() const override;
  void destroy() override;

  // For the mapper and for reclaiming; any thread.
  const SlotTable& table() const { return table_; }
  Pages capacityPages() const { return shape_.pages(shape_.capacityBytes()); }
  // Maps the look-ahead of flagged slots from the magazine.
  AheadOutcome mapAhead();
  // What flagged slots still lack.
  void starvedLanes(std::vector<LaneNeed>& lanes) const;
  // Adds the order of each live lane's next extent.
  void nextGrowths(OrderCounts& counts) const;
  // Unmaps up to `want` pages, or a little more, from the end of an idle span / of a live slot
  // beyond its length. Pages taken; 0 if the slot is busy, its fences are not reached, or the
  // driver would not.
  Pages trimIdle(std::uint32_t slot, Pages want, std::vector<Extent>& out);
  Pages trimAhead(std::uint32_t slot, Pages want, std::vector<Extent>& out);
  std::uint64_t idleBytes() const;
  std::uint64_t fencedIdleBytes() const;
  // Empty if no slot of this cache maps the extent.
  std::string whereMapped(std::uint64_t extentId) const;

 private:
  enum class Reclaim { No, Yes };

  void checkOpen() const;
  void checkTokens(std::uint32_t tokens) const;
  std::string name() const;
  bool closed() const { return closed_.load(std::memory_order_acquire); }

  // Allocation. `pick` returns -1 if every slot is in use.
  std::int64_t pick(std::uint32_t tokens) const;
  std::int64_t pickWarm(std::uint32_t tokens) const;
  OrderCounts surelyMissing(std::uint32_t tokens);
  AllocateReport allocateOnce(std::uint32_t tokens, bool promised);
  AllocateReport allocateIn(std::uint32_t slot, std::uint32_t tokens, bool promised);
  Taker takerOf(std::uint32_t slot) const {
    return table_[slot].promised ? Taker::Promised : Taker::Any;
  }
  void begin(std::uint32_t slot, std::uint32_t tokens);
  struct Rows;
  Address locate(const Rows& rows) const;

  // step
  void stepSlow(const std::int32_t* lengths);
  bool flagAhead(std::uint32_t slot, std::uint32_t length);
  void growAll(const std::int32_t* lengths, bool& flagged);
  bool growOne(std::uint32_t slot, std::uint32_t length, Pages othersGap);
  Pages gapOf(std::uint32_t slot, std::uint32_t length) const;
  void reportNeed(const std::int32_t* lengths);

  // Growth; all under the slot's mutex.
  std::vector<LaneNeed> needs(std::uint32_t slot, std::uint32_t tokens, Pages othersGap,
                              bool tight) const;
  bool grow(std::uint32_t slot, std::uint32_t tokens, Pages othersGap, Reclaim reclaim);
  void mapAll(std::uint32_t slot, std::vector<std::vector<Extent>>& taken);
  void mapOne(std::uint32_t slot, std::uint32_t lane, const Extent& extent);
  void unmapBack(std::uint32_t slot, const std::vector<std::size_t>& keep);
  Extent unmapTail(std::uint32_t slot, std::uint32_t lane);
  void unstick(std::uint32_t slot);
  bool fencesReached(Slot& cold) const;
  bool mapAheadOf(std::uint32_t slot);
  void unmapSlot(std::uint32_t slot);

  const std::shared_ptr<SessionCore> core_;
  const std::uint32_t number_;
  const Shape shape_;
  // Mutable: looking takes a slot's mutex.
  mutable SlotTable table_;
  Address base_ = 0;
  std::atomic<bool> closed_{false};
  std::mutex destroyMutex_;
  bool gone_ = false;  // under destroyMutex_: nothing is mapped, the addresses are given up

  // The engine thread's.
  StepReport report_;
  std::vector<std::uint32_t> growing_;
  std::array<Histogram, 4> steps_;
  std::atomic<std::uint64_t> stepsWithDriverCall_{0};
};

}  // namespace kvspan
