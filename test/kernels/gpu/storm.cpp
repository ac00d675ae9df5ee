// Kernels on spans while their memory is taken back: append and decode run on a stream of their own
// for each of two caches, the slots are freed while they run, and a storm unmaps whatever it may.
// A span that goes too early is an illegal address for the kernel (and for compute-sanitizer a line
// that says which), or another answer than the reference's.
#include <cstdio>

#include "main.hpp"
#include "problem.hpp"
#include "test/native/storm.hpp"

namespace kvspan::kerneltest {
namespace {

using test::StormEngine;
using test::StormRequest;

// A token-major cache of 32 layers with 2 KV heads of 128: 32 KiB a token, 64 tokens a page. One of
// the layers is used, another in each round.
constexpr std::uint32_t kLayers = 32;
constexpr std::uint32_t kTokensPerPage = 64;
constexpr std::uint64_t kPagesPerSlot = 6;
constexpr std::uint32_t kSlots = 3;
// Two caches of three slots use 36 at most, while those of a round before may still be pending.
constexpr std::uint64_t kPoolPages = 56;
const attention::Shape kShape{Dtype::Bf16, 8, 2, 128};
const std::uint64_t kRowBytes = kShape.rowBytes() * kShape.kvHeads;  // K, or V, of one layer

// Reads of plain memory before each kernel: work that keeps the others pending for a while.
struct Delay {
  Delay() : bytes(rig().small ? 1 << 20 : 64 << 20), reads(rig().small ? 2 : 20), memory(bytes) {
    attention::KernelBatch batch(rig().library);
    batch.addFill(memory.address(), bytes, 0);
    batch.launch(rig().stream);
    rig().gpu->synchronize(rig().stream);
  }
  void addTo(attention::KernelBatch& batch) const {
    for (int i = 0; i < reads; ++i) batch.addRead(memory.address(), bytes);
  }
  std::uint64_t bytes;
  int reads;
  DeviceArray memory;
};

Spec specOf(const std::vector<StormRequest>& requests, std::uint32_t seed) {
  Spec spec;
  spec.shape = kShape;
  spec.seed = seed;
  for (const auto& one : requests) spec.lengths.push_back(static_cast<std::int32_t>(one.length));
  return spec;
}

std::vector<std::int32_t> slotsOf(const std::vector<StormRequest>& requests) {
  std::vector<std::int32_t> slots;
  for (const auto& one : requests) slots.push_back(static_cast<std::int32_t>(one.slot));
  return slots;
}

// All tokens of all requests, one behind the other: an append's new rows.
std::vector<std::int32_t> startsOf(const std::vector<StormRequest>& requests) {
  std::vector<std::int32_t> starts{0};
  for (const auto& one : requests) {
    starts.push_back(starts.back() + static_cast<std::int32_t>(one.length));
  }
  return starts;
}

std::vector<std::uint16_t> rowsOf(const Problem& problem, bool value) {
  std::vector<std::uint16_t> rows;
  for (std::size_t r = 0; r < problem.requests(); ++r) {
    for (std::int32_t t = 0; t < problem.spec().lengths[r]; ++t) {
      // The heads of a token lie one behind the other.
      const auto* const row = problem.row(value, r, t, 0);
      rows.insert(rows.end(), row, row + kShape.kvHeads * kShape.headDim);
    }
  }
  return rows;
}

// The kernels of one round, with the answer that they must give.
class Round {
 public:
  Round(const Cache& cache, const std::vector<StormRequest>& requests, std::uint32_t seed)
      : problem_(specOf(requests, seed)),
        slots_(arrayOf(slotsOf(requests))),
        lengths_(arrayOf(problem_.spec().lengths)),
        starts_(arrayOf(startsOf(requests))),
        newK_(arrayOf(rowsOf(problem_, false))),
        newV_(arrayOf(rowsOf(problem_, true))),
        kv_(spanOf(cache, seed % kLayers)),
        rows_(static_cast<std::uint32_t>(startsOf(requests).back())),
        plan_(std::make_shared<attention::DecodePlanBuffer>(rig().gpu, kShape,
                                                            problem_.capacity())),
        batch_(rig().library) {}

