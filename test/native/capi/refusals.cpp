// Bad input is an error that names the field; a stale handle is an error and nothing else.
#include <sys/wait.h>
#include <unistd.h>

#include "support.hpp"

extern "C" std::uint32_t abiVersionAsC(void);

namespace kvspan::test {

KV_TEST("capi: the header is C, and the library has the version that it declares") {
  KV_CHECK_EQ(abiVersionAsC(), KVSPAN_ABI_VERSION);
}

KV_TEST("capi: opening a session refuses what it cannot use") {
  kvspan_session session = 0;
  kvspan_session_options options{"host", 0, nullptr, 0, 0};
  const auto open = [&] { return kvspan_session_open(&options, &session, &lastError); };
  KV_REFUSED("INVALID_ARGUMENT", "options", kvspan_session_open(nullptr, &session, &lastError));
  KV_REFUSED("INVALID_ARGUMENT", "session", kvspan_session_open(&options, nullptr, &lastError));
  options.backend = nullptr;
  KV_REFUSED("INVALID_ARGUMENT", "options.backend", open());
  options.backend = "a backend with a very long name";
  KV_REFUSED("INVALID_ARGUMENT", "options.backend", open());
  options.backend = "host";
  options.ordinal = -1;
  KV_REFUSED("INVALID_ARGUMENT", "options.ordinal", open());
  options.ordinal = 0;
  options.low_water_bytes = 2;
  options.high_water_bytes = 1;
  KV_REFUSED("INVALID_ARGUMENT", "options.highWaterBytes", open());
  KV_CHECK_EQ(session, 0U);
}

KV_TEST("capi: a library that is not there is said to be unavailable") {
  const kvspan_session_options options{"cuda", 0, "/nowhere/libcuda.so", 0, 0};
  kvspan_session session = 0;
  KV_REFUSED("DEVICE_UNAVAILABLE", "", kvspan_session_open(&options, &session, &lastError));
}

KV_TEST("capi: an error that nobody wants is not written") {
  KV_CHECK_EQ(kvspan_session_open(nullptr, nullptr, nullptr), KVSPAN_FAILED);
}

KV_TEST("capi: connecting refuses bad words and daemons that are not there") {
  const kvspan_session session = openSession();
  kvspan_welcome welcome{};
  const auto connect = [&](const char* path, const char* name, std::uint32_t timeoutMs) {
    return kvspan_session_connect(session, path, name, timeoutMs, &welcome, &lastError);
  };
  const std::string longPath(200, 'p'), longName(64, 'n');
  KV_REFUSED("INVALID_ARGUMENT", "path", connect(nullptr, "n", 1));
  KV_REFUSED("INVALID_ARGUMENT", "path", connect(longPath.c_str(), "n", 1));
  KV_REFUSED("INVALID_ARGUMENT", "name", connect("/p", longName.c_str(), 1));
  KV_REFUSED("INVALID_ARGUMENT", "timeout_ms", connect("/p", "n", 0));
  KV_REFUSED("DAEMON_UNAVAILABLE", "", connect("/nowhere/extents.sock", "n", 100));
  KV_OK(kvspan_session_close(session, &lastError));
}

KV_TEST("capi: a plan that does not fit is refused by its field") {
  const kvspan_session session = openSession();
  const kvspan_cache_options options{KVSPAN_GROWTH_GEOMETRIC, 0, 0};
  kvspan_cache cache = 0;
  std::uint64_t base = 0;
  const auto create = [&](const kvspan_cache_plan& plan, const kvspan_cache_options& how) {
    return kvspan_cache_create(session, &plan, &how, &cache, &base, &lastError);
  };
  auto plan = smallPlan();
  plan.slot_count = 0;
  KV_REFUSED("INVALID_ARGUMENT", "plan.slot_count", create(plan, options));
  plan = smallPlan();
  plan.max_tokens = 0x80000000;
  KV_REFUSED("INVALID_ARGUMENT", "plan.max_tokens", create(plan, options));
  plan = smallPlan();
  plan.slot_stride_bytes = 5;
  KV_CHECK_EQ(create(plan, options), KVSPAN_FAILED);
  KV_CHECK_EQ(std::string(lastError.code), "INVALID_ARGUMENT");
  KV_REFUSED("INVALID_ARGUMENT", "options.growth", create(smallPlan(), {7, 0, 0}));
  KV_REFUSED("INVALID_ARGUMENT", "options.lookahead_tokens", create(smallPlan(), {0, ~0u, 0}));
  KV_REFUSED("INVALID_ARGUMENT", "plan",
             kvspan_cache_create(session, nullptr, &options, &cache, &base, &lastError));
  KV_CHECK_EQ(cache, 0U);
  KV_OK(kvspan_session_close(session, &lastError));
}

KV_TEST("capi: handles that were never given out, or are closed, are refused") {
  const kvspan_session session = openSession();
  const kvspan_cache cache = openCache(session);
  kvspan_session_stats stats{};
  kvspan_cache_stats cacheStats{};
  KV_REFUSED("INVALID_ARGUMENT", "session", kvspan_session_get_stats(0, &stats, &lastError));
  KV_REFUSED("INVALID_ARGUMENT", "session", kvspan_session_get_stats(999, &stats, &lastError));
  KV_REFUSED("INVALID_ARGUMENT", "session", kvspan_session_get_stats(~0ULL, &stats, &lastError));
  // A handle of the other kind is a closed one of this.
  KV_REFUSED("CLOSED", "", kvspan_session_get_stats(cache, &stats, &lastError));
  KV_OK(kvspan_cache_destroy(cache, &lastError));
  KV_OK(kvspan_cache_destroy(cache, &lastError));
  KV_REFUSED("CLOSED", "", kvspan_cache_get_stats(cache, &cacheStats, &lastError));
  const kvspan_cache second = openCache(session);
  KV_CHECK(second != cache);
  KV_OK(kvspan_session_close(session, &lastError));
  KV_OK(kvspan_session_close(session, &lastError));
  KV_REFUSED("CLOSED", "", kvspan_session_get_stats(session, &stats, &lastError));
  KV_REFUSED("CLOSED", "", kvspan_cache_get_stats(second, &cacheStats, &lastError));
  kvspan_event event{};
  std::uint64_t id = 0;
  KV_REFUSED("CLOSED", "", kvspan_session_next_event(session, 0, &event, &id, 1, &lastError));
}

KV_TEST("capi: a step that does not fit the live slots changes nothing") {
  Served served(8);
  const kvspan_cache cache = openCache(served.session);
  kvspan_allocation made{};
  KV_OK(kvspan_cache_allocate(cache, 5, 0, 0, &made, &lastError));
  kvspan_step_report report{};
  const auto step = [&](std::vector<std::int32_t> lengths) {
    return kvspan_cache_step(cache, lengths.data(), lengths.size(), &report, nullptr, nullptr,
                             &lastError);
  };
  KV_REFUSED("INVALID_ARGUMENT", "lengths.length", step({6, 0, 0}));
  KV_CHECK_EQ(step({0, 0, 0, 0}), KVSPAN_FAILED);
  KV_CHECK_EQ(step({6, 1, 0, 0}), KVSPAN_FAILED);
  KV_CHECK_EQ(step({4097, 0, 0, 0}), KVSPAN_FAILED);
  const std::uint32_t slots[] = {3};
  const std::int32_t lengths[] = {1};
  KV_CHECK_EQ(kvspan_cache_step_slots(cache, slots, lengths, 1, &report, nullptr, nullptr,
                                      &lastError), KVSPAN_FAILED);
  KV_CHECK_EQ(std::string(lastError.code), "SLOT_UNKNOWN");
  const std::uint32_t live[] = {0};
  const std::int32_t negative[] = {-3};
  KV_REFUSED("INVALID_ARGUMENT", "lengths[0]",
             kvspan_cache_step_slots(cache, live, negative, 1, &report, nullptr, nullptr,
                                     &lastError));
  std::int32_t now[4] = {};
  KV_OK(kvspan_cache_lengths(cache, now, 4, &lastError));
  KV_CHECK_EQ(now[0], 5);
  KV_REFUSED("INVALID_ARGUMENT", "count", kvspan_cache_lengths(cache, now, 3, &lastError));
  KV_CHECK_EQ(kvspan_cache_free(cache, 2, 0, 0, &lastError), KVSPAN_FAILED);
  KV_CHECK_EQ(std::string(lastError.code), "SLOT_UNKNOWN");
}

KV_TEST("capi: a forked child is refused, and its own sessions are its own") {
#if defined(__SANITIZE_ADDRESS__)
  // A thread of the parent may hold a lock of it at the fork, which nobody then gives back.
  throw Skip("the address sanitizer's allocator does not survive a fork beside threads");
#endif
  const kvspan_session session = openSession();
  const pid_t child = ::fork();
  if (child == 0) {
    kvspan_session_stats stats{};
    kvspan_error error{};
    int wrong = kvspan_session_get_stats(session, &stats, &error) == KVSPAN_OK ? 1 : 0;
    wrong += std::string(error.code) == "CLOSED" ? 0 : 2;
    wrong += kvspan_session_close(session, &error) == KVSPAN_OK ? 4 : 0;
#if !defined(__SANITIZE_THREAD__)  // which ends a forked child that starts a thread
    const kvspan_session_options options{"host", 0, nullptr, 0, 0};
    kvspan_session own = 0;
    wrong += kvspan_session_open(&options, &own, &error) == KVSPAN_OK && own != session ? 0 : 8;
    wrong += kvspan_session_close(own, &error) == KVSPAN_OK ? 0 : 16;
#endif
    ::_exit(wrong);
  }
  int status = 0;
  KV_CHECK_EQ(::waitpid(child, &status, 0), child);
  KV_CHECK_EQ(WEXITSTATUS(status), 0);
  kvspan_session_stats stats{};
  KV_OK(kvspan_session_get_stats(session, &stats, &lastError));
  KV_OK(kvspan_session_close(session, &lastError));
}

KV_TEST("capi: a tensor that cannot be is refused, one that nobody took is let go of") {
  kvspan_tensor tensor{};
  void* managed = nullptr;
  KV_REFUSED("INVALID_ARGUMENT", "tensor.dimensions",
             kvspan_tensor_export(&tensor, &managed, &lastError));
  tensor.dimensions = 2;
  KV_REFUSED("INVALID_ARGUMENT", "tensor.address",
             kvspan_tensor_export(&tensor, &managed, &lastError));
  tensor.address = 4096;
  std::int32_t idle = 1;
  KV_OK(kvspan_host_stream_create(&tensor.host_stream, &lastError));
  KV_OK(kvspan_host_stream_submit(tensor.host_stream, &lastError));
  KV_OK(kvspan_tensor_export(&tensor, &managed, &lastError));
  KV_OK(kvspan_host_stream_idle(tensor.host_stream, &idle, &lastError));
  KV_CHECK_EQ(idle, 0);
  kvspan_tensor_delete(managed);
  KV_OK(kvspan_host_stream_idle(tensor.host_stream, &idle, &lastError));
  KV_CHECK_EQ(idle, 1);
  KV_OK(kvspan_host_stream_destroy(tensor.host_stream, &lastError));
  KV_CHECK_EQ(kvspan_host_stream_submit(tensor.host_stream, &lastError), KVSPAN_FAILED);
  kvspan_tensor_delete(nullptr);
}

KV_TEST("capi: a sentence too long is cut at the end of a character") {
  const kvspan_session session = openSession();
  kvspan_welcome welcome{};
  // 107 bytes that end in the middle of nothing; the message holds them and more.
  const std::string path = "/" + std::string(106, 'x');
  KV_REFUSED("DAEMON_UNAVAILABLE", "",
             kvspan_session_connect(session, path.c_str(), "n", 10, &welcome, &lastError));
  KV_CHECK(std::string(lastError.message).find(path) != std::string::npos);
  KV_OK(kvspan_session_close(session, &lastError));
}

}  // namespace kvspan::test
