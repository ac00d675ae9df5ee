// The work that may still touch a span: fences of the requests that have left it. A span may be
// unmapped when all of them are reached. A slot that is used again keeps the fences of its earlier
// requests: that the next request is ordered behind them on the GPU says nothing of when they end.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "device/device.hpp"

namespace kvspan {

class FenceList {
 public:
  // None replaces another, not even one of a stream of the same number: CU_STREAM_PER_THREAD is
  // another stream on each thread, and the number of a destroyed stream may come again.
  void add(std::unique_ptr<Fence> fence) {
    // So that the list is as long as there is work under way, at most.
    try {
      allReached();
    } catch (...) {
      // The new one counts all the same; whoever waits for the list is told.
    }
    fences_.push_back(std::move(fence));
  }

  // Forgets those reached; true if none is left. If a fence cannot be asked, it and those not asked
  // yet stay.
  bool allReached() {
    for (std::size_t i = 0; i < fences_.size();) {
      if (!fences_[i]->reached()) {
        ++i;
        continue;
      }
      std::swap(fences_[i], fences_.back());
      fences_.pop_back();
    }
    return fences_.empty();
  }

  bool empty() const { return fences_.empty(); }
  // For a device that has failed: nothing will be reached any more.
  void forget() { fences_.clear(); }

 private:
  std::vector<std::unique_ptr<Fence>> fences_;
};

}  // namespace kvspan
