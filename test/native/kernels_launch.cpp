// Batches over the stand-in driver: what is refused before a launch, what a failure leaves behind, and
// who holds the device's memory.
#include <filesystem>
#include <fstream>
#include <string>

#include "harness.hpp"
#include "kernels/cuda/host/batch.hpp"
#include "stand_in.hpp"

namespace kvspan::test {
namespace {

using namespace attention;

const Shape kShape{Dtype::Bf16, 8, 2, 128};
constexpr std::uint64_t kMiB = 1 << 20;

// A folder with a file for each kernel: to the stand-in any file is a module.
class Fatbins {
 public:
  Fatbins() : path_(std::filesystem::temp_directory_path() / "kvspan-fatbins-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw Failure("mkdtemp");
    for (const char* name : {"read", "append_bf16_d128", "decode_bf16_d128", "prefill_bf16_d128",
                             "prefill_sm90_bf16_d128"}) {
      std::ofstream(path_ + "/" + name + ".fatbin") << "a module";
    }
  }
  ~Fatbins() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Bed {
  Fatbins fatbins;
  std::shared_ptr<Gpu> gpu = std::make_shared<Gpu>(0, standIn());
  std::shared_ptr<KernelLibrary> library = std::make_shared<KernelLibrary>(gpu, fatbins.path());
};

template <typename Body>
std::string refused(Body&& body) {
  try {
    body();
    return "";
  } catch (const Error& error) {
    KV_CHECK(error.code() == Code::InvalidArgument);
    return error.field();
  }
}

KvArguments contiguous(Address at) {
  const TensorArguments tensor{.address = at, .tokenStrideBytes = 512, .headStrideBytes = 256};
  return {.k = tensor, .v = tensor, .slots = at};
}

AppendArguments appendOf(Address at) {
  const RowArguments rows{at, 512, 256};
  return {.shape = kShape, .kv = contiguous(at), .newK = rows, .newV = rows, .requests = 4,
          .rowsMax = 4, .lengths = at};
}

KV_TEST("kernels: fewer rows than requests that have one each are refused") {
  const Bed bed;
  KernelBatch batch(bed.library);
  auto append = appendOf(bed.gpu->allocate(kMiB));
  batch.addAppend(append);
  append.rowsMax = 3;
  KV_CHECK_EQ(refused([&] { batch.addAppend(append); }), "rowsMax");
  append.rowStarts = append.lengths;
  batch.addAppend(append);
}

KV_TEST("kernels: fills and copies that go nowhere, and what cannot be read, are refused") {
  const Bed bed;
  const Address at = bed.gpu->allocate(kMiB);
  KernelBatch batch(bed.library);
  KV_CHECK_EQ(refused([&] { batch.addFill(0, 16, 1); }), "address");
  KV_CHECK_EQ(refused([&] { batch.addCopy(0, at, 16); }), "to");
  KV_CHECK_EQ(refused([&] { batch.addCopy(at, 0, 16); }), "from");
  KV_CHECK_EQ(refused([&] { batch.addRead(at + 4, 16); }), "address");
  batch.addFill(at, 16, 1);
  const auto timed = [&](Address flush, std::uint64_t bytes) {
    return refused([&] { batch.time({.runs = 1, .flush = flush, .flushBytes = bytes}); });
  };
  KV_CHECK_EQ(timed(at, kMiB), "");
  KV_CHECK_EQ(timed(at + 4, 16), "flush.address");
  KV_CHECK_EQ(timed(at, 24), "flush.bytes");
}

KV_TEST("kernels: a launch that fails while it is captured leaves no capture behind") {
  const Bed bed;
  const Address at = bed.gpu->allocate(kMiB);
  KernelBatch bad(bed.library);
  bad.addFill(at, 2 * kMiB, 1);
  KV_CHECK_THROWS(Code::InvalidArgument, bad.capture());
  // The stand-in refuses a second capture on a thread whose first was not ended.
  KernelBatch good(bed.library);
  good.addFill(at, kMiB, 1);
  good.capture();
  good.launch(0);
}

KV_TEST("kernels: closed, all memory is free, whoever still holds a plan or a batch") {
  const Bed bed;
  const auto before = bed.gpu->freeBytes();
  const auto plan = std::make_shared<DecodePlanBuffer>(
      bed.gpu, kShape, PlanCapacity{.requestsMax = 4, .tokensMax = 100});
  KernelBatch batch(bed.library);
  batch.addFill(bed.gpu->allocate(kMiB), kMiB, 1);
  batch.launch(bed.gpu->createStream());
  KV_CHECK(bed.gpu->freeBytes() < before);
  bed.gpu->close();
  bed.gpu->close();
  KV_CHECK_EQ(Gpu(0, standIn()).freeBytes(), before);
  KV_CHECK_THROWS(Code::Closed, batch.launch(0));
  KV_CHECK_THROWS(Code::Closed, batch.capture());
  KV_CHECK_THROWS(Code::Closed, batch.time({.runs = 1}));
  KV_CHECK_THROWS(Code::Closed, plan->update(std::vector<std::int32_t>{1}, 0));
  KV_CHECK_THROWS(Code::Closed, bed.gpu->allocate(1));
  KV_CHECK_THROWS(Code::Closed, bed.gpu->synchronize(0));
}

KV_TEST("kernels: decode and prefill are launched, and replayed, with shapes that a driver takes") {
  const Bed bed;
  const PlanCapacity capacity{.requestsMax = 4, .tokensMax = 5000, .queriesMax = 64};
  const auto decode = std::make_shared<DecodePlanBuffer>(bed.gpu, kShape, capacity);
  const auto prefill = std::make_shared<PrefillPlanBuffer>(bed.gpu, kShape, capacity);
  const Stream stream = bed.gpu->createStream();
  decode->update(std::vector<std::int32_t>{1, 0, 5000}, stream);
  prefill->update(std::vector<std::int32_t>{0, 64}, std::vector<std::int32_t>{100}, stream);
  const Address at = bed.gpu->allocate(kMiB);
  const RowArguments rows{at, 2048, 256};
  AttentionArguments arguments{.kv = contiguous(at), .queries = rows, .out = rows, .options = {}};
  KernelBatch batch(bed.library);
  batch.addDecode(arguments, decode);
  for (const auto variant : {PrefillVariant::Portable, PrefillVariant::Hopper}) {
    arguments.variant = variant;
    batch.addPrefill(arguments, prefill);
  }
  batch.launch(stream);
  batch.capture();
  const auto times = batch.time({.stream = stream, .warmups = 1, .runs = 3});
  KV_CHECK_EQ(times.size(), 3u);
  for (const auto us : times) KV_CHECK(us >= 0);
}

// What is said of a machine that cannot run the kernels.
std::string saidWithout(const char* what) {
  const Variable lacking("KVSPAN_STANDIN_LACKS", what);
  try {
    const Bed bed;
    KernelBatch batch(bed.library);
    batch.addAppend(appendOf(bed.gpu->allocate(kMiB)));
    return "";
  } catch (const Error& error) {
    KV_CHECK(error.code() == Code::DeviceUnavailable);
    return error.what();
  }
}

KV_TEST("kernels: an old device, an old driver and an old fatbin are told apart") {
  const auto says = [](const char* lacking, const char* part) {
    return saidWithout(lacking).find(part) != std::string::npos;
  };
  KV_CHECK_EQ(saidWithout("nothing"), "");
  KV_CHECK(says("compute", "compute capability 7.5: the kernels need 8.0 or later"));
  KV_CHECK(says("binary", "a driver for CUDA 13 or later is needed"));
  KV_CHECK(says("ptx", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"));
  KV_CHECK(says("kernel", "it is of another version"));
}

}  // namespace
}  // namespace kvspan::test
