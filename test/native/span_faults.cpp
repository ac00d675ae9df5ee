// The driver fails at each call in turn: whatever was going on, the books add up, nothing is lost,
// no slot is partly grown, and the same call works once the driver does.
#include <atomic>

#include "span_support.hpp"

using namespace kvspan;
using namespace kvspan::test;

namespace {

struct Scene {
  Rig rig;
  std::shared_ptr<Cache> cache;
  std::vector<std::int32_t> lengths;

  explicit Scene(std::uint32_t lanes) {
    rig.add(std::vector<std::uint64_t>(6 * lanes, 1));
    cache = rig.cache(planOf(4, 4, 16, lanes), kNoLookahead);
    lengths.resize(4);
  }
};

// Everything that calls the driver. Each part may throw and is then tried again.
void act(Scene& scene, const std::function<void(const std::function<void()>&)>& attempt) {
  attempt([&] {
    if (scene.lengths[0] == 0) scene.lengths[0] = scene.cache->allocate(20).slot >= 0 ? 20 : 0;
  });
  attempt([&] {
    if (scene.lengths[1] == 0) scene.lengths[1] = scene.cache->allocate(16).slot >= 0 ? 16 : 0;
  });
  attempt([&] {
    auto lengths = scene.lengths;
    lengths[0] = 33;
    lengths[1] = 48;
    try {
      const StepReport& report = scene.cache->step(lengths.data(), lengths.size());
      KV_CHECK(report.shortSlots.empty());
    } catch (const Error&) {
      // One slot failed and kept its length; the other has grown.
      int grown = 0;
      for (int slot = 0; slot < 2; ++slot) {
        const auto length = static_cast<std::int32_t>(scene.cache->length(slot));
        KV_CHECK(length == scene.lengths[slot] || length == lengths[slot]);
        grown += length == lengths[slot];
        scene.lengths[slot] = length;
      }
      KV_CHECK_EQ(grown, 1);
      throw;
    }
    scene.lengths = lengths;
  });
  attempt([&] {
    if (scene.lengths[1] == 0) return;
    scene.cache->free(1, true, 0);
    scene.lengths[1] = 0;
  });
  attempt([&] {
    // More than the magazine has: takes from the idle span.
    auto lengths = scene.lengths;
    lengths[0] = 64;
    const StepReport& report = scene.cache->step(lengths.data(), lengths.size());
    // An idle span whose unmapping failed is passed by, and the slot is short: try again.
    if (!report.shortSlots.empty()) throw Error(Code::DeviceFailed, "short");
    scene.lengths = lengths;
  });
  attempt([&] { scene.rig.session->giveBack(100 * kPage); });
  attempt([&] { scene.cache->destroy(); });
}

void sweep(Call call, std::uint32_t lanes, std::uint64_t count) {
  for (std::uint64_t nth = 1;; ++nth) {
    Scene scene(lanes);
    scene.rig.faults->fail(call, nth, Code::DeviceFailed, count);
    const std::uint64_t before = scene.rig.faults->calls(call);
    act(scene, [&](const std::function<void()>& part) {
      for (std::uint64_t tries = 0;; ++tries) {
        KV_CHECK(tries <= count);
        try {
          part();
          break;
        } catch (const Error& error) {
          KV_CHECK_EQ(error.code(), Code::DeviceFailed);
        }
        if (call != Call::Unmap && scene.rig.audit->reservations() > 0) scene.rig.checkBooks();
        // A slot has its former length, and all of it in every lane.
        if (scene.rig.audit->reservations() > 0) {
          for (std::uint32_t slot = 0; slot < 2; ++slot) {
            if (scene.lengths[slot] == 0) continue;
            try {
              KV_CHECK_EQ(scene.cache->length(slot),
                          static_cast<std::uint32_t>(scene.lengths[slot]));
              KV_CHECK(scene.cache->mappedTokens(slot) >= scene.cache->length(slot));
            } catch (const Error& error) {
              KV_CHECK_EQ(error.code(), Code::Closed);
            }
          }
        }
      }
    });
    const std::uint64_t made = scene.rig.faults->calls(call) - before;
    scene.rig.faults->heal();
    scene.rig.close();
    if (nth > made) return;  // no such call was made any more: all have been failed in turn
  }
}

}  // namespace

