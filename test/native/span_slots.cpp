// What each call does to a slot in each state, and where the memory of its growth comes from.
#include "span_support.hpp"

using namespace kvspan;
using namespace kvspan::test;

KV_TEST("span: a slot is mapped as far as its prompt and grows with its length") {
  Rig rig;
  rig.add({4, 4, 1, 1, 1, 1});
  Engine engine(rig.cache(planOf(4, 8, 16), kNoLookahead));
  const std::int32_t slot = engine.allocate(40);
  KV_CHECK(slot >= 0);
  KV_CHECK(engine.cache->mappedTokens(slot) >= 40);
  KV_CHECK_EQ(engine.cache->length(slot), 40u);
  for (std::int32_t length = 41; length <= 128; ++length) {
    engine.lengths[slot] = length;
    const StepReport& report = engine.step();
    KV_CHECK(report.outcome == StepOutcome::Nothing || report.outcome == StepOutcome::MappedNow);
    KV_CHECK_EQ(report.driverCalls > 0, report.outcome == StepOutcome::MappedNow);
    KV_CHECK(engine.cache->mappedTokens(slot) >= static_cast<std::uint32_t>(length));
    rig.checkBooks();
  }
  KV_CHECK_EQ(engine.cache->stats().mappedBytes, 8 * kPage);
}

KV_TEST("span: bad lengths name the field, the value and the limit, and change nothing") {
  Rig rig;
  rig.add(single(6));
  Engine engine(rig.cache(planOf(4, 4, 16), kNoLookahead));
  const auto a = engine.allocate(10);
  const auto b = engine.allocate(10);
  engine.free(b);
  const auto check = [&](std::uint32_t slot, std::int32_t length, Code code) {
    auto lengths = engine.lengths;
    lengths[a] = 60;  // would have to grow
    lengths[slot] = length;
    const auto mapped = rig.audit->mappedBytes();
    KV_CHECK_THROWS(code, engine.cache->step(lengths.data(), lengths.size()));
    const std::string text =
        messageOf([&] { engine.cache->step(lengths.data(), lengths.size()); });
    KV_CHECK(has(text, "lengths[" + std::to_string(slot) + "]"));
    KV_CHECK(has(text, std::to_string(length)));
    KV_CHECK_EQ(rig.audit->mappedBytes(), mapped);
    KV_CHECK_EQ(engine.cache->length(a), 10u);
  };
  check(a, 0, Code::InvalidArgument);
  check(a, -1, Code::InvalidArgument);
  check(a, 65, Code::InvalidArgument);
  check(a, 0x7FFFFFFF, Code::InvalidArgument);
  check(b, 5, Code::SlotFreed);
  check(3, 5, Code::SlotUnknown);
  check(3, -5, Code::InvalidArgument);
  KV_CHECK(has(messageOf([&] {
                 auto lengths = engine.lengths;
                 lengths[a] = 65;
                 engine.cache->step(lengths.data(), lengths.size());
               }),
               "1..64"));
  KV_CHECK_THROWS(Code::InvalidArgument, engine.cache->step(engine.lengths.data(), 3));
  KV_CHECK_THROWS(Code::InvalidArgument, engine.cache->step(engine.lengths.data(), 5));
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::Nothing);
}

