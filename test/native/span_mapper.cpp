// The thread that works ahead: look-ahead, the magazine's marks, refusals, fences.
#include <atomic>
#include <memory>
#include <thread>

#include "device/forwarding_device.hpp"
#include "span_support.hpp"

using namespace kvspan;
using namespace kvspan::test;

namespace {

constexpr CacheOptions kLookahead{Growth::Geometric, 16, 0};

std::vector<std::uint64_t> pagesOf(const OrderCounts& counts) {
  std::vector<std::uint64_t> pages;
  for (int order = 0; order <= kOrderMax; ++order) {
    pages.insert(pages.end(), counts[order], 1u << order);
  }
  return pages;
}

std::uint64_t sum(const OrderCounts& counts) {
  std::uint64_t pages = 0;
  for (const auto one : pagesOf(counts)) pages += one;
  return pages;
}

}  // namespace

KV_TEST("mapper: the look-ahead is mapped behind the engine's back, which then calls no driver") {
  Rig rig;
  rig.add(std::vector<std::uint64_t>(16, 1));
  Engine engine(rig.cache(planOf(2, 16, 16), kLookahead));
  const auto slot = engine.allocate(1);
  std::uint64_t woken = 0;
  for (std::int32_t length = 1; length <= 256; ++length) {
    const auto wanted = std::min(256, length + 15);
    KV_CHECK(eventually([&] {
      return engine.cache->mappedTokens(slot) >= static_cast<std::uint32_t>(wanted);
    }));
    engine.lengths[slot] = length;
    const StepReport& report = engine.step();
    KV_CHECK(report.outcome == StepOutcome::Nothing || report.outcome == StepOutcome::Ahead);
    KV_CHECK_EQ(report.driverCalls, 0u);
    woken += report.outcome == StepOutcome::Ahead;
  }
  KV_CHECK(woken >= 5 && woken <= 20);
  KV_CHECK(rig.session->stats().mapperMaps >= 10);
  const CacheStats stats = engine.cache->stats();
  KV_CHECK_EQ(stats.stepsWithDriverCall, 0u);
  KV_CHECK_EQ(stats.allSteps.count, 256u);
  KV_CHECK_EQ(stats.steps[1].count, woken);
  rig.checkBooks();
}

