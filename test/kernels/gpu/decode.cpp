#include "problem.hpp"
#include "test/native/harness.hpp"

namespace kvspan::kerneltest {
namespace {

KV_TEST("decode: every dtype, head dimension, page size and order of rows, at the edges of tiles") {
  Spec spec;
  spec.lengths = edgeLengths();
  for (const auto& one : allLayouts(spec)) runDecode(one);
}

KV_TEST("decode: with equal weights every token counts exactly once") {
  Spec spec;
  spec.lengths = edgeLengths();
  spec.zeroQueries = true;
  for (const std::uint32_t page : {0, 1, 16, 64, 256}) {
    spec.pageTokens = page;
    runDecode(spec);
  }
}

KV_TEST("decode: any ratio of query heads to KV heads") {
  Spec spec;
  spec.lengths = {1, 100, 3000};
  for (const std::uint32_t group : {1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 33, 71}) {
    for (const std::uint32_t kvHeads : {1, 3}) {
      spec.shape.kvHeads = kvHeads;
      spec.shape.queryHeads = kvHeads * group;
      for (const std::uint32_t page : {0, 16}) {
        spec.pageTokens = page;
        ++spec.seed;
        runDecode(spec);
      }
    }
  }
}

KV_TEST("decode: one long request beside many short ones") {
  Spec spec;
  spec.lengths = {rig().small ? 3000 : 60'000};
  for (int i = 0; i < 40; ++i) spec.lengths.push_back(i * 7);
  for (const std::uint32_t page : {0, 1, 16}) {
    spec.pageTokens = page;
    spec.packed = page == 0;
    runDecode(spec);
  }
}

KV_TEST("decode: more requests than blocks") {
  Spec spec;
  spec.shape.queryHeads = 4;
  spec.shape.kvHeads = 4;
  std::mt19937 random(7);
  for (int i = 0; i < (rig().small ? 40 : 700); ++i) {
    spec.lengths.push_back(static_cast<std::int32_t>(random() % 150));
  }
  runDecode(spec);
}

KV_TEST("decode: random shapes") {
  std::mt19937 random(11);
  for (int i = 0; i < (rig().small ? 4 : 60); ++i) {
    Spec spec;
    const std::uint32_t dims[] = {64, 128, 256};
    const std::uint32_t pages[] = {0, 1, 16, 64, 256};
    spec.shape.dtype = random() % 2 ? Dtype::Bf16 : Dtype::Fp16;
    spec.shape.headDim = dims[random() % 3];
    spec.shape.kvHeads = 1 + random() % 9;
    spec.shape.queryHeads = spec.shape.kvHeads * (1 + random() % 20);
    spec.pageTokens = pages[random() % 5];
    spec.order = static_cast<Order>(random() % 3);
    for (auto n = 1 + random() % 9; n > 0; --n) {
      spec.lengths.push_back(static_cast<std::int32_t>(random() % 1500));
    }
    spec.options.scale = 0.05 + 0.1 * static_cast<double>(random() % 8);
    spec.seed = static_cast<std::uint32_t>(random());
    runDecode(spec);
  }
}

// Each option alone, then all of them.
void runOptions(void (*run)(const Spec&), Spec spec) {
  const auto slopes = slopeArray(spec.shape.queryHeads);
  const attention::OptionArguments all[] = {
      {.scale = 0.3, .softCap = 2.5},
      {.scale = 0.3, .window = 1},
      {.scale = 0.3, .window = 64},
      {.scale = 0.3, .window = 100},
      {.scale = 0.3, .alibiSlopes = slopes.address()},
      {.scale = -0.2},
      {.scale = 0.2, .softCap = 30, .window = 777, .alibiSlopes = slopes.address()},
  };
  for (const auto& options : all) {
    for (const std::uint32_t headDim : {64, 128, 256}) {
      for (const std::uint32_t page : {0, 1, 64}) {
        spec.options = options;
        spec.shape.headDim = headDim;
        spec.pageTokens = page;
        ++spec.seed;
        run(spec);
      }
    }
  }
}

KV_TEST("decode: soft cap, window, ALiBi slopes, alone and together") {
  Spec spec;
  spec.lengths = edgeLengths();
  runOptions(runDecode, spec);
}

// New tokens at the end of requests with and without a past, at the edges of tiles.
Spec chunks() {
  Spec spec;
  spec.lengths = {0, 1, 5, 16, 64, 65, 127, 128, 129, 200, 300, 512, 1000, 77};
  spec.queries = {0, 1, 5, 1, 64, 1, 127, 64, 65, 200, 40, 130, 9, 0};
  return spec;
}

KV_TEST("prefill: every dtype, head dimension, page size and order of rows, chunks of all kinds") {
  for (const auto& one : allLayouts(chunks())) runPrefill(one);
}

KV_TEST("prefill: with equal weights every token counts exactly once") {
  Spec spec = chunks();
  spec.zeroQueries = true;
  for (const std::uint32_t page : {0, 1, 16, 64, 256}) {
    spec.pageTokens = page;
    runPrefill(spec);
  }
}

KV_TEST("prefill: any ratio of query heads to KV heads") {
  Spec spec = chunks();
  for (const std::uint32_t group : {1, 2, 3, 5, 7, 8, 9, 16, 17, 71}) {
    spec.shape.kvHeads = group > 16 ? 1 : 2;
    spec.shape.queryHeads = spec.shape.kvHeads * group;
    for (const std::uint32_t page : {0, 16}) {
      spec.pageTokens = page;
      ++spec.seed;
      runPrefill(spec);
    }
  }
}

KV_TEST("prefill: soft cap, window, ALiBi slopes, alone and together") {
  runOptions(runPrefill, chunks());
}

KV_TEST("prefill: a long chunk over a long past") {
  Spec spec;
  spec.shape.queryHeads = 2;
  spec.shape.kvHeads = 1;
  spec.lengths = {rig().small ? 500 : 9000, 3000};
  spec.queries = {rig().small ? 200 : 600, 1};
  for (const std::uint32_t page : {0, 16}) {
    spec.pageTokens = page;
    runPrefill(spec);
  }
}

}  // namespace
}  // namespace kvspan::kerneltest
