// The slots of a cache. What `step` looks at on every call stands in dense arrays of atomics, one
// per fact; the rest stands in `Slot`, guarded by the slot's own mutex.
//
// Who writes what: `length`, `peak` and `former` are the engine thread's alone. Everything else
// changes only under the slot's mutex, and is then published to the arrays (`publish`).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "span/fence_list.hpp"
#include "span/shape.hpp"
#include "span/span.hpp"

namespace kvspan {

enum class SlotState : std::uint8_t {
  Never,  // no request yet
  Idle,   // freed; what is mapped stays mapped
  Busy,   // being allocated
  Ready,  // allocated beside the engine's thread, not yet announced
  Live,
};

struct Slot {
  std::mutex mutex;
  std::vector<LaneSpan> lanes;
  FenceList fences;
  std::uint32_t promptTokens = 0;  // of a Ready slot
  bool promised = false;           // memory to grow is promised to its request

  std::uint64_t bytes() const;      // of all lanes
  std::uint64_t leastBytes() const; // of the lane that has least
};

class SlotTable {
 public:
  explicit SlotTable(const Shape& shape);

  std::uint32_t size() const { return size_; }
  Slot& operator[](std::uint32_t slot) { return slots_[slot]; }

  // True if every length is one its slot has room for, look-ahead included, and 0 where no request
  // is: then there is nothing to check and nothing to do. Only loads.
  bool allQuiet(const std::int32_t* lengths) const noexcept {
    bool over = false;
    for (std::uint32_t slot = 0; slot < size_; ++slot) {
      const std::uint64_t gate = gate_[slot].load(std::memory_order_acquire);
      // A live slot's gate is {1, limit}: lengths 1 .. limit pass. Any other's is {0, 1}: 0 passes.
      over |= static_cast<std::uint32_t>(lengths[slot]) - static_cast<std::uint32_t>(gate >> 32) >=
              static_cast<std::uint32_t>(gate);
    }
    return !over;
  }
  // Throws for the first length that is not allowed; see Cache::step.
  void validate(const std::int32_t* lengths) const;
  // Takes the lengths on and orders this before later loads of what is mapped, against `trim`:
  // either the trimmer sees the new length, or the caller the shorter span.
  void adopt(const std::int32_t* lengths) noexcept;

  SlotState state(std::uint32_t slot) const { return state_[slot].load(std::memory_order_acquire); }
  std::uint32_t length(std::uint32_t slot) const {
    return length_[slot].load(std::memory_order_relaxed);
  }
  // The longest length since the slot was allocated: what work under way may still touch.
  std::uint32_t peak(std::uint32_t slot) const {
    return peak_[slot].load(std::memory_order_relaxed);
  }
  std::uint32_t usable(std::uint32_t slot) const {
    return usable_[slot].load(std::memory_order_acquire);
  }
  std::uint64_t bytes(std::uint32_t slot) const {
    return bytes_[slot].load(std::memory_order_relaxed);
  }
  std::uint32_t extents(std::uint32_t slot) const {
    return extents_[slot].load(std::memory_order_relaxed);
  }
  bool fenced(std::uint32_t slot) const { return fenced_[slot].load(std::memory_order_relaxed); }
  std::uint64_t freedAt(std::uint32_t slot) const {
    return freedAt_[slot].load(std::memory_order_relaxed);
  }

  // The engine thread's: a request begins / a length could not be met.
  void begin(std::uint32_t slot, std::uint32_t tokens);
  void revert(std::uint32_t slot) { length_[slot].store(former_[slot], std::memory_order_relaxed); }
  void end(std::uint32_t slot) { length_[slot].store(0, std::memory_order_relaxed); }

  // Under the slot's mutex: says what is mapped and in which state the slot is now.
  void publish(std::uint32_t slot, SlotState state) { publishAs(slot, state, ~std::uint64_t{0}); }
  // As if no lane had more than `bytesMost`: first step of trimming a live slot.
  void publishAs(std::uint32_t slot, SlotState state, std::uint64_t bytesMost);
  void setFreedAt(std::uint32_t slot, std::uint64_t when) {
    freedAt_[slot].store(when, std::memory_order_relaxed);
  }
  // The trimmer's half of `adopt`.
  void meetStep() noexcept { turn_.fetch_add(1, std::memory_order_acq_rel); }

  // The mapper's work list. `flag` is true if it was not flagged before; always an exchange, so
  // that whoever takes the flag down sees the length that was stored before it.
  bool flag(std::uint32_t slot) { return !wanted_[slot].exchange(true); }
  void unflag(std::uint32_t slot) { wanted_[slot].exchange(false); }
  bool flagged(std::uint32_t slot) const { return wanted_[slot].load(std::memory_order_relaxed); }

  // Throws SlotUnknown for an index past the end.
  void checkIndex(std::uint32_t slot) const;
  // Throws SlotUnknown or SlotFreed; `what` opens the sentence, e.g. "slot 3".
  [[noreturn]] void throwNotLive(std::uint32_t slot, const std::string& what) const;

 private:
  template <typename T>
  using Array = std::unique_ptr<std::atomic<T>[]>;

  [[noreturn]] void throwBadLength(std::uint32_t slot, std::int32_t length, bool inRange) const;

  const Shape& shape_;
  const std::uint32_t size_;
  Array<std::uint64_t> gate_;  // high: lowest length that passes; low: how many lengths pass
  Array<std::uint32_t> length_;
  Array<std::uint32_t> peak_;
  std::vector<std::uint32_t> former_;
  Array<std::uint32_t> usable_;
  Array<SlotState> state_;
  Array<bool> wanted_;
  Array<std::uint64_t> bytes_;
  Array<std::uint32_t> extents_;
  Array<bool> fenced_;
  Array<std::uint64_t> freedAt_;
  std::unique_ptr<Slot[]> slots_;
  std::atomic<std::uint64_t> turn_{0};
};

}  // namespace kvspan
