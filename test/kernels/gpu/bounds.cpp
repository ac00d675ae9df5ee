// Reads past the end of a request, made visible: memory is mapped up to the end of the last row and
// no further, so that any such read is a fault. A fault ends the process's context, hence the child.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <numeric>

#include "device/cuda_device.hpp"
#include "main.hpp"
#include "problem.hpp"
#include "test/native/harness.hpp"

namespace kvspan::kerneltest {
namespace {

constexpr std::uint64_t kPage = 2 << 20;
constexpr int kFaulted = 3;

// A page of zeros with unmapped addresses on both sides.
class LonePage {
 public:
  LonePage()
      : device_(openDevice({.backend = "cuda",
                            .ordinal = rig().gpu->facts().ordinal,
                            .library = rig().driver})) {
    base_ = device_->reserve(3 * kPage, 0);
    handle_ = device_->create(kPage);
    device_->map(base_ + kPage, handle_, kPage);
    device_->access(base_ + kPage, kPage, Access::ReadWrite);
  }
  Address end() const { return base_ + 2 * kPage; }
  // Stays mapped until the process ends: kernels may still be running.

 private:
  std::shared_ptr<Device> device_;
  Address base_ = 0;
  Handle handle_ = 0;
};

constexpr std::uint32_t kLongest = 1000;

// 0, 1, 2, ...: slots of which the first is used, or a table of pages of one token in order.
DeviceArray numbers() {
  std::vector<std::int32_t> all(kLongest + 1);
  std::iota(all.begin(), all.end(), 0);
  return arrayOf(all);
}

// K and V of one request of `length` tokens, each ending where its page ends.
attention::KvArguments upToTheEnd(const attention::Shape& shape, std::int32_t length,
                                  const LonePage& k, const LonePage& v,
                                  const DeviceArray& numbers, std::uint32_t pageTokens) {
  const std::uint64_t token = std::uint64_t{shape.rowBytes()} * shape.kvHeads;
  const auto tensor = [&](const LonePage& page) {
    return attention::TensorArguments{.address = page.end() - static_cast<std::uint64_t>(length) * token,
                                      .slotStrideBytes = 0,
                                      .pageStrideBytes = token,
                                      .tokenStrideBytes = token,
                                      .headStrideBytes = shape.rowBytes()};
  };
  return {.pageTokens = pageTokens,
          .k = tensor(k),
          .v = tensor(v),
          .slots = numbers.address(),
          .blockTable = numbers.address(),
          .blockTableEntries = kLongest + 1};
}

// In the child: append, decode and prefill of lengths at tile edges; `past` rows beyond what is mapped.
void attendToTheEnd(int past, std::uint32_t pageTokens) {
  const attention::Shape shape{Dtype::Bf16, 8, 2, 128};
  const LonePage k, v;
  const std::uint64_t rowBytes = shape.rowBytes();
  const auto inOrder = numbers();
  const DeviceArray rows(rowBytes * shape.queryHeads * 64);
  for (const std::int32_t length : {1, 15, 16, 17, 63, 64, 65, 100, int{kLongest}}) {
    auto kv = upToTheEnd(shape, length, k, v, inOrder, pageTokens);
    const attention::RowArguments row{rows.address(), rowBytes * shape.queryHeads, rowBytes};
    const attention::AttentionArguments arguments{.kv = kv, .queries = row, .out = row, .options = {}};
    const auto tokens = static_cast<std::uint32_t>(length + past);
    const attention::PlanCapacity capacity{.requestsMax = 1, .tokensMax = tokens, .queriesMax = 64};
    const auto decode = std::make_shared<attention::DecodePlanBuffer>(rig().gpu, shape, capacity);
    const auto prefill = std::make_shared<attention::PrefillPlanBuffer>(rig().gpu, shape, capacity);
    decode->update(std::vector<std::int32_t>{length + past}, rig().stream);
    prefill->update(std::vector<std::int32_t>{0, std::min(length, 64)},
                    std::vector<std::int32_t>{length + past}, rig().stream);
    attention::KernelBatch batch(rig().library);
    const auto lengths = arrayOf(std::vector<std::int32_t>{length + past});
    batch.addAppend({.shape = shape, .kv = kv, .newK = row, .newV = row, .requests = 1,
                     .rowsMax = 1, .lengths = lengths.address()});
    batch.addDecode(arguments, decode);
    batch.addPrefill(arguments, prefill);
    batch.launch(rig().stream);
    rig().gpu->synchronize(rig().stream);
  }
}

int runChild(const char* mode) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto arguments = peerArguments(mode);
    std::vector<char*> argv;
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv("/proc/self/exe", argv.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

KV_TEST("bounds: with nothing mapped past the last row, append, decode and prefill run") {
  KV_CHECK_EQ(runChild("within"), 0);
}

KV_TEST("bounds: a length that is one too long faults, so the check above can fail") {
  KV_CHECK_EQ(runChild("past"), kFaulted);
}

constexpr std::uint64_t kFar = 1ull << 40;  // from one slot or page to the next
constexpr int kFarIndex = 5;
constexpr std::uint16_t kOneAndAHalf = 0x3fc0;  // bf16

// Terabytes of addresses, of which one page lies behind slot (or page) `kFarIndex`.
class FarPage {
 public:
  FarPage()
      : device_(openDevice({.backend = "cuda",
                            .ordinal = rig().gpu->facts().ordinal,
                            .library = rig().driver})) {
    base_ = device_->reserve((kFarIndex + 1) * kFar, 0);
    device_->map(mapped(), device_->create(kPage), kPage);
    device_->access(mapped(), kPage, Access::ReadWrite);
  }
  Address base() const { return base_; }
  Address mapped() const { return base_ + kFarIndex * kFar; }

 private:
  std::shared_ptr<Device> device_;
  Address base_ = 0;
};

// K is zero, so that all weights are equal; every row of V is the same, and so is the answer.
void attendFarAway(const FarPage& page, std::uint32_t pageTokens) {
  const attention::Shape shape{Dtype::Bf16, 8, 2, 128};
  constexpr std::int32_t kLength = 100;
  const std::uint64_t rowBytes = shape.rowBytes(), token = rowBytes * shape.kvHeads;
  const auto tensor = [&](std::uint64_t offset) {
    return attention::TensorArguments{page.base() + offset, kFar, kFar, token, rowBytes};
  };
  const auto index = arrayOf(std::vector<std::int32_t>{kFarIndex});
  const attention::KvArguments kv{pageTokens, tensor(0), tensor(kPage / 2), index.address(),
                                  index.address(), 1};
  const std::size_t elements = std::size_t{shape.queryHeads} * shape.headDim;
  const auto same = arrayOf(std::vector<std::uint16_t>(kLength * elements, kOneAndAHalf));
  const DeviceArray zeros(token * kLength), out(elements * 2);
  zeros.put(std::vector<char>(token * kLength));
  out.put(std::vector<std::uint16_t>(elements, kNan));
  const auto lengths = arrayOf(std::vector<std::int32_t>{kLength});
  const auto starts = arrayOf(std::vector<std::int32_t>{0, kLength});
  const auto plan = std::make_shared<attention::DecodePlanBuffer>(
      rig().gpu, shape, attention::PlanCapacity{.requestsMax = 1, .tokensMax = kLength});
  plan->update(std::vector<std::int32_t>{kLength}, rig().stream);
  const std::uint64_t queryRow = rowBytes * shape.queryHeads;
  attention::KernelBatch batch(rig().library);
  batch.addAppend({shape, kv, {zeros.address(), token, rowBytes}, {same.address(), token, rowBytes},
                   1, kLength, lengths.address(), starts.address()});
  batch.addDecode({.kv = kv,
                   .queries = {same.address(), queryRow, rowBytes},
                   .out = {out.address(), queryRow, rowBytes},
                   .options = {}},
                  plan);
  batch.launch(rig().stream);
  rig().gpu->synchronize(rig().stream);
  for (const auto element : out.get<std::uint16_t>()) KV_CHECK_EQ(element, kOneAndAHalf);
}

KV_TEST("bounds: slots and pages may lie terabytes apart") {
  for (const std::uint32_t pageTokens : {0, 256}) attendFarAway(FarPage(), pageTokens);
}

}  // namespace

int runPeer(const std::string& mode) {
  try {
    for (const std::uint32_t pageTokens : {0, 1}) attendToTheEnd(mode == "past" ? 1 : 0, pageTokens);
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", mode.c_str(), error.what());
    // Other failures must not pass for the fault that is looked for.
    return std::string(error.what()).find("ILLEGAL_ADDRESS") != std::string::npos ? kFaulted : 1;
  }
}

}  // namespace kvspan::kerneltest
