// A session through the ABI from grant to return, and that nothing of it stays.
#include <algorithm>
#include <thread>

#include "support.hpp"

namespace kvspan::test {
namespace {

void allocateStepFree() {
  Served served(16);
  const kvspan_cache cache = openCache(served.session);
  kvspan_allocation made{};
  KV_OK(kvspan_cache_allocate_warm(cache, 200, &made, &lastError));
  KV_CHECK_EQ(made.slot, -1);
  KV_OK(kvspan_cache_allocate(cache, 200, 0, 0, &made, &lastError));
  KV_CHECK_EQ(made.slot, 0);
  KV_CHECK_EQ(made.mapped_bytes, 2 * kPage);

  std::vector<char> rows(100 * 512, 'k'), read(rows.size());
  KV_OK(kvspan_cache_write(cache, 0, 0, 100, 100, 1024, 512, rows.data(), rows.size(), &lastError));
  KV_OK(kvspan_cache_read(cache, 0, 0, 100, 100, 1024, 512, read.data(), read.size(), &lastError));
  KV_CHECK(rows == read);
  KV_REFUSED("INVALID_ARGUMENT", "bytes",
             kvspan_cache_read(cache, 0, 0, 100, 100, 1024, 512, read.data(), 5, &lastError));

  kvspan_step_report report{};
  const std::uint32_t slots[] = {0};
  const std::int32_t lengths[] = {700};
  std::int32_t after[4] = {};
  KV_OK(kvspan_cache_step_slots(cache, slots, lengths, 1, &report, nullptr, after, &lastError));
  KV_CHECK_EQ(report.outcome, KVSPAN_STEP_MAPPED);
  KV_CHECK_EQ(after[0], 700);
  std::uint32_t tokens = 0;
  KV_OK(kvspan_cache_mapped_tokens(cache, 0, &tokens, &lastError));
  KV_CHECK(tokens >= 700);
  KV_OK(kvspan_cache_free(cache, 0, 0, 0, &lastError));
  KV_OK(kvspan_cache_allocate_warm(cache, 600, &made, &lastError));
  KV_CHECK_EQ(made.slot, 0);
  KV_CHECK_EQ(made.warm, 1);
  kvspan_cache_stats stats{};
  KV_OK(kvspan_cache_get_stats(cache, &stats, &lastError));
  KV_CHECK_EQ(stats.live_slots, 1U);
  KV_CHECK_EQ(stats.all_steps.count, 1U);
}

}  // namespace

KV_TEST("capi: a request is allocated, written, grown and freed") { allocateStepFree(); }

KV_TEST("capi: sessions leave no descriptor behind") {
  allocateStepFree();
  const std::size_t before = openFds();
  for (int i = 0; i < 5; ++i) allocateStepFree();
  KV_CHECK_EQ(openFds(), before);
}

KV_TEST("capi: what is kept is a promised slot's, and is not given back") {
  Served served(4);
  const kvspan_cache cache = openCache(served.session);
  KV_OK(kvspan_session_keep(served.session, 3 * kPage, &lastError));
  kvspan_allocation made{};
  KV_OK(kvspan_cache_allocate(cache, 200, 0, 0, &made, &lastError));
  KV_CHECK_EQ(made.slot, -1);
  KV_OK(kvspan_cache_allocate(cache, 200, 0, 1, &made, &lastError));
  KV_CHECK(made.slot >= 0);
  std::uint64_t released = 0;
  KV_OK(kvspan_session_give_back(served.session, 8 * kPage, &released, &lastError));
  KV_CHECK_EQ(released, kPage);
  KV_OK(kvspan_session_unkeep(served.session, kPage, &lastError));
  KV_OK(kvspan_session_give_back(served.session, 8 * kPage, &released, &lastError));
  KV_CHECK_EQ(released, kPage);
  const auto slot = static_cast<std::uint32_t>(made.slot);
  KV_OK(kvspan_cache_promise(cache, slot, 0, &lastError));
  KV_REFUSED("SLOT_UNKNOWN", "", kvspan_cache_promise(cache, 77, 1, &lastError));
  KV_OK(kvspan_cache_free(cache, slot, 0, 0, &lastError));
  KV_REFUSED("SLOT_FREED", "", kvspan_cache_promise(cache, slot, 1, &lastError));
}

KV_TEST("capi: a short step reports the slots, what they need and the lengths that stand") {
  Served served(4);
  const kvspan_cache cache = openCache(served.session);
  kvspan_allocation made{};
  KV_OK(kvspan_cache_allocate(cache, 128, 0, 0, &made, &lastError));
  KV_OK(kvspan_cache_allocate(cache, 128, 0, 0, &made, &lastError));
  const std::int32_t lengths[] = {1000, 130, 0, 0};
  kvspan_step_report report{};
  std::uint32_t shortSlots[4] = {};
  std::int32_t after[4] = {};
  KV_OK(kvspan_cache_step(cache, lengths, 4, &report, shortSlots, after, &lastError));
  KV_CHECK_EQ(report.outcome, KVSPAN_STEP_SHORT);
  KV_CHECK_EQ(report.short_count, 1U);
  KV_CHECK_EQ(shortSlots[0], 0U);
  KV_CHECK_EQ(after[0], 128);
  KV_CHECK_EQ(after[1], 130);
  KV_CHECK(std::any_of(report.need, report.need + KVSPAN_ORDERS, [](auto n) { return n > 0; }));
}

KV_TEST("capi: an allocation waits for memory that arrives") {
  Served served;
  const kvspan_cache cache = openCache(served.session);
  kvspan_allocation made{};
  std::thread engine([&] {
    kvspan_error error{};
    kvspan_cache_allocate(cache, 300, kPatienceMs, 0, &made, &error);
  });
  served.give(9, 3);
  engine.join();
  KV_CHECK_EQ(made.slot, 0);
}

KV_TEST("capi: what is released is told in pieces of the caller's size, then the mark") {
  Served served(5);
  std::uint64_t released = 0;
  KV_OK(kvspan_session_give_back(served.session, 5 * kPage, &released, &lastError));
  KV_CHECK_EQ(released, 5 * kPage);
  KV_OK(kvspan_session_mark(served.session, &lastError));
  std::vector<std::uint64_t> ids;
  awaitEvent(served.session, KVSPAN_EVENT_MARK, &ids);
  std::sort(ids.begin(), ids.end());
  KV_CHECK(ids == (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
}

KV_TEST("capi: what is held can be listed, and returned by its id") {
  Served served(3);
  kvspan_extent extents[3];
  std::size_t count = 0;
  KV_OK(kvspan_session_held(served.session, nullptr, 0, &count, &lastError));
  KV_CHECK_EQ(count, 3U);
  KV_OK(kvspan_session_held(served.session, extents, 3, &count, &lastError));
  KV_CHECK_EQ(extents[0].bytes, kPage);
  const std::uint64_t one[] = {extents[1].id}, unknown[] = {77};
  KV_CHECK_EQ(kvspan_session_return_extents(served.session, unknown, 1, &lastError), KVSPAN_FAILED);
  KV_CHECK_EQ(std::string(lastError.code), "EXTENT_UNKNOWN");
  KV_OK(kvspan_session_pause_releases(served.session, &lastError));
  KV_CHECK_EQ(kvspan_session_return_extents(served.session, one, 1, &lastError), KVSPAN_FAILED);
  KV_CHECK_EQ(std::string(lastError.code), "DAEMON_UNAVAILABLE");
  KV_OK(kvspan_session_resume_releases(served.session, &lastError));
  KV_OK(kvspan_session_return_extents(served.session, one, 1, &lastError));
  kvspan_session_stats stats{};
  KV_OK(kvspan_session_get_stats(served.session, &stats, &lastError));
  KV_CHECK_EQ(stats.held_bytes, 2 * kPage);
}

KV_TEST("capi: the end of the channel is told, and the session connects again") {
  Served served(2);
  served.daemon.server().disconnect(served.daemon.connection());
  const auto event = awaitEvent(served.session, KVSPAN_EVENT_CLOSED, nullptr);
  KV_CHECK(std::strlen(event.text) > 0);
  kvspan_welcome welcome{};
  KV_OK(kvspan_session_connect(served.session, served.daemon.path().c_str(), "again", kPatienceMs,
                               &welcome, &lastError));
  KV_CHECK_EQ(kvspan_session_connect(served.session, served.daemon.path().c_str(), "twice",
                                     kPatienceMs, &welcome, &lastError), KVSPAN_FAILED);
  KV_OK(kvspan_session_disconnect(served.session, &lastError));
}

KV_TEST("capi: closing ends a wait for events and an engine's calls") {
  Served served(64);
  const kvspan_cache cache = openCache(served.session);
  std::thread events([&] {
    kvspan_event event{};
    kvspan_error error{};
    std::uint64_t ids[16];
    while (kvspan_session_next_event(served.session, kPatienceMs, &event, ids, 16, &error) ==
           KVSPAN_OK) {
    }
  });
  std::vector<std::thread> engines;
  for (int i = 0; i < 3; ++i) {
    engines.emplace_back([&] {
      kvspan_error error{};
      kvspan_allocation made{};
      kvspan_step_report report{};
      while (kvspan_cache_allocate(cache, 100, 0, 0, &made, &error) == KVSPAN_OK ||
             std::string(error.code) == "SLOTS_EXHAUSTED") {
        const auto slot = static_cast<std::uint32_t>(std::max(made.slot, 0));
        const std::int32_t length = 300;
        kvspan_cache_step_slots(cache, &slot, &length, 1, &report, nullptr, nullptr, &error);
        kvspan_cache_free(cache, slot, 0, 0, &error);
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  KV_OK(kvspan_session_close(served.session, &lastError));
  events.join();
  for (auto& engine : engines) engine.join();
}

}  // namespace kvspan::test
