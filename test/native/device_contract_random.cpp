// Random sequences of calls, good and bad, against a model; and threads at the same device.
#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "device_contract.hpp"

namespace kvspan::contract {
namespace {

constexpr std::uint64_t kRangePages = 12;
constexpr std::size_t kHandlesMax = 6;
constexpr int kNothing = -1;

// One reservation, a few handles, and what every page of it should hold. Written page by page, so
// that it has nothing in common with the devices' own bookkeeping.
class Model {
 public:
  Model(Rig& rig, std::uint32_t seed) : rig_(rig), random_(seed), base_(rig.reserve(kRangePages)) {}

  void step() {
    switch (pick(7)) {
      case 0: return create();
      case 1: return release();
      case 2:
      case 3: return map();
      case 4: return access();
      case 5: return unmap();
      default: return write();
    }
  }

  void checkAll() {
    for (std::uint64_t page = 0; page < kRangePages; ++page) {
      const auto& cell = cells_[page];
      const auto at = base_ + page * rig_.page();
      KV_CHECK_EQ(rig_.readable(at), cell.access != Access::None);
      KV_CHECK_EQ(rig_.writable(at), cell.access == Access::ReadWrite);
      if (cell.access != Access::None) KV_CHECK_EQ(rig_.get(at), expected(cell));
    }
  }

 private:
  struct Memory {
    Handle handle = 0;  // 0: released
    std::vector<std::uint64_t> words;  // of each page, the first
  };
  struct Cell {
    int memory = kNothing;
    std::uint64_t page = 0;      // within the memory
    std::uint64_t mapping = 0;   // which mapping it belongs to
    Access access = Access::None;
  };

  std::uint64_t pick(std::uint64_t count) { return random_() % count; }
  std::uint64_t expected(const Cell& cell) const { return memories_[cell.memory].words[cell.page]; }

  template <typename F>
  bool attempt(bool allowed, F&& body) {
    if (allowed) {
      body();
      return true;
    }
    KV_REFUSED(body());
    return false;
  }

  void create() {
    const auto live = std::count_if(memories_.begin(), memories_.end(),
                                    [](const Memory& one) { return one.handle != 0; });
    if (static_cast<std::size_t>(live) >= kHandlesMax) return;
    const auto pages = 1 + pick(4);
    memories_.push_back({rig_.create(pages), std::vector<std::uint64_t>(pages)});
  }

  void release() {
    if (memories_.empty()) return;
    auto& memory = memories_[pick(memories_.size())];
    if (memory.handle == 0) return;
    rig_.device().release(memory.handle);
    KV_REFUSED(rig_.device().release(memory.handle));
    memory.handle = 0;
  }

  void map() {
    if (memories_.empty()) return;
    const auto index = pick(memories_.size());
    const auto& memory = memories_[index];
    if (memory.handle == 0) return;  // its value may be another's by now
    const auto first = pick(kRangePages);
    const auto pages = pick(4) == 0 ? 1 + pick(4) : memory.words.size();
    bool allowed = pages == memory.words.size() && first + pages <= kRangePages;
    for (auto page = first; page < std::min(first + pages, kRangePages); ++page) {
      allowed = allowed && cells_[page].memory == kNothing;
    }
    const auto at = base_ + first * rig_.page();
    if (!attempt(allowed, [&] { rig_.map(at, memory.handle, pages); })) return;
    ++mappings_;
    for (std::uint64_t page = 0; page < pages; ++page) {
      cells_[first + page] = {static_cast<int>(index), page, mappings_, Access::None};
    }
  }

  // Starts and ends where a mapping does, with no free page inside.
  bool whole(std::uint64_t first, std::uint64_t pages) const {
    if (pages == 0 || first + pages > kRangePages) return false;
    for (auto page = first; page < first + pages; ++page) {
      if (cells_[page].memory == kNothing) return false;
    }
    const auto last = first + pages;
    const bool startsWhole = first == 0 || cells_[first - 1].mapping != cells_[first].mapping;
    const bool endsWhole =
        last == kRangePages || cells_[last].mapping != cells_[last - 1].mapping;
    return startsWhole && endsWhole;
  }