KV_TEST("span: every call on a slot in every state") {
  Rig rig;
  rig.add(single(8));
  auto cache = rig.cache(planOf(3, 4, 16), kNoLookahead);
  std::byte row[16] = {};
  // never allocated
  KV_CHECK_THROWS(Code::SlotUnknown, cache->free(1, false, 0));
  KV_CHECK_THROWS(Code::SlotUnknown, cache->length(1));
  KV_CHECK_THROWS(Code::SlotUnknown, cache->announce(1));
  KV_CHECK_THROWS(Code::SlotUnknown, cache->write(1, 0, 0, 1, 0, 16, row));
  KV_CHECK_EQ(cache->mappedTokens(1), 0u);
  // out of range
  KV_CHECK_THROWS(Code::SlotUnknown, cache->free(3, false, 0));
  KV_CHECK_THROWS(Code::SlotUnknown, cache->length(3));
  KV_CHECK_THROWS(Code::SlotUnknown, cache->read(3, 0, 0, 1, 0, 16, row));
  KV_CHECK_THROWS(Code::SlotUnknown, cache->mappedTokens(3));
  KV_CHECK_THROWS(Code::InvalidArgument, cache->allocate(0));
  KV_CHECK_THROWS(Code::InvalidArgument, cache->allocate(65));
  KV_CHECK_THROWS(Code::InvalidArgument, cache->allocateWarm(0));
  // ready: not live until announced
  const auto slot = static_cast<std::uint32_t>(cache->allocateUnannounced(20).slot);
  std::vector<std::int32_t> lengths(3);
  KV_CHECK_EQ(cache->step(lengths.data(), 3).outcome, StepOutcome::Nothing);
  KV_CHECK_THROWS(Code::SlotUnknown, cache->length(slot));
  lengths[slot] = 20;
  KV_CHECK_THROWS(Code::SlotUnknown, cache->step(lengths.data(), 3));
  cache->announce(slot);
  KV_CHECK_THROWS(Code::SlotUnknown, cache->announce(slot));
  KV_CHECK_EQ(cache->step(lengths.data(), 3).outcome, StepOutcome::Nothing);
  // live
  KV_CHECK_EQ(cache->length(slot), 20u);
  cache->write(slot, 0, 19, 1, 4, 16, row);
  KV_CHECK_THROWS(Code::InvalidArgument, cache->write(slot, 1, 0, 1, 0, 16, row));
  KV_CHECK_THROWS(Code::InvalidArgument, cache->write(slot, 0, 20, 1, 0, 16, row));
  KV_CHECK_THROWS(Code::InvalidArgument, cache->write(slot, 0, 19, 2, 0, 16, row));
  KV_CHECK_THROWS(Code::InvalidArgument, cache->write(slot, 0, 0, 0, 0, 16, row));
  KV_CHECK_THROWS(Code::InvalidArgument, cache->write(slot, 0, 0, 1, kPage / 16, 1, row));
  KV_CHECK_THROWS(Code::InvalidArgument, cache->write(slot, 0, 0, 1, 8, kPage / 16, row));
  KV_CHECK_THROWS(Code::InvalidArgument, cache->read(slot, 0, 0, 1, 0, 16, nullptr));
  // freed
  cache->free(slot, false, 0);
  KV_CHECK_THROWS(Code::SlotFreed, cache->free(slot, false, 0));
  KV_CHECK_THROWS(Code::SlotFreed, cache->length(slot));
  KV_CHECK_THROWS(Code::SlotFreed, cache->read(slot, 0, 0, 1, 0, 16, row));
  KV_CHECK_THROWS(Code::SlotUnknown, cache->announce(slot));
  // a ready slot can be abandoned
  cache->free(static_cast<std::uint32_t>(cache->allocateUnannounced(5).slot), false, 0);
  // all in use
  for (int i = 0; i < 3; ++i) KV_CHECK(cache->allocate(5).slot >= 0);
  KV_CHECK_THROWS(Code::SlotsExhausted, cache->allocate(5));
  KV_CHECK_EQ(cache->allocateWarm(5).slot, -1);
  // destroyed
  cache->destroy();
  cache->destroy();
  KV_CHECK_THROWS(Code::Closed, cache->step(lengths.data(), 3));
  KV_CHECK_THROWS(Code::Closed, cache->allocate(5));
  KV_CHECK_THROWS(Code::Closed, cache->allocateWarm(5));
  KV_CHECK_THROWS(Code::Closed, cache->announce(0));
  KV_CHECK_THROWS(Code::Closed, cache->free(0, false, 0));
  KV_CHECK_THROWS(Code::Closed, cache->length(0));
  KV_CHECK_THROWS(Code::Closed, cache->read(0, 0, 0, 1, 0, 16, row));
  KV_CHECK_EQ(rig.audit->mappings(), 0u);
  KV_CHECK_EQ(rig.magazinePages(), 8u);
}

KV_TEST("span: an idle span serves the next request warm, the smallest that fits first") {
  Rig rig;
  rig.add(single(16));
  Engine engine(rig.cache(planOf(4, 8, 16), kNoLookahead));
  const auto small = engine.allocate(30);
  const auto large = engine.allocate(100);
  engine.free(large);
  engine.free(small);
  const auto calls = rig.faults->calls(Call::Map);
  AllocateReport report = engine.cache->allocate(20);
  KV_CHECK_EQ(report.slot, small);
  KV_CHECK(report.warm);
  report = engine.cache->allocateWarm(20);
  KV_CHECK_EQ(report.slot, large);
  KV_CHECK_EQ(rig.faults->calls(Call::Map), calls);
  engine.cache->free(small, false, 0);
  KV_CHECK_EQ(engine.cache->allocateWarm(60).slot, -1);
  // Nothing fits: the largest idle span grows, no bare slot is taken.
  report = engine.cache->allocate(60);
  KV_CHECK_EQ(report.slot, small);
  KV_CHECK(!report.warm);
  rig.checkBooks();
}

