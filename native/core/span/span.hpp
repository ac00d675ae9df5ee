// The mapped beginning of one lane of a slot: `[0, bytes)`, an ordered list of extents without a
// gap. It grows and shrinks at its end only, because an extent maps whole and unmaps whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "span/session.hpp"

namespace kvspan {

class LaneSpan {
 public:
  std::uint64_t bytes() const { return bytes_; }
  bool empty() const { return extents_.empty(); }
  const std::vector<Extent>& extents() const { return extents_; }
  const Extent& tail() const { return extents_.back(); }
  // An extent mapped at the span's end that could be made neither accessible nor unmapped, because
  // the driver failed twice. It blocks its addresses until it is unmapped, and counts as in use.
  std::optional<Extent> stuck;
  // Where the last extent begins.
  std::uint64_t tailOffset() const { return bytes_ - tail().bytes; }

  // Makes room in the list, so that `push` cannot fail after the driver has mapped.
  void expect(std::size_t more) {
    const std::size_t wanted = extents_.size() + more;
    // Twice as much each time: exactly enough would copy the whole list at every growth.
    if (wanted > extents_.capacity()) extents_.reserve(std::max(wanted, 2 * extents_.capacity()));
  }
  void push(const Extent& extent) {
    extents_.push_back(extent);
    bytes_ += extent.bytes;
  }
  Extent pop() {
    const Extent extent = extents_.back();
    extents_.pop_back();
    bytes_ -= extent.bytes;
    return extent;
  }
  // The span's length if the extents that begin at or after `keepBytes` were gone.
  std::uint64_t bytesTrimmedTo(std::uint64_t keepBytes) const {
    std::uint64_t left = bytes_;
    for (auto it = extents_.rbegin(); it != extents_.rend(); ++it) {
      if (left - it->bytes < keepBytes) break;
      left -= it->bytes;
    }
    return left;
  }

 private:
  std::vector<Extent> extents_;
  std::uint64_t bytes_ = 0;
};

}  // namespace kvspan
