// Allocations that wait for memory to arrive, and what ends their waits.
#include <chrono>
#include <functional>
#include <future>
#include <thread>

#include "base/error.hpp"
#include "span_support.hpp"

using namespace kvspan;
using namespace kvspan::test;

namespace {

using std::chrono::milliseconds;
constexpr milliseconds kLong{10'000};
constexpr double kSoonSeconds = 5;

CachePlan plan() { return planOf(2, 64, 16); }

double secondsOf(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// On a thread of its own, as the addon's; 40 tokens need three pages.
std::future<AllocateReport> waitFor(const std::shared_ptr<Cache>& cache) {
  return std::async(std::launch::async, [cache, hurries = cache->hurries()] {
    return cache->allocateAwaiting(40, kLong, hurries);
  });
}

}  // namespace

KV_TEST("awaiting: extents are mapped as they arrive, in parts too") {
  Rig rig;
  const auto cache = rig.cache(plan(), kNoLookahead);
  auto waiting = waitFor(cache);
  rig.add({1});
  KV_CHECK(waiting.wait_for(milliseconds(30)) == std::future_status::timeout);
  rig.add({2});
  const AllocateReport report = waiting.get();
  KV_CHECK(report.slot >= 0);
  KV_CHECK_EQ(report.mappedBytes, 3 * kPage);
  cache->announce(static_cast<std::uint32_t>(report.slot));
  KV_CHECK_EQ(cache->length(static_cast<std::uint32_t>(report.slot)), 40u);
  rig.checkBooks();
}

KV_TEST("awaiting: it takes its time and no longer, and then says what is missing") {
  Rig rig;
  const auto cache = rig.cache(plan(), kNoLookahead);
  AllocateReport report;
  const double waited = secondsOf(
      [&] { report = cache->allocateAwaiting(40, milliseconds(40), cache->hurries()); });
  KV_CHECK_EQ(report.slot, -1);
  KV_CHECK(waited >= 0.04 && waited < kSoonSeconds);
  KV_CHECK(report.need != OrderCounts{});
}

KV_TEST("awaiting: hurrying ends every wait, also one that has been asked for and not begun") {
  Rig rig;
  const auto cache = rig.cache(plan(), kNoLookahead);
  const auto before = cache->hurries();
  auto waiting = waitFor(cache);
  std::this_thread::sleep_for(milliseconds(10));
  cache->hurry();
  KV_CHECK_EQ(waiting.get().slot, -1);
  KV_CHECK(secondsOf([&] { cache->allocateAwaiting(40, kLong, before); }) < kSoonSeconds);
}

KV_TEST("awaiting: one that is hurried looks once more, whatever came first") {
  for (int round = 0; round < 20; ++round) {
    Rig rig;
    const auto cache = rig.cache(plan(), kNoLookahead);
    auto waiting = waitFor(cache);
    if (round % 2 == 0) std::this_thread::sleep_for(milliseconds(2));
    rig.add({1, 2});
    cache->hurry();
    KV_CHECK(waiting.get().slot >= 0);
  }
}

KV_TEST("awaiting: a slot freed before the hurry serves it") {
  Rig rig;
  rig.add({2, 1});
  const auto cache = rig.cache(plan(), kNoLookahead);
  const auto first = static_cast<std::uint32_t>(cache->allocate(40).slot);
  auto waiting = waitFor(cache);
  std::this_thread::sleep_for(milliseconds(5));
  cache->free(first, false, 0);
  cache->hurry();
  KV_CHECK(waiting.get().slot >= 0);
}

KV_TEST("awaiting: a hurried allocation still takes what is there") {
  Rig rig;
  rig.add({2, 1});
  const auto cache = rig.cache(plan(), kNoLookahead);
  const auto before = cache->hurries();
  cache->hurry();
  KV_CHECK(cache->allocateAwaiting(40, kLong, before).slot >= 0);
}

KV_TEST("awaiting: a session that closes ends the wait") {
  Rig rig;
  const auto cache = rig.cache(plan(), kNoLookahead);
  auto waiting = std::async(std::launch::async, [&] {
    try {
      return cache->allocateAwaiting(40, kLong, cache->hurries()).slot;
    } catch (const Error& error) {
      return error.code() == Code::Closed ? -1 : -2;
    }
  });
  std::this_thread::sleep_for(milliseconds(10));
  KV_CHECK(secondsOf([&] { rig.close(); }) < kSoonSeconds);
  KV_CHECK_EQ(waiting.get(), -1);
}
