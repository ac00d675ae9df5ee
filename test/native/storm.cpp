#include "storm.hpp"

#include <algorithm>
#include <chrono>
#include <random>

namespace kvspan::test {
namespace {

constexpr std::uint64_t kBitePagesMax = 12;
constexpr std::uint32_t kRequestsMax = 3;
// A machine may be slow; one that shows nothing in so many rounds never will.
constexpr std::uint32_t kRoundsFactorMax = 200;
constexpr auto kMemoryWait = std::chrono::seconds(60);

}  // namespace

Storm::Storm(Rig& rig, std::uint64_t poolPages, Rig::From from)
    : rig_(rig), poolPages_(poolPages), from_(from), thread_([this] { run(); }) {}

Storm::~Storm() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void Storm::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  check();
}

void Storm::check() const {
  if (failed_) std::rethrow_exception(failure_);
}

void Storm::run() {
  try {
    std::mt19937_64 random(11);
    while (!stopping_) {
      const std::uint64_t size = 1u << (random() % 3);
      while (rig_.session->stats().heldBytes / kPage + size <= poolPages_) rig_.add({size}, from_);
      // A little, which the magazine has, or everything.
      takeBack(random() % 2 == 0 ? poolPages_ : 1 + random() % kBitePagesMax);
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
    }
  } catch (...) {
    failure_ = std::current_exception();
    failed_ = true;
  }
}

void Storm::takeBack(std::uint64_t pages) {
  const auto before = rig_.session->stats();
  const std::uint64_t got = rig_.session->giveBack(pages * kPage);
  // More than the magazine had: the rest was mapped.
  if (got > before.magazineBytes) ++unmapped_;
  if (got < pages * kPage && rig_.session->stats().pendingUnmapBytes > 0) ++heldBack_;
}

namespace {

std::uint32_t allocatePatiently(const Storm& storm, Cache& cache, std::uint32_t tokens) {
  const auto end = std::chrono::steady_clock::now() + kMemoryWait;
  while (std::chrono::steady_clock::now() < end) {
    storm.check();
    const AllocateReport report = cache.allocate(tokens);
    if (report.slot >= 0) return static_cast<std::uint32_t>(report.slot);
    std::this_thread::yield();
  }
  throw Failure("no memory for " + std::to_string(tokens) + " tokens");
}

void growPatiently(const Storm& storm, Cache& cache, const std::vector<StormRequest>& requests) {
  std::vector<std::int32_t> lengths(cache.plan().slotCount);
  for (const auto& one : requests) lengths[one.slot] = static_cast<std::int32_t>(one.length);
  const auto end = std::chrono::steady_clock::now() + kMemoryWait;
  while (std::chrono::steady_clock::now() < end) {
    storm.check();
    if (cache.step(lengths.data(), lengths.size()).outcome != StepOutcome::Short) return;
    std::this_thread::yield();
  }
  throw Failure("no memory to grow");
}

// The work of the round is pending when its slots are free.
void round(const Storm& storm, StormEngine& engine, std::mt19937_64& random) {
  Cache& cache = *engine.cache;
  std::vector<StormRequest> requests(1 + random() % kRequestsMax);
  for (auto& one : requests) {
    one.length = 1 + static_cast<std::uint32_t>(random() % cache.plan().maxTokens);
    one.prompt = 1 + static_cast<std::uint32_t>(random() % one.length);
    one.slot = allocatePatiently(storm, cache, one.prompt);
  }
  growPatiently(storm, cache, requests);
  engine.work->submit(requests, static_cast<std::uint32_t>(random()));
  for (const auto& one : requests) cache.free(one.slot, true, engine.work->stream());
}

}  // namespace

void rideOut(Storm& storm, std::vector<StormEngine>& engines, std::uint32_t rounds) {
  std::mt19937_64 random(5);
  const auto shown = [&] { return storm.unmapped() > 0 && storm.heldBack() > 0; };
  std::uint32_t done = 0;
  for (; done < rounds || !shown(); ++done) {
    if (done == rounds * kRoundsFactorMax) break;
    for (auto& engine : engines) {
      // What this engine submitted a turn ago; the others' work is pending meanwhile.
      if (done > 0) engine.work->verify();
      round(storm, engine, random);
    }
  }
  for (auto& engine : engines) engine.work->verify();
  storm.stop();
  KV_CHECK(storm.unmapped() > 0);
  KV_CHECK(storm.heldBack() > 0);
}

}  // namespace kvspan::test
