// An engine, a reclaimer and arriving extents at once, for the thread sanitizer and for the books.
#include <atomic>
#include <random>
#include <thread>

#include "span_support.hpp"

using namespace kvspan;
using namespace kvspan::test;

namespace {

constexpr std::uint64_t kPoolPages = 48;
constexpr auto kRun = std::chrono::milliseconds(700);

std::uint64_t heldPages(Rig& rig) { return rig.session->stats().heldBytes / kPage; }

void engineLoop(Engine engine, std::uint64_t seed, const std::atomic<bool>& stop) {
  std::mt19937_64 random(seed);
  std::uint64_t request = seed << 32;
  std::vector<std::uint64_t> first(engine.lengths.size());
  const auto most = static_cast<std::int32_t>(engine.cache->plan().maxTokens);
  std::vector<std::uint64_t> row(1);
  while (!stop) {
    const std::uint32_t slot = random() % engine.lengths.size();
    if (engine.lengths[slot] == 0) {
      try {
        const AllocateReport report = random() % 2 ? engine.cache->allocateWarm(1 + random() % 40)
                                                   : engine.cache->allocate(1 + random() % 40);
        if (report.slot >= 0) {
          const auto length = engine.cache->length(report.slot);
          engine.lengths[report.slot] = static_cast<std::int32_t>(length);
          first[report.slot] = ++request;
          row[0] = request;
          engine.cache->write(report.slot, 0, 0, 1, 0, 8, row.data());
          engine.cache->promise(report.slot, random() % 2 == 0);
        }
      } catch (const Error& error) {
        if (error.code() != Code::SlotsExhausted) throw;
      }
    } else if (random() % 30 == 0) {
      engine.cache->read(slot, 0, 0, 1, 0, 8, row.data());
      KV_CHECK_EQ(row[0], first[slot]);
      engine.free(slot);
    }
    auto lengths = engine.lengths;
    for (auto& length : lengths) {
      if (length > 0) length = std::min<std::int32_t>(most, length + random() % 4);
    }
    const StepReport& report = engine.cache->step(lengths.data(), lengths.size());
    for (const auto one : report.shortSlots) lengths[one] = engine.lengths[one];
    engine.lengths = lengths;
    // The last row of each is mapped: a fault here ends the test.
    for (std::uint32_t one = 0; one < lengths.size(); ++one) {
      if (lengths[one] > 1) engine.cache->write(one, 0, lengths[one] - 1, 1, 0, 8, row.data());
    }
  }
}

}  // namespace

KV_TEST("stress: engine, mapper, reclaimer and arriving extents") {
  Rig rig({6, 16});
  rig.add(std::vector<std::uint64_t>(12, 1));
  Engine one(rig.cache(planOf(6, 8, 16, 2), {Growth::Geometric, 16, 0}));
  Engine two(rig.cache(planOf(4, 8, 16), {Growth::Geometric, 8, 4}));
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  const auto guarded = [&](auto&& body) {
    return [&stop, &failures, body] {
      try {
        body();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        ++failures;
        stop = true;
      }
    };
  };
  std::vector<std::thread> threads;
  threads.emplace_back(guarded([&] { engineLoop(one, 1, stop); }));
  threads.emplace_back(guarded([&] { engineLoop(two, 2, stop); }));
  threads.emplace_back(guarded([&] {
    std::mt19937_64 random(3);
    while (!stop) {
      rig.session->giveBack((1 + random() % 10) * kPage);
      // Some of it is drawn for slots with a promise, or is not needed for them any more.
      rig.session->keep(random() % 3 * kPage);
      rig.session->unkeep(random() % 4 * kPage);
      if (random() % 4 == 0) {
        rig.session->pauseReleases();
        (void)rig.session->held();
        rig.session->resumeReleases();
      }
      (void)one.cache->stats();
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    }
  }));
  threads.emplace_back(guarded([&] {
    std::mt19937_64 random(4);
    while (!stop) {
      const std::uint64_t size = 1u << (random() % 3);
      if (heldPages(rig) + size <= kPoolPages) rig.add({size});
      rig.session->refillDone(random() % 3);
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 1500));
    }
  }));
  std::this_thread::sleep_for(kRun);
  stop = true;
  for (auto& thread : threads) thread.join();
  KV_CHECK_EQ(failures.load(), 0);
  KV_CHECK(one.cache->stats().allSteps.count > 0);
  rig.close();
}

KV_TEST("stress: requests allocated on other threads while the engine steps") {
  Rig rig;
  rig.add(std::vector<std::uint64_t>(24, 1));
  Engine engine(rig.cache(planOf(6, 4, 16), {Growth::Geometric, 4, 0}));
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::vector<std::uint32_t> born;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937_64 random(i);
      while (!stop) {
        try {
          const AllocateReport report = engine.cache->allocateUnannounced(1 + random() % 30);
          const std::lock_guard lock(mutex);
          if (report.slot >= 0) born.push_back(static_cast<std::uint32_t>(report.slot));
        } catch (const Error&) {
          std::this_thread::yield();
        }
      }
    });
  }
  const auto end = std::chrono::steady_clock::now() + kRun / 2;
  std::mt19937_64 random(9);
  std::uint64_t announced = 0;
  while (std::chrono::steady_clock::now() < end) {
    {
      const std::lock_guard lock(mutex);
      for (const auto slot : born) {
        engine.cache->announce(slot);
        engine.lengths[slot] = static_cast<std::int32_t>(engine.cache->length(slot));
        ++announced;
      }
      born.clear();
    }
    KV_CHECK(engine.step().outcome != StepOutcome::Short);
    const std::uint32_t slot = random() % 6;
    if (engine.lengths[slot] > 0) engine.free(slot);
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  KV_CHECK(announced > 10);
  rig.close();
}

KV_TEST("stress: closing under an engine at work refuses its calls and leaves nothing") {
  for (int round = 0; round < 10; ++round) {
    Rig rig({4, 0});
    rig.add(std::vector<std::uint64_t>(12, 1));
    Engine engine(rig.cache(planOf(4, 6, 16), {Growth::Geometric, 16, 0}));
    std::atomic<bool> closedSeen{false};
    std::thread thread([&] {
      std::atomic<bool> never{false};
      try {
        engineLoop(engine, 5, never);
      } catch (const Error& error) {
        closedSeen = error.code() == Code::Closed;
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(round));
    rig.close();
    thread.join();
    KV_CHECK(closedSeen);
  }
}