  void launch(Stream stream, const Delay& delay) {
    auto decode = problem_.attention();
    decode.kv = kv_;
    delay.addTo(batch_);
    batch_.addAppend(append());
    delay.addTo(batch_);
    batch_.addDecode(decode, plan_);
    plan_->update(problem_.spec().lengths, stream);
    batch_.launch(stream);
  }

  void check() const { problem_.checkOut("in a storm"); }

 private:
  attention::KvArguments spanOf(const Cache& cache, std::uint32_t layer) const {
    const auto tensor = [&](std::uint64_t offset) {
      return attention::TensorArguments{.address = cache.base() + offset,
                                        .slotStrideBytes = cache.plan().slotStrideBytes,
                                        .tokenStrideBytes = cache.plan().rowBytes,
                                        .headStrideBytes = kShape.rowBytes()};
    };
    return {.k = tensor(2 * layer * kRowBytes),
            .v = tensor((2 * layer + 1) * kRowBytes),
            .slots = slots_.address()};
  }

  attention::AppendArguments append() const {
    const auto rows = [](const DeviceArray& array) {
      return attention::RowArguments{array.address(), kRowBytes, kShape.rowBytes()};
    };
    return {.shape = kShape,
            .kv = kv_,
            .newK = rows(newK_),
            .newV = rows(newV_),
            .requests = problem_.requests(),
            .rowsMax = rows_,
            .lengths = lengths_.address(),
            .rowStarts = starts_.address()};
  }

  Problem problem_;
  DeviceArray slots_, lengths_, starts_, newK_, newV_;
  attention::KvArguments kv_;
  std::uint32_t rows_;
  std::shared_ptr<attention::DecodePlanBuffer> plan_;
  attention::KernelBatch batch_;
};

class KernelWork final : public test::StormWork {
 public:
  KernelWork(std::shared_ptr<Cache> cache, std::shared_ptr<const Delay> delay)
      : cache_(std::move(cache)), delay_(std::move(delay)), stream_(rig().gpu->createStream()) {}
  ~KernelWork() override {
    try {
      // The round's arrays are under its kernels until then.
      rig().gpu->synchronize(stream_);
      rig().gpu->destroyStream(stream_);
    } catch (const Error&) {
      // A kernel that failed was told of before, or is by the case's own failure.
    }
  }

  Stream stream() const override { return stream_; }
  void submit(const std::vector<StormRequest>& requests, std::uint32_t seed) override {
    round_ = std::make_unique<Round>(*cache_, requests, seed);
    round_->launch(stream_, *delay_);
  }
  void verify() override {
    rig().gpu->synchronize(stream_);
    round_->check();
  }

 private:
  std::shared_ptr<Cache> cache_;
  std::shared_ptr<const Delay> delay_;
  Stream stream_;
  std::unique_ptr<Round> round_;
};

void weather(test::Rig::From from) {
  const auto& facts = rig().gpu->facts();
  test::RigOptions options;
  options.device = {"cuda", facts.ordinal, deviceLibrary()};
  test::Rig memory(options);
  const auto delay = std::make_shared<const Delay>();
  std::vector<StormEngine> engines;
  for (int i = 0; i < 2; ++i) {
    const auto cache =
        memory.cache(test::planOf(kSlots, kPagesPerSlot, kTokensPerPage), test::kNoLookahead);
    engines.push_back({cache, std::make_unique<KernelWork>(cache, delay)});
  }
  test::Storm storm(memory, kPoolPages, from);
  test::rideOut(storm, engines, rig().small ? 4 : 60);
  std::printf("     %llu times spans were unmapped, %llu times pending work forbade it\n",
              static_cast<unsigned long long>(storm.unmapped()),
              static_cast<unsigned long long>(storm.heldBack()));
  engines.clear();
  memory.checkBooks();
}

KV_TEST("storm: kernels keep their spans while all else is taken back") {
  weather(test::Rig::From::Created);
}

KV_TEST("storm: the same with extents that another has created and let go") {
  weather(test::Rig::From::Imported);
}

}  // namespace
}  // namespace kvspan::kerneltest