KV_TEST("mapper: below the low-water mark one wish is open at a time") {
  Rig rig({4, 12});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  KV_CHECK_EQ(rig.needs().size(), 0u);  // no cache yet, no use for memory
  auto cache = rig.cache(planOf(2, 64, 16), kNoLookahead);
  KV_CHECK(eventually([&] { return rig.needs().size() == 1; }));
  KV_CHECK_EQ(cache->allocate(5).slot, -1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  KV_CHECK_EQ(rig.needs().size(), 1u);
  const OrderCounts counts = rig.needs()[0];
  KV_CHECK(sum(counts) >= 4 && sum(counts) <= 12);
  rig.add(pagesOf(counts));
  rig.session->refillDone(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  KV_CHECK_EQ(rig.needs().size(), 1u);
  KV_CHECK(cache->allocate(5).slot >= 0);
  rig.checkBooks();
}

KV_TEST("mapper: after a refusal it waits as told, and meanwhile takes from idle spans") {
  Rig rig({3, 0});
  rig.add(std::vector<std::uint64_t>(6, 1));
  Engine engine(rig.cache(planOf(3, 8, 16), kLookahead));
  const auto idle = engine.allocate(32);
  const auto live = engine.allocate(48);
  engine.free(idle);
  engine.step();
  KV_CHECK(eventually([&] { return rig.needs().size() == 1; }));
  rig.session->refillDone(60);  // refused
  KV_CHECK(eventually([&] { return engine.cache->stats().idleBytes == 0; }));
  KV_CHECK(eventually([&] { return engine.cache->mappedTokens(live) >= 64; }));
  const auto before = std::chrono::steady_clock::now();
  KV_CHECK(eventually([&] { return rig.needs().size() == 2; }));
  KV_CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(30));
  rig.checkBooks();
}

KV_TEST("mapper: it waits for a fence by the clock when it wants the memory behind it") {
  Rig rig({2, 0});
  rig.add({1, 1, 1});
  const Stream stream = createHostStream();
  Engine engine(rig.cache(planOf(3, 8, 16), kNoLookahead));
  const auto slot = engine.allocate(48);
  KV_CHECK(eventually([&] { return rig.needs().size() == 1; }));
  rig.session->refillDone(60000);
  PendingWork work(stream);
  engine.cache->free(slot, true, stream);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  KV_CHECK_EQ(rig.audit->mappings(), 3u);
  work.finish();
  KV_CHECK(eventually([&] { return rig.magazinePages() >= 2; }));
  rig.checkBooks();
  rig.close();
  destroyHostStream(stream);
}

namespace {

// Its fences are reached when they have been looked at so often: between any two looks.
class LookCountingDevice final : public ForwardingDevice {
 public:
  LookCountingDevice(std::shared_ptr<Device> inner, int looks)
      : ForwardingDevice(std::move(inner)), looks_(looks) {}
  std::unique_ptr<Fence> fence(Stream) override { return std::make_unique<Counted>(looks_); }

 private:
  struct Counted final : Fence {
    explicit Counted(int looks) : left(looks) {}
    bool reached() override { return left.fetch_sub(1) <= 0; }
    std::atomic<int> left;
  };
  const int looks_;
};

}  // namespace

KV_TEST("mapper: a fence that is reached between two looks at it is not overlooked") {
  for (int looks = 0; looks < 8; ++looks) {
    Rig rig({.lowWaterPages = 2, .wrap = [&](std::shared_ptr<Device> inner) {
               return std::make_shared<LookCountingDevice>(std::move(inner), looks);
             }});
    rig.add({1, 1, 1});
    Engine engine(rig.cache(planOf(3, 8, 16), kNoLookahead));
    const auto slot = engine.allocate(48);
    KV_CHECK(eventually([&] { return rig.needs().size() == 1; }));
    rig.session->refillDone(60000);
    engine.cache->free(slot, true, 0);
    KV_CHECK(eventually([&] { return rig.magazinePages() >= 2; }));
  }
}

KV_TEST("mapper: what is above the high-water mark is returned, but not at once") {
  Rig rig({2, 4});
  const auto start = std::chrono::steady_clock::now();
  rig.add(std::vector<std::uint64_t>(10, 1));
  KV_CHECK(eventually([&] { return rig.returned().size() == 6; }));
  KV_CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(90));
  KV_CHECK_EQ(rig.magazinePages(), 4u);
  rig.checkBooks();
}

KV_TEST("mapper: a wish brings what live slots will grow by next") {
  Rig rig({64, 0});
  rig.add({16});
  Engine engine(rig.cache(planOf(2, 64, 16), kNoLookahead));
  engine.allocate(16 * 16);  // the next extent is of two pages
  // A wish from before the allocation knows nothing of it yet: it is answered, and another comes.
  KV_CHECK(eventually([&] {
    const auto needs = rig.needs();
    if (!needs.empty() && sum(needs.back()) == 2 * 64u) return needs.back()[1] >= 1;
    if (!needs.empty()) rig.session->refillDone(0);
    return false;
  }));
}

KV_TEST("mapper: a slot that starved is served when memory comes") {
  Rig rig;
  rig.add({1});
  Engine engine(rig.cache(planOf(2, 8, 16), kLookahead));
  const auto slot = engine.allocate(10);
  KV_CHECK_EQ(engine.step().outcome == StepOutcome::Short, false);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  // Known already: the mapper is not woken again and again.
  for (int i = 0; i < 5; ++i) KV_CHECK_EQ(engine.step().outcome, StepOutcome::Nothing);
  rig.add({1});
  KV_CHECK(eventually([&] { return engine.cache->mappedTokens(slot) >= 26; }));
}

KV_TEST("mapper: the driver's failures are outlived") {
  Rig rig;
  rig.add({1, 1, 1});
  Engine engine(rig.cache(planOf(2, 8, 16), kLookahead));
  rig.faults->fail(Call::Access, 2, Code::DeviceFailed, 3);
  const auto slot = engine.allocate(10);
  KV_CHECK(eventually([&] { return engine.cache->mappedTokens(slot) >= 26; }));
  KV_CHECK_EQ(rig.session->stats().driverFailures, 3u);
  rig.checkBooks();
}
