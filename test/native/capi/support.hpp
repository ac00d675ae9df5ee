// What the tests of the C ABI share: a session with its daemon, and the error of a call.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "channel_support.hpp"
#include "kvspan.h"

namespace kvspan::test {

inline kvspan_error lastError{};

inline void checkOk(const char* file, int line, const char* text, int status) {
  if (status == KVSPAN_OK) return;
  fail(file, line, std::string(text) + ": " + lastError.code + ", " + lastError.message);
}

inline void checkRefused(const char* file, int line, const char* text, int status,
                         const std::string& code, const std::string& field) {
  if (status != KVSPAN_FAILED) fail(file, line, std::string(text) + ": did not fail");
  checkEqual(file, line, text, std::string(lastError.code), code);
  checkEqual(file, line, text, std::string(lastError.field), field);
  if (std::strlen(lastError.message) == 0) fail(file, line, std::string(text) + ": says nothing");
}

// A call of the ABI that must succeed, or fail with a code and a field.
#define KV_OK(call) ::kvspan::test::checkOk(__FILE__, __LINE__, #call, call)
#define KV_REFUSED(code, field, call) \
  ::kvspan::test::checkRefused(__FILE__, __LINE__, #call, call, code, field)

inline kvspan_session openSession() {
  const kvspan_session_options options{"host", 0, nullptr, 0, 0};
  kvspan_session session = 0;
  KV_OK(kvspan_session_open(&options, &session, &lastError));
  return session;
}

// Token-major, 16 KiB a token: 128 tokens a page.
inline kvspan_cache_plan smallPlan() {
  kvspan_cache_plan plan{};
  plan.total_bytes = 4 * 64 * kPage;
  plan.row_bytes = 16384;
  plan.slot_stride_bytes = 64 * kPage;
  plan.lane_stride_bytes = plan.total_bytes;
  plan.lane_count = 1;
  plan.slot_count = 4;
  plan.max_tokens = 4096;
  return plan;
}

inline kvspan_cache openCache(kvspan_session session) {
  const auto plan = smallPlan();
  const kvspan_cache_options options{KVSPAN_GROWTH_GEOMETRIC, 0, 0};
  kvspan_cache cache = 0;
  std::uint64_t base = 0;
  KV_OK(kvspan_cache_create(session, &plan, &options, &cache, &base, &lastError));
  KV_CHECK(base != 0);
  return cache;
}

// The next event of a kind; others are passed by.
inline kvspan_event awaitEvent(kvspan_session session, int kind, std::vector<std::uint64_t>* ids) {
  std::uint64_t some[2];
  kvspan_event event{};
  do {
    KV_OK(kvspan_session_next_event(session, kPatienceMs, &event, some, 2, &lastError));
    KV_CHECK(event.kind != KVSPAN_EVENT_NONE);
    if (ids != nullptr) ids->insert(ids->end(), some, some + event.id_count);
  } while (event.kind != kind);
  return event;
}

// A session that a daemon has welcomed, with `pages` pages in its magazine.
struct Served {
  explicit Served(std::uint32_t pages = 0) : session(openSession()) {
    kvspan_welcome welcome{};
    KV_OK(kvspan_session_connect(session, daemon.path().c_str(), "capi", kPatienceMs, &welcome,
                                 &lastError));
    KV_CHECK_EQ(std::string(welcome.service_path), "/service.sock");
    if (pages > 0) give(1, pages);
  }
  ~Served() {
    kvspan_error ignored;
    kvspan_session_close(session, &ignored);
  }
  void give(std::uint64_t grantId, std::uint32_t pages, std::uint64_t firstId = 1) {
    KV_CHECK_EQ(daemon.grantNow(daemon.connection(), grantId, pages, kPatienceMs, firstId)
                    .importedCount, pages);
    const auto event = awaitEvent(session, KVSPAN_EVENT_GRANTED, nullptr);
    KV_CHECK_EQ(event.grant_id, grantId);
    KV_CHECK_EQ(event.imported_count, pages);
    KV_CHECK_EQ(std::string(event.text), "");
  }

  Daemon daemon{openHost()};
  kvspan_session session = 0;
};

}  // namespace kvspan::test