KV_TEST("faults: map fails at every call in turn") {
  sweep(Call::Map, 1, 1);
  sweep(Call::Map, 3, 1);
}
KV_TEST("faults: access fails at every call in turn") {
  sweep(Call::Access, 1, 1);
  sweep(Call::Access, 3, 1);
}
KV_TEST("faults: unmap fails at every call in turn, once and three times over") {
  sweep(Call::Unmap, 1, 1);
  sweep(Call::Unmap, 3, 1);
  sweep(Call::Unmap, 2, 3);
}
KV_TEST("faults: fence, release and unreserve fail at every call in turn") {
  sweep(Call::Fence, 1, 1);
  sweep(Call::Release, 2, 1);
  sweep(Call::Unreserve, 1, 1);
}

KV_TEST("faults: an extent that can be neither made accessible nor unmapped is not lost") {
  Rig rig;
  rig.add({1, 1, 1, 1});
  Engine engine(rig.cache(planOf(2, 4, 16, 2), kNoLookahead));
  rig.faults->fail(Call::Access, 2);
  rig.faults->fail(Call::Unmap, 1, Code::DeviceFailed, 4);
  KV_CHECK_THROWS(Code::DeviceFailed, engine.allocate(10));
  KV_CHECK_EQ(rig.session->stats().heldExtents, 4u);
  KV_CHECK_THROWS(Code::DeviceFailed, engine.allocate(10));
  rig.faults->heal();
  KV_CHECK(engine.allocate(20) >= 0);
  rig.checkBooks();
}

KV_TEST("faults: what a failed growth has mapped is unmapped again, in every lane") {
  Rig rig;
  rig.add({1, 1, 1, 1, 1, 1, 1, 1, 1});
  Engine engine(rig.cache(planOf(2, 4, 16, 3), kNoLookahead));
  const auto slot = engine.allocate(10);
  for (std::uint64_t nth = 1; nth <= 6; ++nth) {
    engine.lengths[slot] = 48;
    rig.faults->fail(nth % 2 ? Call::Map : Call::Access, nth);
    KV_CHECK_THROWS(Code::DeviceFailed, engine.step());
    KV_CHECK_EQ(rig.audit->mappings(), 3u);
    KV_CHECK_EQ(rig.magazinePages(), 6u);
    KV_CHECK_EQ(engine.cache->length(slot), 10u);
    KV_CHECK_EQ(engine.cache->mappedTokens(slot), 16u);
  }
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::MappedNow);
  rig.checkBooks();
}

KV_TEST("faults: a cache whose addresses cannot be had does not exist") {
  Rig rig;
  rig.faults->fail(Call::Reserve);
  KV_CHECK_THROWS(Code::DeviceFailed, rig.session->createCache(planOf(1, 1, 16), {}));
  rig.checkBooks();
}

KV_TEST("faults: one slot's failure does not keep the others from growing") {
  Rig rig;
  rig.add({1, 1, 1, 1, 1, 1});
  Engine engine(rig.cache(planOf(3, 4, 16), kNoLookahead));
  for (int i = 0; i < 3; ++i) engine.allocate(10);
  engine.lengths = {20, 20, 20};
  rig.faults->fail(Call::Map, 2);
  KV_CHECK_THROWS(Code::DeviceFailed, engine.step());
  KV_CHECK_EQ(engine.cache->length(0), 20u);
  KV_CHECK_EQ(engine.cache->length(1), 10u);
  KV_CHECK_EQ(engine.cache->length(2), 20u);
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::MappedNow);
  rig.checkBooks();
}
