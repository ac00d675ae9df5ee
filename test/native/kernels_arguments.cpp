// What the host refuses before a kernel is launched, and what it says.
#include <string>

#include "harness.hpp"
#include "kernels/cuda/host/arguments.hpp"
#include "kernels/cuda/host/library.hpp"
#include "stand_in.hpp"

namespace kvspan::test {
namespace {

using namespace attention;

// The field that a call refuses; empty if it does not.
template <typename Body>
std::string refused(Body&& body) {
  try {
    body();
    return "";
  } catch (const Error& error) {
    KV_CHECK(error.code() == Code::InvalidArgument);
    KV_CHECK(std::string(error.what()).find("allowed: ") != std::string::npos);
    return error.field();
  }
}

const Shape kShape{Dtype::Bf16, 32, 8, 128};

KvArguments contiguous() {
  const TensorArguments tensor{.address = 0x10000,
                               .slotStrideBytes = 1 << 20,
                               .pageStrideBytes = 0,
                               .tokenStrideBytes = 2048,
                               .headStrideBytes = 256};
  return {.pageTokens = 0, .k = tensor, .v = tensor, .slots = 0x400};
}

KvArguments paged() {
  auto kv = contiguous();
  kv.pageTokens = 16;
  kv.k.pageStrideBytes = kv.v.pageStrideBytes = 16 * 2048;
  kv.blockTable = 0x800;
  kv.blockTableEntries = 10;
  return kv;
}

template <typename Change>
std::string refusedKv(KvArguments kv, Change&& change, std::uint64_t tokensMax = 0) {
  change(kv);
  return refused([&] { toKvView(kv, kShape, tokensMax); });
}

KV_TEST("kernels: head dimensions and head counts that no kernel has are refused") {
  const auto refusedShape = [](Shape shape) { return refused([&] { checkShape(shape); }); };
  KV_CHECK_EQ(refusedShape(kShape), "");
  KV_CHECK_EQ(refusedShape({Dtype::Bf16, 32, 8, 96}), "shape.headDim");
  KV_CHECK_EQ(refusedShape({Dtype::Bf16, 32, 8, 0}), "shape.headDim");
  KV_CHECK_EQ(refusedShape({Dtype::Bf16, 32, 0, 128}), "shape.kvHeads");
  KV_CHECK_EQ(refusedShape({Dtype::Bf16, 30, 8, 128}), "shape.queryHeads");
  KV_CHECK_EQ(refusedShape({Dtype::Bf16, 0, 8, 128}), "shape.queryHeads");
  KV_CHECK_EQ(refusedShape({Dtype::Bf16, 2048, 8, 128}), "shape.queryHeads");
}

KV_TEST("kernels: a contiguous cache's addresses and strides are checked") {
  const auto refusedBy = [](auto change) { return refusedKv(contiguous(), change); };
  KV_CHECK_EQ(refusedBy([](auto&) {}), "");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.k.address = 0; }), "kv.k.address");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.v.address += 8; }), "kv.v.address");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.k.tokenStrideBytes = 0; }), "kv.k.tokenStrideBytes");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.k.tokenStrideBytes += 8; }), "kv.k.tokenStrideBytes");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.v.headStrideBytes = 128; }), "kv.v.headStrideBytes");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.v.slotStrideBytes = 1ull << 50; }), "kv.v.slotStrideBytes");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.slots = 0; }), "kv.slots");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.slots = 0x402; }), "kv.slots");
}

KV_TEST("kernels: a paged cache's page size, table and strides are checked") {
  const auto refusedBy = [](auto change, std::uint64_t tokensMax = 160) {
    return refusedKv(paged(), change, tokensMax);
  };
  KV_CHECK_EQ(refusedBy([](auto&) {}), "");
  for (const std::uint32_t page : {2, 8, 15, 32, 128, 512}) {
    KV_CHECK_EQ(refusedBy([&](auto& kv) { kv.pageTokens = page; }), "kv.pageTokens");
  }
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.k.pageStrideBytes += 4; }), "kv.k.pageStrideBytes");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.blockTable = 0; }), "kv.blockTable");
  KV_CHECK_EQ(refusedBy([](auto&) {}, 161), "kv.blockTableEntries");
  KV_CHECK_EQ(refusedBy([](auto& kv) { kv.blockTableEntries = 0; }, 0), "kv.blockTableEntries");
}

KV_TEST("kernels: rows of queries, outputs and new K and V are checked") {
  const auto refusedRows = [](RowArguments rows, std::uint32_t heads) {
    return refused([&] { toRowTensor(rows, "out", kShape, heads); });
  };
  KV_CHECK_EQ(refusedRows({0x100, 32 * 256, 256}, 32), "");
  KV_CHECK_EQ(refusedRows({0x108, 32 * 256, 256}, 32), "out.address");
  KV_CHECK_EQ(refusedRows({0x100, 128, 256}, 32), "out.rowStrideBytes");
  KV_CHECK_EQ(refusedRows({0x100, 32 * 256, 255}, 32), "out.headStrideBytes");
  KV_CHECK_EQ(refusedRows({0x100, 32 * 256, 0}, 1), "");
}

KV_TEST("kernels: options out of range are refused") {
  const auto refusedOptions = [](OptionArguments options) {
    return refused([&] { toScoreOptions(options); });
  };
  KV_CHECK_EQ(refusedOptions({.scale = 0.1, .softCap = 30, .window = 4096, .alibiSlopes = 4}), "");
  KV_CHECK_EQ(refusedOptions({.scale = 1e300}), "options.scale");
  KV_CHECK_EQ(refusedOptions({.softCap = -1}), "options.softCap");
  KV_CHECK_EQ(refusedOptions({.softCap = 1e-300}), "options.softCap");
  KV_CHECK_EQ(refusedOptions({.window = 1u << 31}), "options.window");
  KV_CHECK_EQ(refusedOptions({.alibiSlopes = 6}), "options.alibiSlopes");
}

KV_TEST("kernels: a folder without compiled kernels is one clear error") {
  try {
    checkKernelFolder("/nonexistent/kernels");
    fail(__FILE__, __LINE__, "threw nothing");
  } catch (const Error& error) {
    KV_CHECK(error.code() == Code::DeviceUnavailable);
    const std::string what = error.what();
    KV_CHECK(what.find("/nonexistent/kernels") != std::string::npos);
    KV_CHECK(what.find("npm run kernels") != std::string::npos);
  }
}

KV_TEST("kernels: a driver that cannot launch kernels is one clear error") {
  KV_CHECK_THROWS(Code::DeviceUnavailable, cuda::LaunchApi::load("libm.so.6"));
  KV_CHECK_THROWS(Code::DeviceUnavailable, Gpu(0, "/nonexistent/libcuda.so.1"));
}

}  // namespace
}  // namespace kvspan::test