  void access() {
    const auto first = pick(kRangePages);
    const auto pages = 1 + pick(6);
    const auto wanted = static_cast<Access>(pick(3));
    const auto at = base_ + first * rig_.page();
    if (!attempt(whole(first, pages),
                 [&] { rig_.device().access(at, pages * rig_.page(), wanted); })) {
      return;
    }
    for (auto page = first; page < first + pages; ++page) cells_[page].access = wanted;
  }

  void unmap() {
    const auto first = pick(kRangePages);
    const auto pages = 1 + pick(6);
    const auto at = base_ + first * rig_.page();
    if (!attempt(whole(first, pages), [&] { rig_.device().unmap(at, pages * rig_.page()); })) {
      return;
    }
    for (auto page = first; page < first + pages; ++page) cells_[page] = {};
  }

  void write() {
    const auto page = pick(kRangePages);
    const auto& cell = cells_[page];
    const auto value = random_();
    const auto at = base_ + page * rig_.page();
    if (attempt(cell.access == Access::ReadWrite, [&] { rig_.put(at, value); })) {
      memories_[cell.memory].words[cell.page] = value;
    }
  }

  Rig& rig_;
  std::mt19937_64 random_;
  Address base_;
  std::vector<Memory> memories_;
  std::vector<Cell> cells_ = std::vector<Cell>(kRangePages);
  std::uint64_t mappings_ = 0;
};

void churn(Rig& rig, std::uint64_t seed, std::atomic<int>& wrong) {
  const auto base = rig.reserve(4);
  for (std::uint64_t round = 0; round < 50; ++round) {
    const auto handle = rig.create(1);
    const auto at = base + round % 4 * rig.page();
    rig.map(at, handle, 1, Access::ReadWrite);
    if (rig.get(at) != 0) ++wrong;
    rig.put(at, seed + round);
    if (rig.get(at) != seed + round) ++wrong;
    rig.device().unmap(at, rig.page());
    rig.device().release(handle);
  }
  rig.device().unreserve(base, 4 * rig.page());
}

}  // namespace

KV_CONTRACT("random sequences of calls agree with a model") {
  constexpr std::uint32_t kSeeds = 12;
  constexpr int kSteps = 400;
  constexpr int kCheckEvery = 25;
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    try {
      Rig fresh(rig.options());
      Model model(fresh, seed);
      for (int step = 0; step < kSteps; ++step) {
        model.step();
        if (step % kCheckEvery == 0) model.checkAll();
      }
      model.checkAll();
    } catch (const std::exception& error) {
      throw test::Failure("seed " + std::to_string(seed) + ": " + error.what());
    }
  }
}

KV_CONTRACT("threads that work on ranges of their own do not disturb each other") {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 8; ++i) {
    threads.emplace_back([&rig, &wrong, i] {
      try {
        churn(rig, i * 1000 + 1, wrong);
      } catch (const std::exception&) {
        ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  KV_CHECK_EQ(wrong.load(), 0);
}

KV_CONTRACT("of threads that race for the same addresses exactly one wins") {
  constexpr int kThreads = 4;
  const auto at = rig.reserve(1);
  for (int round = 0; round < 25; ++round) {
    std::atomic<int> won{0}, refused{0}, ready{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        const auto handle = rig.create(1);
        ++ready;
        while (ready < kThreads) std::this_thread::yield();
        try {
          rig.map(at, handle, 1);
          ++won;
        } catch (const Error& error) {
          if (error.code() == Code::InvalidArgument) ++refused;
        }
        rig.device().release(handle);
      });
    }
    for (auto& thread : threads) thread.join();
    KV_CHECK_EQ(won.load(), 1);
    KV_CHECK_EQ(refused.load(), kThreads - 1);
    rig.device().access(at, rig.page(), Access::ReadWrite);
    rig.device().unmap(at, rig.page());
  }
}

}  // namespace kvspan::contract
