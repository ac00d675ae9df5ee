// What each call does to a session in each state, and what it waits for, gives back and refuses.
#include <atomic>
#include <thread>

#include "span_support.hpp"

using namespace kvspan;
using namespace kvspan::test;

KV_TEST("span: a span is unmapped only after the work of its freed requests") {
  Rig rig;
  rig.add(single(4));
  auto cache = rig.cache(planOf(2, 4, 16), kNoLookahead);
  const Stream stream = createHostStream();
  const auto slot = static_cast<std::uint32_t>(cache->allocate(64).slot);
  PendingWork work(stream);
  cache->free(slot, true, stream);
  KV_CHECK_EQ(rig.session->stats().pendingUnmapBytes, 4 * kPage);
  KV_CHECK_EQ(rig.session->giveBack(kPage), 0u);
  // Used again meanwhile, and freed with no word of a stream: the earlier work still counts.
  KV_CHECK_EQ(cache->allocateWarm(10).slot, static_cast<std::int32_t>(slot));
  KV_CHECK_EQ(rig.session->giveBack(kPage), 0u);  // nor is its look-ahead safe
  cache->free(slot, false, 0);
  KV_CHECK_EQ(rig.session->giveBack(kPage), 0u);
  KV_CHECK_EQ(rig.audit->mappings(), 4u);
  work.finish();
  KV_CHECK_EQ(rig.session->giveBack(kPage), kPage);
  KV_CHECK_EQ(rig.session->stats().pendingUnmapBytes, 0u);
  rig.checkBooks();
  rig.close();
  destroyHostStream(stream);
}

