// A session under a random engine, against what a plain map of lengths and rows says it should be.
#include <array>
#include <cstdio>
#include <random>

#include "device/host_stream.hpp"
#include "span_support.hpp"

using namespace kvspan;
using namespace kvspan::test;

namespace {

constexpr std::uint64_t kPoolPages = 60;
constexpr std::uint32_t kTag = 8;  // bytes written of each row

class Model {
 public:
  explicit Model(std::uint64_t seed)
      : random_(seed), rig_({seed % 2 ? 4u : 0u, seed % 2 ? 24u : 0u}) {
    for (int i = 0; i < 2; ++i) streams_[i] = createHostStream();
    const std::uint32_t lanes = 1 + below(3);
    const Growth growth = below(4) == 0 ? Growth::Linear : Growth::Geometric;
    cache_ = rig_.cache(planOf(6, 2 + below(9), 16, lanes), {growth, below(3) * 8, below(3) * 10});
    lengths_.resize(6);
    firstTag_.resize(6);
  }
  ~Model() {
    for (int i = 0; i < 2; ++i) {
      for (; pending_[i] > 0; --pending_[i]) hostStreamComplete(streams_[i]);
    }
    if (std::uncaught_exceptions() == 0) rig_.close();
    for (const Stream stream : streams_) destroyHostStream(stream);
  }

  void operate() {
    switch (below(12)) {
      case 0: case 1: return allocate();
      case 2: return free();
      case 3: return refill();
      case 4: return giveBack();
      case 5: return stream();
      default: return step();
    }
  }
  void check() {
    if (held() > kPoolPages) throw Failure("more held than the pool has");
    checkBooks();
    const auto stats = cache_->stats();
    std::uint64_t live = 0, count = 0;
    for (std::uint32_t slot = 0; slot < 6; ++slot) {
      if (lengths_[slot] == 0) continue;
      ++count;
      const CachePlan& plan = cache_->plan();
      live += static_cast<std::uint64_t>(lengths_[slot]) * plan.rowBytes * plan.laneCount;
      KV_CHECK_EQ(cache_->length(slot), static_cast<std::uint32_t>(lengths_[slot]));
      KV_CHECK(cache_->mappedTokens(slot) >= cache_->length(slot));
    }
    KV_CHECK_EQ(stats.liveSlots, count);
    KV_CHECK_EQ(stats.liveBytes, live);
  }
  // The mapper may be in the middle of something; once it rests the books add up to the extent.
  void checkBooks() {
    std::string last;
    const bool right = eventually([&] {
      try {
        rig_.checkBooks();
        return true;
      } catch (const Failure& failure) {
        last = failure.what();
        return false;
      }
    });
    if (!right) throw Failure(last);
  }
  void verifyAll() {
    for (std::uint32_t slot = 0; slot < 6; ++slot) {
      if (lengths_[slot] > 0) verify(slot, 0, lengths_[slot]);
    }
  }

 private:
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
  std::uint64_t held() { return rig_.session->stats().heldBytes / kPage; }
  std::uint64_t tag(std::uint32_t slot, std::uint32_t lane, std::int32_t token) const {
    return firstTag_[slot] + lane * 100000u + static_cast<std::uint64_t>(token);
  }
  void write(std::uint32_t slot, std::int32_t from, std::int32_t to) {
    if (from >= to) return;
    std::vector<std::uint64_t> rows;
    for (std::uint32_t lane = 0; lane < cache_->plan().laneCount; ++lane) {
      rows.clear();
      for (std::int32_t token = from; token < to; ++token) rows.push_back(tag(slot, lane, token));
      cache_->write(slot, lane, from, to - from, 0, kTag, rows.data());
    }
  }
  void verify(std::uint32_t slot, std::int32_t from, std::int32_t to) {
    std::vector<std::uint64_t> rows(to - from);
    for (std::uint32_t lane = 0; lane < cache_->plan().laneCount; ++lane) {
      cache_->read(slot, lane, from, to - from, 0, kTag, rows.data());
      for (std::int32_t i = 0; i < to - from; ++i) KV_CHECK_EQ(rows[i], tag(slot, lane, from + i));
    }
  }
  void allocate() {
    const std::uint32_t tokens = 1 + below(cache_->plan().maxTokens);
    AllocateReport report;
    try {
      report = below(2) ? cache_->allocate(tokens) : cache_->allocateWarm(tokens);
    } catch (const Error& error) {
      KV_CHECK_EQ(error.code(), Code::SlotsExhausted);
      for (const auto length : lengths_) KV_CHECK(length > 0);
      return;
    }
    if (report.slot < 0) return;
    KV_CHECK_EQ(lengths_[report.slot], 0);
    lengths_[report.slot] = static_cast<std::int32_t>(tokens);
    firstTag_[report.slot] = ++requests_ << 32;
    write(report.slot, 0, lengths_[report.slot]);
  }
  void free() {
    const std::uint32_t slot = below(6);
    if (lengths_[slot] == 0) return;
    verify(slot, 0, lengths_[slot]);
    const std::uint32_t way = below(3);
    if (way < 2) {
      hostStreamSubmit(streams_[way]);
      ++pending_[way];
    }
    cache_->free(slot, way < 2, way < 2 ? streams_[way] : 0);
    lengths_[slot] = 0;
  }
  void stream() {
    const int i = below(2);
    if (pending_[i] == 0) return;
    hostStreamComplete(streams_[i]);
    --pending_[i];
  }
  void refill() {
    rig_.session->refillDone(0);
    std::vector<std::uint64_t> pages;
    std::uint64_t room = kPoolPages - std::min(kPoolPages, held());
    for (std::uint32_t i = below(6); i > 0; --i) {
      const std::uint64_t size = 1u << below(4);
      if (size > room) break;
      room -= size;
      pages.push_back(size);
    }
    rig_.add(pages);
  }
  void giveBack() { rig_.session->giveBack(below(12) * kPage); }
  void step() {
    auto lengths = lengths_;
    for (auto& length : lengths) {
      if (length == 0) continue;
      const std::int32_t most = static_cast<std::int32_t>(cache_->plan().maxTokens);
      length = std::min<std::int32_t>(most, length + (below(8) ? below(3) : below(60)));
      if (below(40) == 0) length = 1 + below(length);
    }
    const StepReport& report = cache_->step(lengths.data(), lengths.size());
    for (const std::uint32_t slot : report.shortSlots) lengths[slot] = lengths_[slot];
    KV_CHECK_EQ(report.outcome == StepOutcome::Short, !report.shortSlots.empty());
    for (std::uint32_t slot = 0; slot < lengths.size(); ++slot) {
      write(slot, lengths_[slot], lengths[slot]);
      lengths_[slot] = lengths[slot];
    }
  }

  std::mt19937_64 random_;
  Rig rig_;
  std::shared_ptr<Cache> cache_;
  std::vector<std::int32_t> lengths_;
  std::vector<std::uint64_t> firstTag_;
  std::uint64_t requests_ = 0;
  std::array<Stream, 2> streams_{};
  std::array<int, 2> pending_{};
};

void run(std::uint64_t seed, int operations) {
  Model model(seed);
  int done = 0;
  try {
    for (; done < operations; ++done) {
      model.operate();
      model.check();
      if (done % 100 == 0) model.verifyAll();
    }
    model.verifyAll();
  } catch (const std::exception& error) {
    throw Failure("seed " + std::to_string(seed) + ", operation " + std::to_string(done) + ": " +
                  error.what());
  }
}

}  // namespace

KV_TEST("model: a random engine reads what it wrote, and the figures are those of the model") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) run(seed, 600);
}