KV_TEST("span: slots that cannot grow keep their length and say what they need; others grow") {
  Rig rig;
  rig.add(single(6));
  Engine engine(rig.cache(planOf(3, 8, 16), kNoLookahead));
  const auto a = engine.allocate(16);
  const auto b = engine.allocate(16);
  engine.lengths[a] = 48;   // 2 pages more
  engine.lengths[b] = 112;  // 6 more: there are 2
  const StepReport& report = engine.step();
  KV_CHECK_EQ(report.outcome, StepOutcome::Short);
  KV_CHECK_EQ(report.shortSlots.size(), 1u);
  KV_CHECK_EQ(report.shortSlots[0], static_cast<std::uint32_t>(b));
  KV_CHECK_EQ(engine.cache->length(a), 48u);
  KV_CHECK_EQ(engine.cache->length(b), 16u);
  KV_CHECK_EQ(engine.cache->mappedTokens(b), 16u);
  std::vector<std::uint64_t> refill;
  for (int order = 0; order <= kOrderMax; ++order) {
    for (std::uint32_t i = 0; i < report.need[order]; ++i) refill.push_back(1u << order);
  }
  rig.checkBooks();
  KV_CHECK_EQ(refill.size(), 1u);  // two pages that are there, and one extent of four
  rig.add(refill);
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::MappedNow);
  KV_CHECK_EQ(engine.cache->length(b), 112u);
  // The same for a new request.
  const AllocateReport none = engine.cache->allocate(100);
  KV_CHECK_EQ(none.slot, -1);
  KV_CHECK_EQ(none.need[0] + 2 * none.need[1] + 4 * none.need[2], 7u);
  rig.checkBooks();
}

KV_TEST("span: growth and new requests take from idle spans when the magazine is empty") {
  Rig rig;
  rig.add(single(8));
  Engine engine(rig.cache(planOf(4, 8, 16), kNoLookahead));
  const auto a = engine.allocate(16);
  const auto b = engine.allocate(64);
  const auto c = engine.allocate(48);
  engine.free(b);
  engine.lengths[a] = 32;
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::MappedNow);
  KV_CHECK_EQ(engine.cache->mappedTokens(b), 48u);
  engine.free(c);
  // The largest idle span takes what the other has.
  KV_CHECK(engine.allocate(90) >= 0);
  KV_CHECK_EQ(engine.cache->stats().idleBytes, 0u);
  rig.checkBooks();
}

KV_TEST("span: layer-major: all lanes of a slot grow, or none") {
  Rig rig;
  rig.add(single(11));
  Engine engine(rig.cache(planOf(2, 4, 16, 4), kNoLookahead));
  const auto slot = engine.allocate(16);
  KV_CHECK_EQ(engine.cache->stats().mappedExtents, 4u);
  engine.lengths[slot] = 33;  // two pages more in each of four lanes: 8, there are 7
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::Short);
  KV_CHECK_EQ(engine.cache->stats().mappedExtents, 4u);
  KV_CHECK_EQ(rig.magazinePages(), 7u);
  rig.add({1});
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::MappedNow);
  KV_CHECK_EQ(engine.cache->stats().mappedExtents, 12u);
  std::vector<std::uint32_t> rows(33);
  for (std::uint32_t lane = 0; lane < 4; ++lane) {
    for (std::uint32_t i = 0; i < 33; ++i) rows[i] = lane * 1000 + i;
    engine.cache->write(slot, lane, 0, 33, 64, 4, rows.data());
  }
  for (std::uint32_t lane = 0; lane < 4; ++lane) {
    engine.cache->read(slot, lane, 0, 33, 64, 4, rows.data());
    for (std::uint32_t i = 0; i < 33; ++i) KV_CHECK_EQ(rows[i], lane * 1000 + i);
  }
  rig.checkBooks();
}

KV_TEST("span: memory past the length is mapped for kernels that read whole tiles") {
  Rig rig;
  rig.add(single(8));
  CacheOptions options = kNoLookahead;
  options.overreadTokens = 8;
  Engine engine(rig.cache(planOf(2, 4, 16), options));
  const auto slot = engine.allocate(9);
  KV_CHECK_EQ(engine.cache->mappedTokens(slot), 32u);
  engine.lengths[slot] = 24;
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::Nothing);
  engine.lengths[slot] = 25;
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::MappedNow);
  engine.lengths[slot] = 64;  // the end of the slot is the end of the overread
  KV_CHECK_EQ(engine.step().outcome, StepOutcome::MappedNow);
  KV_CHECK_EQ(engine.cache->stats().mappedBytes, 4 * kPage);
}
