// The work that may still touch a span: fences of the requests that have left it. A span may be
// unmapped when all of them are reached. A slot that is used again keeps the fences of its earlier
// requests: that the next request is ordered behind them on the GPU says nothing of when they end.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "device/device.hpp"

namespace kvspan {

class FenceList {
 public:
  // A later point of the same stream stands for every earlier one, so the list is as long as there
  // are streams, at most.
  void add(Stream stream, std::unique_ptr<Fence> fence) {
    for (auto& [known, last] : fences_) {
      if (known != stream) continue;
      last = std::move(fence);
      return;
    }
    fences_.emplace_back(stream, std::move(fence));
  }

  // Forgets those reached; true if none is left.
  bool allReached() {
    std::erase_if(fences_, [](const auto& one) { return one.second->reached(); });
    return fences_.empty();
  }

  bool empty() const { return fences_.empty(); }
  // For a device that has failed: nothing will be reached any more.
  void forget() { fences_.clear(); }

 private:
  std::vector<std::pair<Stream, std::unique_ptr<Fence>>> fences_;
};

}  // namespace kvspan
