// Memory that is promised to requests: what is drawn for them waits in the magazine for nobody else,
// and what they have is not given back.
#include <chrono>

#include "span_support.hpp"

using namespace kvspan;
using namespace kvspan::test;

namespace {

constexpr std::uint32_t kTokensPerPage = 10;
constexpr std::chrono::milliseconds kNow{0};

// Four slots of eight pages.
CachePlan plan() { return planOf(4, 8, kTokensPerPage); }

std::int32_t allocatePromised(Engine& engine, std::uint32_t tokens) {
  const auto report =
      engine.cache->allocateAwaiting(tokens, kNow, engine.cache->hurries(), true);
  if (report.slot < 0) return -1;
  engine.cache->announce(static_cast<std::uint32_t>(report.slot));
  engine.lengths[report.slot] = static_cast<std::int32_t>(tokens);
  return report.slot;
}

}  // namespace

KV_TEST("promised: what is kept is taken by slots with a promise alone, who use it up") {
  Rig rig;
  rig.add(single(5));
  Engine engine(rig.cache(plan(), kNoLookahead));
  rig.session->keep(2 * kPage);
  const AllocateReport refused = engine.cache->allocate(4 * kTokensPerPage);
  KV_CHECK_EQ(refused.slot, -1);
  // What a refill must bring beside what is kept.
  KV_CHECK_EQ(refused.need[0], 1u);
  KV_CHECK_EQ(engine.cache->allocateWarm(4 * kTokensPerPage).need[0], 1u);
  KV_CHECK(engine.allocate(3 * kTokensPerPage) >= 0);
  KV_CHECK_EQ(engine.allocate(1), -1);
  const std::int32_t slot = allocatePromised(engine, kTokensPerPage);
  KV_CHECK(slot >= 0);
  KV_CHECK_EQ(engine.allocate(1), -1);
  engine.lengths[slot] = 2 * kTokensPerPage;
  KV_CHECK(engine.step().outcome == StepOutcome::MappedNow);
  // All of it is used: what comes now is anybody's.
  rig.add(single(1));
  KV_CHECK(engine.allocate(1) >= 0);
}

KV_TEST("promised: a short step says what others lack beside what is kept") {
  Rig rig;
  rig.add(single(4));
  Engine engine(rig.cache(plan(), kNoLookahead));
  const std::int32_t other = engine.allocate(kTokensPerPage);
  const std::int32_t slot = engine.allocate(kTokensPerPage);
  engine.cache->promise(slot, true);
  rig.session->keep(2 * kPage);
  engine.lengths[other] = 2 * kTokensPerPage;
  engine.lengths[slot] = 3 * kTokensPerPage;
  const StepReport& report = engine.step();
  KV_CHECK(report.outcome == StepOutcome::Short);
  KV_CHECK_EQ(report.shortSlots.size(), 1u);
  KV_CHECK_EQ(report.shortSlots[0], static_cast<std::uint32_t>(other));
  KV_CHECK_EQ(report.need[0], 1u);
  KV_CHECK_EQ(engine.cache->length(slot), 3 * kTokensPerPage);
}

KV_TEST("promised: what is on its way is kept as well") {
  Rig rig;
  rig.add(single(2));
  Engine engine(rig.cache(plan(), kNoLookahead));
  // Drawn, and not arrived: what is here stands in for it.
  rig.session->keep(4 * kPage);
  KV_CHECK_EQ(engine.allocate(1), -1);
  rig.add(single(4));
  KV_CHECK(engine.allocate(2 * kTokensPerPage) >= 0);
  KV_CHECK_EQ(engine.allocate(1), -1);
  rig.session->unkeep(kPage);
  KV_CHECK(engine.allocate(1) >= 0);
  rig.session->unkeep(~std::uint64_t{0});
  KV_CHECK(engine.allocate(3 * kTokensPerPage) >= 0);
}

KV_TEST("promised: what is kept is not given back, whatever its sizes") {
  Rig rig;
  rig.add({4, 1, 1});
  rig.cache(plan(), kNoLookahead);
  rig.session->keep(3 * kPage);
  // Three pages are to spare, but only single ones can go without touching the rest.
  KV_CHECK_EQ(rig.session->giveBack(8 * kPage), 2 * kPage);
  KV_CHECK_EQ(rig.session->giveBack(8 * kPage), 0u);
  rig.session->unkeep(3 * kPage);
  KV_CHECK_EQ(rig.session->giveBack(8 * kPage), 4 * kPage);
}

KV_TEST("promised: the mapper returns what is above high water, but nothing that is kept") {
  RigOptions options;
  options.highWaterPages = 1;
  Rig rig(options);
  rig.cache(plan(), kNoLookahead);
  rig.session->keep(3 * kPage);
  rig.add(single(5));
  KV_CHECK(eventually([&] { return rig.returned().size() == 2; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  KV_CHECK_EQ(rig.magazinePages(), 3u);
}

KV_TEST("promised: what a slot has beyond its length stays while it has a promise") {
  Rig rig;
  rig.add(single(5));
  Engine engine(rig.cache(plan(), kNoLookahead));
  const auto slot = static_cast<std::uint32_t>(engine.allocate(5 * kTokensPerPage));
  engine.free(slot);
  // The next request is shorter: four of its pages are ahead of it.
  KV_CHECK_EQ(engine.cache->allocateWarm(1).slot, static_cast<std::int32_t>(slot));
  engine.cache->promise(slot, true);
  KV_CHECK_EQ(rig.session->giveBack(100 * kPage), 0u);
  KV_CHECK_EQ(engine.cache->stats().mappedBytes, 5 * kPage);
  engine.cache->promise(slot, false);
  KV_CHECK_EQ(rig.session->giveBack(100 * kPage), 4 * kPage);
}

KV_TEST("promised: freeing a slot ends its promise") {
  Rig rig;
  rig.add({1});
  Engine engine(rig.cache(plan(), kNoLookahead));
  const std::int32_t slot = allocatePromised(engine, 1);
  KV_CHECK(slot >= 0);
  engine.free(static_cast<std::uint32_t>(slot));
  KV_CHECK_THROWS(Code::SlotFreed, engine.cache->promise(slot, true));
  KV_CHECK_THROWS(Code::SlotUnknown, engine.cache->promise(9, true));
  rig.add({1});
  rig.session->keep(kPage);
  KV_CHECK_EQ(engine.cache->allocateWarm(1).slot, slot);
  engine.lengths[slot] = kTokensPerPage + 1;
  KV_CHECK(engine.step().outcome == StepOutcome::Short);
}