KV_TEST("span: destroy waits for the work under way") {
  Rig rig;
  rig.add(single(2));
  auto cache = rig.cache(planOf(1, 2, 16), kNoLookahead);
  const Stream stream = createHostStream();
  PendingWork work(stream);
  cache->free(static_cast<std::uint32_t>(cache->allocate(20).slot), true, stream);
  std::atomic<bool> gone{false};
  std::thread destroyer([&] {
    cache->destroy();
    gone = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  KV_CHECK(!gone && rig.audit->mappings() == 2);
  work.finish();
  destroyer.join();
  KV_CHECK_EQ(rig.audit->mappings(), 0u);
  rig.close();
  destroyHostStream(stream);
}

KV_TEST("span: giving back takes the magazine, idle spans, look-ahead, in this order") {
  Rig rig;
  rig.add(single(10));
  Engine engine(rig.cache(planOf(3, 8, 16), kNoLookahead));
  const auto live = engine.allocate(64);  // 4 pages
  const auto idle = engine.allocate(48);  // 3 pages
  engine.free(idle);
  engine.lengths[live] = 80;
  engine.step();
  rig.add({4});
  KV_CHECK_EQ(rig.magazinePages(), 6u);
  KV_CHECK_EQ(rig.session->giveBack(5 * kPage), 5 * kPage);
  KV_CHECK_EQ(rig.session->giveBack(2 * kPage), 2 * kPage);  // one of each
  KV_CHECK_EQ(engine.cache->stats().idleBytes, 2 * kPage);
  KV_CHECK_EQ(rig.session->giveBack(100 * kPage), 2 * kPage);
  KV_CHECK_EQ(engine.cache->stats().mappedBytes, 5 * kPage);
  // Lengths that were once reached are not look-ahead; those of a new request are all that counts.
  engine.lengths[live] = 10;
  engine.step();
  KV_CHECK_EQ(rig.session->giveBack(100 * kPage), 0u);
  engine.free(live);
  KV_CHECK_EQ(engine.cache->allocateWarm(10).slot, live);
  KV_CHECK_EQ(rig.session->giveBack(100 * kPage), 4 * kPage);
  rig.checkBooks();
  engine.lengths[live] = 17;
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::Short);
  KV_CHECK_EQ(rig.session->giveBack(0), 0u);
}

KV_TEST("span: extents are returned by id, all or none") {
  Rig rig;
  auto ids = rig.add(single(4));
  auto cache = rig.cache(planOf(2, 4, 16), kNoLookahead);
  const auto slot = cache->allocate(30).slot;
  std::uint64_t mapped = 0;
  std::vector<std::uint64_t> loose;
  for (const auto id : ids) {
    const std::string text = messageOf([&] { rig.session->returnExtents({id, 999}); });
    KV_CHECK(has(text, "999"));
    try {
      rig.session->returnExtents({id});
      loose.push_back(id);
    } catch (const Error& error) {
      KV_CHECK_EQ(error.code(), Code::ExtentMapped);
      KV_CHECK(has(error.what(), "slot " + std::to_string(slot)) && has(error.what(), "cache 0"));
      mapped = id;
    }
  }
  KV_CHECK_EQ(loose.size(), 2u);
  KV_CHECK(rig.returned() == loose);
  const auto more = rig.add(single(2));
  KV_CHECK_THROWS(Code::ExtentUnknown, rig.session->returnExtents({more[0], 999}));
  KV_CHECK_THROWS(Code::ExtentMapped, rig.session->returnExtents({more[0], mapped}));
  KV_CHECK_THROWS(Code::ExtentReturned, rig.session->returnExtents({more[0], loose[0]}));
  KV_CHECK_THROWS(Code::ExtentReturned, rig.session->returnExtents({more[0], more[0]}));
  KV_CHECK_EQ(rig.magazinePages(), 2u);
  rig.session->returnExtents(more);
  rig.checkBooks();
}

KV_TEST("span: nothing is released while releases are paused") {
  Rig rig({0, 1});
  auto ids = rig.add(single(3));
  rig.session->pauseReleases();
  KV_CHECK_EQ(rig.session->held().size(), 3u);
  KV_CHECK_EQ(rig.session->giveBack(kPage), 0u);
  KV_CHECK_THROWS(Code::DaemonUnavailable, rig.session->returnExtents({ids[0]}));
  std::this_thread::sleep_for(std::chrono::milliseconds(150));  // past the surplus's delay
  KV_CHECK_EQ(rig.returned().size(), 0u);
  rig.session->resumeReleases();
  KV_CHECK(eventually([&] { return rig.returned().size() == 2; }));
  KV_CHECK_EQ(rig.session->giveBack(kPage), kPage);
  rig.checkBooks();
}

KV_TEST("span: extents that are no extents are refused whole") {
  Rig rig;
  const Handle handle = rig.audit->create(3 * kPage);
  KV_CHECK_THROWS(Code::InvalidArgument, rig.session->addExtents({{7, handle, 3 * kPage}}));
  KV_CHECK_THROWS(Code::InvalidArgument, rig.session->addExtents({{7, handle, 0}}));
  rig.audit->release(handle);
  const auto ids = rig.add({1});
  KV_CHECK_THROWS(Code::InvalidArgument, rig.session->addExtents({{ids[0], 1, kPage}}));
  KV_CHECK_THROWS(Code::InvalidArgument, rig.session->addExtents({{8, 1, kPage}, {8, 2, kPage}}));
  rig.checkBooks();
}

KV_TEST("span: after close everything is refused, and late extents are released at once") {
  Rig rig;
  rig.add(single(3));
  auto cache = rig.cache(planOf(2, 4, 16), kNoLookahead);
  cache->allocate(20);
  rig.session->close();
  rig.session->close();
  KV_CHECK_EQ(rig.returned().size(), 3u);
  rig.add({1, 2});
  KV_CHECK_EQ(rig.returned().size(), 5u);
  KV_CHECK_THROWS(Code::Closed, cache->allocate(1));
  KV_CHECK_THROWS(Code::Closed, rig.session->createCache(planOf(1, 1, 16), {}));
  KV_CHECK_THROWS(Code::Closed, rig.session->giveBack(1));
  KV_CHECK_THROWS(Code::Closed, rig.session->returnExtents({1}));
  rig.session->refillDone(0);
}

KV_TEST("span: a session whose marks contradict is refused") {
  KV_CHECK_THROWS(Code::InvalidArgument,
                  Session::create(openDevice({"host", 0, ""}), {4 * kPage, 2 * kPage}, {}));
}
