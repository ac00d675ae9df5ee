// The capture of launches into a graph.
#pragma once

#include "kernels/cuda/host/gpu.hpp"

namespace kvspan::attention {

// A stream in the middle of a capture, and the graph once it is over. However that ends, neither stays.
class Capture {
 public:
  explicit Capture(const Gpu& gpu) : gpu_(gpu) {
    gpu_.check(gpu_.api().cuStreamCreate(&stream_, cuda::kStreamNonBlocking), "cuStreamCreate", "");
    const auto begun = gpu_.launch().cuStreamBeginCapture(stream_, cuda::kCaptureModeRelaxed);
    capturing_ = begun == cuda::kSuccess;
    if (capturing_) return;
    gpu_.api().cuStreamDestroy(stream_);
    gpu_.check(begun, "cuStreamBeginCapture", "");
  }
  ~Capture() {
    if (capturing_) gpu_.launch().cuStreamEndCapture(stream_, &graph_);
    if (graph_ != nullptr) gpu_.launch().cuGraphDestroy(graph_);
    gpu_.api().cuStreamDestroy(stream_);
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  cuda::CUstream stream() const { return stream_; }
  cuda::CUgraph end() {
    capturing_ = false;
    gpu_.check(gpu_.launch().cuStreamEndCapture(stream_, &graph_), "cuStreamEndCapture", "");
    return graph_;
  }

 private:
  const Gpu& gpu_;
  cuda::CUstream stream_ = nullptr;
  cuda::CUgraph graph_ = nullptr;
  bool capturing_ = false;
};

}  // namespace kvspan::attention
