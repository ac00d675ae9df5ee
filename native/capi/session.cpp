// kvspan_session_*.
#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "boundary.hpp"
#include "channel/wire.hpp"
#include "handles.hpp"
#include "open.hpp"

using namespace kvspan;
using namespace kvspan::capi;

namespace {

constexpr std::size_t kSocketPathBytesMax = 107;  // sun_path, without its NUL
constexpr std::size_t kNameBytesMax = 63;         // wire::Hello, without its NUL
constexpr std::size_t kPathBytesMax = 4095;       // PATH_MAX, without its NUL
constexpr std::size_t kWordBytesMax = 15;

static_assert(KVSPAN_ORDERS == kOrderMax + 1);
static_assert(KVSPAN_TOKEN_BYTES == wire::kTokenBytes);

DeviceOptions toDeviceOptions(const kvspan_session_options& given) {
  DeviceOptions options;
  options.backend = toText(given.backend, "options.backend", kWordBytesMax);
  if (given.ordinal < 0) {
    throw Error::badField("options.ordinal", std::to_string(given.ordinal), "0 or more");
  }
  options.ordinal = given.ordinal;
  if (given.library != nullptr) {
    options.library = toText(given.library, "options.library", kPathBytesMax);
  }
  return options;
}

}  // namespace

uint32_t kvspan_abi_version(void) { return KVSPAN_ABI_VERSION; }

int kvspan_session_open(const kvspan_session_options* options, kvspan_session* session,
                        kvspan_error* error) {
  return guarded(error, [&] {
    needed(options, "options");
    needed(session, "session");
    const DeviceOptions device = toDeviceOptions(*options);
    SessionOptions marks;
    marks.lowWaterBytes = options->low_water_bytes;
    marks.highWaterBytes = options->high_water_bytes;
    *session = addSession(std::make_shared<OpenSession>(device, marks));
  });
}

int kvspan_session_device(kvspan_session session, kvspan_device_info* info, kvspan_error* error) {
  return guarded(error, [&] {
    needed(info, "info");
    const DeviceInfo device = findSession(session)->device->info();
    putText(info->backend, device.backend);
    putText(info->name, device.name);
    putText(info->uuid, device.uuid);
    putText(info->driver, device.driver);
    info->ordinal = device.ordinal;
    info->granularity_bytes = device.granularityBytes;
    info->total_bytes = device.totalBytes;
    info->free_bytes = device.freeBytes;
  });
}

int kvspan_session_connect(kvspan_session session, const char* path, const char* name,
                           uint32_t timeout_ms, kvspan_welcome* welcome, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findSession(session);
    const auto checkedPath = toText(path, "path", kSocketPathBytesMax);
    const auto checkedName = toText(name, "name", kNameBytesMax);
    needed(welcome, "welcome");
    if (timeout_ms == 0) throw Error::badField("timeout_ms", "0", "at least 1");
    const ClientWelcome heard = open->connect(checkedPath, checkedName, timeout_ms);
    welcome->session_id = heard.sessionId;
    std::copy(std::begin(heard.token), std::end(heard.token), welcome->token);
    putText(welcome->service_path, heard.servicePath);
  });
}

int kvspan_session_disconnect(kvspan_session session, kvspan_error* error) {
  return guarded(error, [&] { findSession(session)->disconnect(); });
}

int kvspan_session_next_event(kvspan_session session, uint32_t timeout_ms, kvspan_event* event,
                              uint64_t* ids, size_t capacity, kvspan_error* error) {
  return guarded(error, [&] {
    const auto queue = findSession(session)->queue;
    needed(event, "event");
    needed(ids, "ids");
    checkRange("capacity", capacity, 1, SIZE_MAX);
    if (!queue->next(std::chrono::milliseconds(timeout_ms), *event, ids, capacity)) {
      throw Error(Code::Closed, "the session is closed");
    }
  });
}

int kvspan_session_mark(kvspan_session session, kvspan_error* error) {
  return guarded(error, [&] { findSession(session)->queue->mark(); });
}

int kvspan_session_refill_done(kvspan_session session, uint32_t retry_after_ms,
                               kvspan_error* error) {
  return guarded(error, [&] { findSession(session)->session->refillDone(retry_after_ms); });
}

int kvspan_session_give_back(kvspan_session session, uint64_t bytes, uint64_t* released,
                             kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findSession(session);
    needed(released, "released");
    *released = open->session->giveBack(bytes);
  });
}

int kvspan_session_keep(kvspan_session session, uint64_t bytes, kvspan_error* error) {
  return guarded(error, [&] { findSession(session)->session->keep(bytes); });
}

int kvspan_session_unkeep(kvspan_session session, uint64_t bytes, kvspan_error* error) {
  return guarded(error, [&] { findSession(session)->session->unkeep(bytes); });
}

int kvspan_session_return_extents(kvspan_session session, const uint64_t* ids, size_t count,
                                  kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findSession(session);
    needed(ids, "ids");
    checkRange("count", count, 1, UINT32_MAX);
    open->session->returnExtents({ids, ids + count});
  });
}

int kvspan_session_pause_releases(kvspan_session session, kvspan_error* error) {
  return guarded(error, [&] { findSession(session)->session->pauseReleases(); });
}

int kvspan_session_resume_releases(kvspan_session session, kvspan_error* error) {
  return guarded(error, [&] { findSession(session)->session->resumeReleases(); });
}

int kvspan_session_held(kvspan_session session, kvspan_extent* extents, size_t capacity,
                        size_t* count, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findSession(session);
    needed(count, "count");
    if (capacity > 0) needed(extents, "extents");
    const auto held = open->session->held();
    for (std::size_t i = 0; i < std::min(capacity, held.size()); ++i) {
      extents[i] = {held[i].id, held[i].bytes};
    }
    *count = held.size();
  });
}

int kvspan_session_get_stats(kvspan_session session, kvspan_session_stats* stats,
                             kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findSession(session);
    needed(stats, "stats");
    const SessionStats now = open->session->stats();
    *stats = {now.magazineBytes, now.magazineExtents,   now.heldBytes,     now.heldExtents,
              now.mapperMaps,    now.pendingUnmapBytes, now.driverFailures};
  });
}

int kvspan_session_close(kvspan_session session, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findSessionIfOpen(session);
    if (!open) return;
    open->close();
    for (const kvspan_cache cache : cachesOf(open.get())) removeCache(cache);
    removeSession(session);
  });
}
