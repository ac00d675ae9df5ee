// What a step costs when there is nothing to do: no allocation, no driver call, and how long.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "device/counting_device.hpp"
#include "span_support.hpp"

namespace {
thread_local std::uint64_t allocations = 0;
}

// Counts what this thread allocates, in the whole test program; otherwise as the library's. Not
// inlined: the compiler would see malloc on one side and delete on the other, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

using namespace kvspan;
using namespace kvspan::test;

namespace {

constexpr std::uint32_t kSlots = 256;
constexpr std::uint32_t kRowsPerPage = 1u << 15;

}  // namespace

KV_TEST("fast path: 256 live slots with nothing to do: no allocation, no driver call, under 2 us") {
  Rig rig;
  rig.audit->keepHollow();
  rig.add(std::vector<std::uint64_t>(kSlots, 1));
  auto cache = rig.cache(planOf(kSlots, 1, kRowsPerPage), {Growth::Geometric, 16, 0});
  std::vector<std::int32_t> lengths(kSlots);
  for (std::uint32_t i = 0; i < kSlots; ++i) lengths[cache->allocate(1).slot] = 1;

  constexpr int kRounds = 20000;
  std::vector<double> us;
  us.reserve(kRounds);
  const std::uint64_t calls = driverCallsOfThisThread();
  const std::uint64_t before = allocations;
  for (int round = 0; round < kRounds; ++round) {
    for (std::uint32_t i = 0; i < kSlots; ++i) lengths[i] += lengths[i] > 0;
    const auto start = std::chrono::steady_clock::now();
    const StepReport& report = cache->step(lengths.data(), kSlots);
    const auto took = std::chrono::steady_clock::now() - start;
    us.push_back(std::chrono::duration<double, std::micro>(took).count());
    if (report.outcome != StepOutcome::Nothing) fail(__FILE__, __LINE__, "something was done");
  }
  KV_CHECK_EQ(allocations - before, 0u);
  KV_CHECK_EQ(driverCallsOfThisThread() - calls, 0u);
  std::sort(us.begin(), us.end());
  const StepCount own = cache->stats().steps[0];
  std::printf("step, %u slots, nothing to do: p50 %.2f us, p99 %.2f us, p99.9 %.2f us; ", kSlots,
              us[kRounds / 2], us[kRounds * 99 / 100], us[kRounds * 999 / 1000]);
  std::printf("its own figures: p50 %llu ns, p99 %llu ns\n",
              static_cast<unsigned long long>(own.p50Ns), static_cast<unsigned long long>(own.p99Ns));
  KV_CHECK_EQ(own.count, static_cast<std::uint64_t>(kRounds));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  KV_CHECK(us[kRounds / 2] < 2.0);
#endif
}
