// Launches, checked once and then made as often as wanted: on a stream, as a captured graph, or timed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/cuda/host/arguments.hpp"
#include "kernels/cuda/host/library.hpp"
#include "kernels/cuda/host/plans.hpp"

namespace kvspan::attention {

struct AppendArguments {
  Shape shape;
  KvArguments kv;
  RowArguments newK;
  RowArguments newV;
  std::uint32_t requests = 0;
  std::uint32_t rowsMax = 0;
  Address lengths = 0;
  Address rowStarts = 0;  // 0: one row a request
};

// Fastest: the kernel for Hopper where the device and the shape have one.
enum class PrefillVariant { Fastest, Portable, Hopper };

// Decode and prefill; the plan has the shape.
struct AttentionArguments {
  KvArguments kv;
  RowArguments queries;
  RowArguments out;
  OptionArguments options;
  PrefillVariant variant = PrefillVariant::Fastest;  // of prefill
};

struct TimeArguments {
  Stream stream = 0;
  std::uint32_t warmups = 0;
  std::uint32_t runs = 1;
  // Read before each run, so that L2 holds nothing of use; 0: nothing. Not written: dirty lines
  // would be written back in the run's time.
  Address flush = 0;
  std::uint64_t flushBytes = 0;
};

class KernelBatch {
 public:
  explicit KernelBatch(std::shared_ptr<KernelLibrary> library);
  ~KernelBatch();
  KernelBatch(const KernelBatch&) = delete;
  KernelBatch& operator=(const KernelBatch&) = delete;

  void addAppend(const AppendArguments& arguments);
  void addDecode(const AttentionArguments& arguments, std::shared_ptr<const DecodePlanBuffer> plan);
  void addPrefill(const AttentionArguments& arguments, std::shared_ptr<const PrefillPlanBuffer> plan);
  void addRead(Address address, std::uint64_t bytes);
  void addFill(Address address, std::uint64_t bytes, std::uint8_t byte);
  void addCopy(Address to, Address from, std::uint64_t bytes);

  void launch(Stream stream);
  // From now on `launch` replays a graph of what was added so far; nothing can be added any more.
  void capture();
  // Blocks. Microseconds of each run, measured on the device.
  std::vector<double> time(const TimeArguments& arguments);

 private:
  using Step = std::function<void(cuda::CUstream)>;

  template <typename Params>
  void addKernel(cuda::CUfunction function, std::uint64_t grid, int threads, int sharedBytes,
                 const Params& params);
  void add(Step step);
  void launchSteps(cuda::CUstream stream) const;
  void launchRead(Address address, std::uint64_t words, cuda::CUstream stream) const;

  std::shared_ptr<KernelLibrary> library_;
  const Gpu& gpu_;
  std::vector<Step> steps_;
  std::vector<std::shared_ptr<const void>> kept_;  // plans that the launches read
  cuda::CUgraphExec graph_ = nullptr;
};

}  // namespace kvspan::attention
