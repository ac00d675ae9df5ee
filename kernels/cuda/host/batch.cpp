#include "kernels/cuda/host/batch.hpp"

#include <limits>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "kernels/cuda/decode_shape.hpp"
#include "kernels/cuda/host/capture.hpp"
#include "kernels/cuda/prefill_shape.hpp"

namespace kvspan::attention {
namespace {

constexpr std::uint64_t kGridMax = std::numeric_limits<std::int32_t>::max();
constexpr unsigned kReadThreads = 512;
constexpr unsigned kReadBlocksPerMultiprocessor = 4;

cuda::CUstream handle(Stream stream) { return reinterpret_cast<cuda::CUstream>(stream); }

constexpr int kPortableMajor = 8;
constexpr int kHopperMajor = 9;

// The compute capability whose kernel is asked for.
int computeMajor(PrefillVariant variant, const Shape& shape, const GpuFacts& facts) {
  if (variant == PrefillVariant::Portable) return kPortableMajor;
  if (variant == PrefillVariant::Hopper &&
      (facts.computeMajor != kHopperMajor || shape.headDim > 128)) {
    throw Error::badField("variant", "hopper for head dimension " + std::to_string(shape.headDim) +
                                         " on " + facts.name,
                          "hopper for head dimension 64 or 128 on compute capability 9.0");
  }
  return facts.computeMajor;
}

void checkSomewhere(Address address, const std::string& field) {
  if (address == 0) throw Error::badField(field, "0", "a device address");
}

// What the read kernel can take: it reads 16 bytes at a time.
void checkReadable(Address address, std::uint64_t bytes, const std::string& of) {
  if (address == 0 || address % 16 != 0) {
    throw Error::badField(of + "address", std::to_string(address), "a multiple of 16");
  }
  if (bytes == 0 || bytes % 16 != 0) {
    throw Error::badField(of + "bytes", std::to_string(bytes), "a multiple of 16, at least 16");
  }
}

std::string pageSuffix(const KvArguments& kv) { return "_p" + std::to_string(kv.pageTokens); }

}  // namespace

KernelBatch::KernelBatch(std::shared_ptr<KernelLibrary> library)
    : library_(std::move(library)), gpu_(*library_->gpu()) {}

KernelBatch::~KernelBatch() {
  const CudaContext::Scope scope(gpu_.context());
  if (graph_ != nullptr) gpu_.launch().cuGraphExecDestroy(graph_);
}

void KernelBatch::add(Step step) {
  if (graph_ != nullptr) throw Error(Code::InvalidArgument, "the batch is captured already");
  steps_.push_back(std::move(step));
}

template <typename Params>
void KernelBatch::addKernel(cuda::CUfunction function, std::uint64_t grid, int threads,
                            int sharedBytes, const Params& params) {
  if (grid > kGridMax) {
    throw Error::badField("grid", std::to_string(grid), "at most " + std::to_string(kGridMax));
  }
  add([this, function, grid = static_cast<unsigned>(grid), threads = static_cast<unsigned>(threads),
       shared = static_cast<unsigned>(sharedBytes), params = Params(params)](cuda::CUstream stream) mutable {
    void* all[] = {&params};
    gpu_.check(gpu_.launch().cuLaunchKernel(function, grid, 1, 1, threads, 1, 1, shared, stream, all,
                                            nullptr),
               "cuLaunchKernel", std::to_string(grid) + " blocks");
  });
}

void KernelBatch::addAppend(const AppendArguments& a) {
  checkShape(a.shape);
  if (a.requests == 0) throw Error::badField("requests", "0", "1 or more");
  if (a.rowsMax == 0) throw Error::badField("rowsMax", "0", "1 or more");
  // Each block takes a row: the last requests would be passed over in silence.
  if (a.rowStarts == 0 && a.rowsMax < a.requests) {
    throw Error::badField("rowsMax", std::to_string(a.rowsMax),
                          "at least requests = " + std::to_string(a.requests) +
                              ", where each has one row");
  }
  AppendParams params{};
  params.kv = toKvView(a.kv, a.shape, 0);
  params.newK = toRowTensor(a.newK, "newK", a.shape, a.shape.kvHeads);
  params.newV = toRowTensor(a.newV, "newV", a.shape, a.shape.kvHeads);
  params.lengths = toInts(a.lengths, "lengths");
  params.rowStarts = a.rowStarts == 0 ? nullptr : toInts(a.rowStarts, "rowStarts");
  params.requests = static_cast<std::int32_t>(a.requests);
  params.kvHeads = static_cast<std::int32_t>(a.shape.kvHeads);
  const auto suffix = a.shape.suffix();
  const auto function =
      library_->kernel("append_" + suffix, "kvspan_append_" + suffix + pageSuffix(a.kv), 0);
  addKernel(function, a.rowsMax, kAppendThreads, 0, params);
}

void KernelBatch::addDecode(const AttentionArguments& a,
                            std::shared_ptr<const DecodePlanBuffer> plan) {
  const Shape& shape = plan->shape();
  const DecodePlanShape& planned = plan->planShape();
  if (a.options.window != planned.window) {
    throw Error::badField("options.window", std::to_string(a.options.window),
                          "the plan's, " + std::to_string(planned.window));
  }
  DecodeParams params{};
  params.kv = toKvView(a.kv, shape, planned.tokensMax);
  params.queries = toRowTensor(a.queries, "queries", shape, shape.queryHeads);
  params.out = toRowTensor(a.out, "out", shape, shape.queryHeads);
  params.options = toScoreOptions(a.options);
  params.plan = plan->view();
  params.queryHeads = static_cast<std::int32_t>(shape.queryHeads);
  params.kvHeads = static_cast<std::int32_t>(shape.kvHeads);
  const auto rows = static_cast<int>(planned.rows());
  const auto launch = decodeLaunch(static_cast<int>(shape.headDim), rows);
  const auto name =
      "kvspan_decode_" + shape.suffix() + pageSuffix(a.kv) + "_r" + std::to_string(rows);
  const auto function = library_->kernel("decode_" + shape.suffix(), name, launch.sharedBytes);
  addKernel(function, planned.blocks, launch.threads, launch.sharedBytes, params);
  kept_.push_back(std::move(plan));
}

void KernelBatch::addPrefill(const AttentionArguments& a,
                             std::shared_ptr<const PrefillPlanBuffer> plan) {
  const Shape& shape = plan->shape();
  PrefillParams params{};
  params.kv = toKvView(a.kv, shape, plan->capacity().tokensMax);
  params.queries = toRowTensor(a.queries, "queries", shape, shape.queryHeads);
  params.out = toRowTensor(a.out, "out", shape, shape.queryHeads);
  params.options = toScoreOptions(a.options);
  plan->fill(params);
  params.queryHeads = static_cast<std::int32_t>(shape.queryHeads);
  params.kvHeads = static_cast<std::int32_t>(shape.kvHeads);
  const auto headDim = static_cast<int>(shape.headDim);
  const auto launch =
      prefillLaunch(headDim, plan->tilesMax(), params.kvHeads,
                    computeMajor(a.variant, shape, gpu_.facts()), gpu_.facts().multiprocessors);
  const std::string file = launch.kernel + ("_" + shape.suffix());
  const auto name = "kvspan_" + file + pageSuffix(a.kv) +
                    (prefillReadsOptions(params.options) ? "_options" : "");
  const auto function = library_->kernel(file, name, launch.sharedBytes);
  addKernel(function, static_cast<std::uint64_t>(launch.blocks), launch.threads, launch.sharedBytes,
            params);
  kept_.push_back(std::move(plan));
}

void KernelBatch::addRead(Address address, std::uint64_t bytes) {
  checkReadable(address, bytes, "");
  add([this, address, bytes](cuda::CUstream stream) { launchRead(address, bytes / 16, stream); });
}

void KernelBatch::launchRead(Address address, std::uint64_t words, cuda::CUstream stream) const {
  const auto function = library_->kernel("read", "kvspan_read", 0);
  const auto blocks =
      static_cast<unsigned>(gpu_.facts().multiprocessors) * kReadBlocksPerMultiprocessor;
  Address nowhere = 0;
  void* all[] = {&address, &words, &nowhere};
  gpu_.check(gpu_.launch().cuLaunchKernel(function, blocks, 1, 1, kReadThreads, 1, 1, 0, stream,
                                          all, nullptr),
             "cuLaunchKernel", "read");
}

void KernelBatch::addFill(Address address, std::uint64_t bytes, std::uint8_t byte) {
  checkSomewhere(address, "address");
  if (bytes == 0) throw Error::badField("bytes", "0", "1 or more");
  add([this, address, bytes, byte](cuda::CUstream stream) {
    gpu_.check(gpu_.launch().cuMemsetD8Async(address, byte, bytes, stream), "cuMemsetD8Async",
               std::to_string(bytes) + " bytes");
  });
}

void KernelBatch::addCopy(Address to, Address from, std::uint64_t bytes) {
  checkSomewhere(to, "to");
  checkSomewhere(from, "from");
  if (bytes == 0) throw Error::badField("bytes", "0", "1 or more");
  add([this, to, from, bytes](cuda::CUstream stream) {
    gpu_.check(gpu_.launch().cuMemcpyDtoDAsync(to, from, bytes, stream), "cuMemcpyDtoDAsync",
               std::to_string(bytes) + " bytes");
  });
}

void KernelBatch::launchSteps(cuda::CUstream stream) const {
  for (const auto& step : steps_) step(stream);
}

void KernelBatch::launch(Stream stream) {
  gpu_.requireOpen();
  const CudaContext::Scope scope(gpu_.context());
  if (graph_ == nullptr) return launchSteps(handle(stream));
  gpu_.check(gpu_.launch().cuGraphLaunch(graph_, handle(stream)), "cuGraphLaunch", "");
}

void KernelBatch::capture() {
  gpu_.requireOpen();
  if (graph_ != nullptr) return;
  const CudaContext::Scope scope(gpu_.context());
  Capture capture(gpu_);
  launchSteps(capture.stream());
  gpu_.check(gpu_.launch().cuGraphInstantiate(&graph_, capture.end(), 0), "cuGraphInstantiate",
             std::to_string(steps_.size()) + " launches");
}

namespace {

// The two ends of each run.
class Events {
 public:
  Events(const Gpu& gpu, std::size_t count) : gpu_(gpu), events_(count) {
    for (auto& event : events_) {
      gpu_.check(gpu_.api().cuEventCreate(&event, cuda::kEventDefault), "cuEventCreate", "");
    }
  }
  ~Events() {
    for (const auto event : events_) {
      if (event != nullptr) gpu_.api().cuEventDestroy(event);
    }
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  void record(std::size_t index, cuda::CUstream stream) const {
    gpu_.check(gpu_.api().cuEventRecord(events_[index], stream), "cuEventRecord", "");
  }
  double microseconds(std::size_t from, std::size_t to) const {
    float ms = 0;
    gpu_.check(gpu_.launch().cuEventElapsedTime(&ms, events_[from], events_[to]),
               "cuEventElapsedTime", "");
    return ms * 1000.0;
  }

 private:
  const Gpu& gpu_;
  std::vector<cuda::CUevent> events_;
};

}  // namespace

std::vector<double> KernelBatch::time(const TimeArguments& a) {
  gpu_.requireOpen();
  if (a.runs == 0) throw Error::badField("runs", "0", "1 or more");
  if (a.flush != 0) checkReadable(a.flush, a.flushBytes, "flush.");
  const CudaContext::Scope scope(gpu_.context());
  const auto stream = handle(a.stream);
  for (std::uint32_t i = 0; i < a.warmups; ++i) launch(a.stream);
  const Events events(gpu_, 2 * std::size_t{a.runs});
  for (std::size_t run = 0; run < a.runs; ++run) {
    if (a.flush != 0) {
      launchRead(a.flush, a.flushBytes / 16, stream);
    }
    events.record(2 * run, stream);
    launch(a.stream);
    events.record(2 * run + 1, stream);
  }
  gpu_.check(gpu_.api().cuStreamSynchronize(stream), "cuStreamSynchronize", "time");
  std::vector<double> times;
  for (std::size_t run = 0; run < a.runs; ++run) {
    times.push_back(events.microseconds(2 * run, 2 * run + 1));
  }
  return times;
}

}  // namespace kvspan::attention
