#include "span/slot_table.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace kvspan {
namespace {

constexpr std::uint64_t kClosedGate = 1;  // low 0, one length passes: 0

template <typename T>
std::unique_ptr<std::atomic<T>[]> zeroed(std::uint32_t size) {
  return std::make_unique<std::atomic<T>[]>(size);
}

}  // namespace

std::uint64_t Slot::bytes() const {
  std::uint64_t sum = 0;
  for (const LaneSpan& lane : lanes) sum += lane.bytes();
  return sum;
}

std::uint64_t Slot::leastBytes() const {
  std::uint64_t least = lanes.front().bytes();
  for (const LaneSpan& lane : lanes) least = std::min(least, lane.bytes());
  return least;
}

SlotTable::SlotTable(const Shape& shape)
    : shape_(shape),
      size_(shape.plan().slotCount),
      gate_(zeroed<std::uint64_t>(size_)),
      length_(zeroed<std::uint32_t>(size_)),
      peak_(zeroed<std::uint32_t>(size_)),
      former_(size_),
      usable_(zeroed<std::uint32_t>(size_)),
      state_(zeroed<SlotState>(size_)),
      wanted_(zeroed<bool>(size_)),
      bytes_(zeroed<std::uint64_t>(size_)),
      extents_(zeroed<std::uint32_t>(size_)),
      fenced_(zeroed<bool>(size_)),
      freedAt_(zeroed<std::uint64_t>(size_)),
      slots_(std::make_unique<Slot[]>(size_)) {
  for (std::uint32_t slot = 0; slot < size_; ++slot) {
    gate_[slot].store(kClosedGate, std::memory_order_relaxed);
    slots_[slot].lanes.resize(shape.plan().laneCount);
  }
}

void SlotTable::validate(const std::int32_t* lengths) const {
  for (std::uint32_t slot = 0; slot < size_; ++slot) {
    const std::int32_t length = lengths[slot];
    const bool live = state(slot) == SlotState::Live;
    const bool inRange =
        length >= 1 && static_cast<std::uint32_t>(length) <= shape_.plan().maxTokens;
    if (live ? !inRange : length != 0) throwBadLength(slot, length, inRange);
  }
}

void SlotTable::throwBadLength(std::uint32_t slot, std::int32_t length, bool inRange) const {
  const std::string field = "lengths[" + std::to_string(slot) + "]";
  if (inRange) throwNotLive(slot, field + ": got " + std::to_string(length));
  const bool live = state(slot) == SlotState::Live;
  throw Error::badField(field, std::to_string(length),
                        "1.." + std::to_string(shape_.plan().maxTokens) +
                            (live ? " (the slot is live)" : " of a live slot, 0 of any other"));
}

void SlotTable::adopt(const std::int32_t* lengths) noexcept {
  for (std::uint32_t slot = 0; slot < size_; ++slot) {
    // A slot that is not live stays untouched: it may be on its way to becoming so.
    if (lengths[slot] == 0) continue;
    const auto length = static_cast<std::uint32_t>(lengths[slot]);
    former_[slot] = length_[slot].load(std::memory_order_relaxed);
    length_[slot].store(length, std::memory_order_relaxed);
    if (length > peak_[slot].load(std::memory_order_relaxed)) {
      peak_[slot].store(length, std::memory_order_relaxed);
    }
  }
  meetStep();
}

void SlotTable::begin(std::uint32_t slot, std::uint32_t tokens) {
  length_[slot].store(tokens, std::memory_order_relaxed);
  former_[slot] = tokens;
  peak_[slot].store(tokens, std::memory_order_relaxed);
}

void SlotTable::publishAs(std::uint32_t slot, SlotState state, std::uint64_t bytesMost) {
  const Slot& cold = slots_[slot];
  std::uint32_t count = 0;
  for (const LaneSpan& lane : cold.lanes) {
    count += static_cast<std::uint32_t>(lane.extents().size());
  }
  extents_[slot].store(count, std::memory_order_relaxed);
  bytes_[slot].store(cold.bytes(), std::memory_order_relaxed);
  fenced_[slot].store(!cold.fences.empty(), std::memory_order_relaxed);

  const std::uint32_t usable = shape_.usableTokens(std::min(cold.leastBytes(), bytesMost));
  usable_[slot].store(usable, std::memory_order_release);
  const std::uint64_t live = (std::uint64_t{1} << 32) | shape_.quietTokens(usable);
  state_[slot].store(state, std::memory_order_release);
  // Last: whoever passes the gate may use what is behind it.
  gate_[slot].store(state == SlotState::Live ? live : kClosedGate, std::memory_order_release);
}

void SlotTable::checkIndex(std::uint32_t slot) const {
  if (slot < size_) return;
  throw Error(Code::SlotUnknown, "slot: got " + std::to_string(slot) + ", allowed: 0.." +
                                     std::to_string(size_ - 1));
}

void SlotTable::throwNotLive(std::uint32_t slot, const std::string& what) const {
  switch (state(slot)) {
    case SlotState::Idle:
      throw Error(Code::SlotFreed, what + ", but slot " + std::to_string(slot) + " was freed");
    case SlotState::Ready:
      throw Error(Code::SlotUnknown,
                  what + ", but slot " + std::to_string(slot) + " was not announced yet");
    default:
      throw Error(Code::SlotUnknown,
                  what + ", but slot " + std::to_string(slot) + " was never allocated");
  }
}

}  // namespace kvspan
