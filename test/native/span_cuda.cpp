// A session over the cuda backend and the stand-in driver: what only a driver's own streams, copies
// and captures can show. The rules of spans themselves are shown on the host device.
#include <atomic>
#include <thread>

#include "cuda_stream.hpp"
#include "span_support.hpp"
#include "stand_in.hpp"

using namespace kvspan;
using namespace kvspan::test;

namespace {

RigOptions onCuda() {
  RigOptions options;
  options.device = {"cuda", 0, standIn()};
  return options;
}

std::vector<std::uint8_t> rowsOf(std::uint32_t tokens, std::uint64_t rowBytes, int seed) {
  std::vector<std::uint8_t> rows(tokens * rowBytes);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13 ^ seed);
  }
  return rows;
}

constexpr std::uint32_t kTokensPerPage = 16;
constexpr std::uint64_t kRowBytes = kPage / kTokensPerPage;

}  // namespace

KV_TEST("span on cuda: rows are read back as written, across extents, as a slot grows") {
  Rig rig(onCuda());
  rig.add({1, 1, 2, 1, 1, 2});
  Engine engine(rig.cache(planOf(2, 8, kTokensPerPage), kNoLookahead));
  const auto slot = static_cast<std::uint32_t>(engine.allocate(20));
  const auto rows = rowsOf(8 * kTokensPerPage, kRowBytes, 7);
  engine.cache->write(slot, 0, 0, 20, 0, kRowBytes, rows.data());
  for (std::uint32_t length = 20; length < 8 * kTokensPerPage; length += 3) {
    const std::uint32_t next = std::min(length + 3, 8 * kTokensPerPage);
    engine.lengths[slot] = static_cast<std::int32_t>(next);
    KV_CHECK(engine.step().outcome != StepOutcome::Short);
    engine.cache->write(slot, 0, length, next - length, 0, kRowBytes,
                        rows.data() + length * kRowBytes);
  }
  std::vector<std::uint8_t> back(rows.size());
  engine.cache->read(slot, 0, 0, 8 * kTokensPerPage, 0, kRowBytes, back.data());
  KV_CHECK(back == rows);
  // A part of each row, which is a copy with a pitch.
  constexpr std::uint64_t kOffset = 4096;
  constexpr std::uint64_t kWidth = 512;
  std::vector<std::uint8_t> part(8 * kTokensPerPage * kWidth);
  engine.cache->read(slot, 0, 0, 8 * kTokensPerPage, kOffset, kWidth, part.data());
  for (std::uint32_t token = 0; token < 8 * kTokensPerPage; ++token) {
    KV_CHECK(std::equal(part.begin() + token * kWidth, part.begin() + (token + 1) * kWidth,
                        rows.begin() + token * kRowBytes + kOffset));
  }
}

KV_TEST("span on cuda: a span is unmapped only after its CUstream's work") {
  Rig rig(onCuda());
  CudaStream work(standIn());
  rig.add({1, 1, 1, 1});
  auto cache = rig.cache(planOf(2, 4, kTokensPerPage), kNoLookahead);
  const auto slot = static_cast<std::uint32_t>(cache->allocate(4 * kTokensPerPage).slot);
  work.submit();
  work.submit();
  cache->free(slot, true, work.stream());
  work.submit();  // of a later request: not waited for
  KV_CHECK_EQ(rig.session->giveBack(4 * kPage), 0u);
  KV_CHECK_EQ(rig.session->stats().pendingUnmapBytes, 4 * kPage);
  work.complete();
  KV_CHECK_EQ(rig.session->giveBack(4 * kPage), 0u);
  KV_CHECK_EQ(rig.audit->mappings(), 4u);
  work.complete();
  KV_CHECK(eventually([&] { return rig.session->giveBack(kPage) == kPage; }));
  KV_CHECK_EQ(rig.audit->mappings(), 3u);
  KV_CHECK_EQ(rig.session->stats().pendingUnmapBytes, 0u);
  rig.checkBooks();
}

KV_TEST("span on cuda: requests on two streams, one of them slow, hold a span together") {
  Rig rig(onCuda());
  CudaStream slow(standIn());
  CudaStream quick(standIn());
  rig.add({2});
  auto cache = rig.cache(planOf(1, 2, kTokensPerPage), kNoLookahead);
  const auto slot = static_cast<std::uint32_t>(cache->allocate(10).slot);
  slow.submit();
  cache->free(slot, true, slow.stream());
  KV_CHECK_EQ(cache->allocateWarm(10).slot, static_cast<std::int32_t>(slot));
  cache->free(slot, true, quick.stream());
  KV_CHECK_EQ(rig.session->giveBack(kPage), 0u);
  KV_CHECK_EQ(rig.audit->mappings(), 1u);
  slow.complete();
  KV_CHECK(eventually([&] { return rig.session->giveBack(kPage) == 2 * kPage; }));
}

KV_TEST("span on cuda: closing a cache waits for the work on its slots") {
  Rig rig(onCuda());
  CudaStream work(standIn());
  rig.add({1, 1});
  auto cache = rig.cache(planOf(1, 2, kTokensPerPage), kNoLookahead);
  const auto slot = static_cast<std::uint32_t>(cache->allocate(20).slot);
  work.submit();
  cache->free(slot, true, work.stream());
  std::atomic<bool> gone{false};
  std::thread destroyer([&] {
    cache->destroy();
    gone = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const bool waited = !gone && rig.audit->mappings() == 2;
  work.complete();
  destroyer.join();
  KV_CHECK(waited);
  KV_CHECK_EQ(rig.audit->mappings(), 0u);
}

KV_TEST("span on cuda: nothing that a session does breaks off the capture of a graph") {
  Rig rig(onCuda());
  CudaStream engineStream(standIn());
  CudaStream work(standIn());
  rig.add({1, 1, 1, 1, 1, 1});
  Engine engine(rig.cache(planOf(3, 4, kTokensPerPage), {Growth::Geometric, kTokensPerPage, 0}));
  const auto freed = static_cast<std::uint32_t>(engine.allocate(10));
  work.submit();
  engineStream.beginCapture();
  // Fences that are asked for and looked at, mappings, copies, releases: on this thread, which
  // captures, and on the mapper's, which does not.
  engine.cache->free(freed, true, work.stream());
  engine.lengths[freed] = 0;
  const auto slot = static_cast<std::uint32_t>(engine.allocate(2 * kTokensPerPage));
  engine.lengths[slot] += 1;
  engine.step();
  const auto rows = rowsOf(4, kRowBytes, 3);
  engine.cache->write(slot, 0, 0, 4, 0, kRowBytes, rows.data());
  KV_CHECK(eventually([&] { return engine.cache->mappedTokens(slot) >= 3 * kTokensPerPage; }));
  std::thread([&] { rig.session->giveBack(kPage); }).join();
  KV_CHECK_EQ(rig.session->stats().driverFailures, 0u);
  KV_CHECK_EQ(engineStream.endCapture(), 0);
}
