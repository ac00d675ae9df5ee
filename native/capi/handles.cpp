#include "handles.hpp"

#include <pthread.h>

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/error.hpp"
#include "open.hpp"

namespace kvspan::capi {
namespace {

constexpr int kSerialBits = 48;

struct Tables {
  std::shared_mutex mutex;
  std::unordered_map<std::uint64_t, std::shared_ptr<OpenSession>> sessions;
  std::unordered_map<std::uint64_t, std::shared_ptr<OpenCache>> caches;
  std::uint64_t generation = 0;
  std::atomic<std::uint64_t> last{0};
};

// Never destroyed: threads use it while the process exits. A forked child gets empty ones, and lets
// go of nothing: the objects' threads are the parent's, and a lock may be held by one of them.
std::atomic<Tables*> current{nullptr};

void afterFork() {
  const Tables* const parents = current.load();
  if (parents == nullptr) return;
  auto* const own = new Tables;
  own->generation = parents->generation + 1;
  current.store(own);
}

Tables& tables() {
  static const bool made = [] {
    current.store(new Tables);
    ::pthread_atfork(nullptr, nullptr, afterFork);
    return true;
  }();
  (void)made;
  return *current.load();
}

template <typename T>
std::uint64_t add(Tables& all, std::unordered_map<std::uint64_t, std::shared_ptr<T>>& table,
                  std::shared_ptr<T> value) {
  const std::uint64_t handle = (all.generation << kSerialBits) | ++all.last;
  const std::unique_lock lock(all.mutex);
  table.emplace(handle, std::move(value));
  return handle;
}

// Null: it was closed.
template <typename T>
std::shared_ptr<T> find(Tables& all,
                        const std::unordered_map<std::uint64_t, std::shared_ptr<T>>& table,
                        std::uint64_t handle, const char* what) {
  const std::uint64_t generation = handle >> kSerialBits;
  const std::uint64_t serial = handle & ((std::uint64_t{1} << kSerialBits) - 1);
  if (serial != 0 && generation < all.generation) {
    throw Error(Code::Closed, std::string("this ") + what +
                                  " belongs to the process that forked this one: a child opens "
                                  "its own");
  }
  if (serial == 0 || generation != all.generation || serial > all.last) {
    throw Error::badField(what, std::to_string(handle), std::string("a handle of a ") + what);
  }
  const std::shared_lock lock(all.mutex);
  const auto found = table.find(handle);
  return found == table.end() ? nullptr : found->second;
}

template <typename T>
std::shared_ptr<T> open(std::shared_ptr<T> found, const char* what) {
  if (!found) throw Error(Code::Closed, std::string("the ") + what + " is closed");
  return found;
}

}  // namespace

kvspan_session addSession(std::shared_ptr<OpenSession> session) {
  Tables& all = tables();
  return add(all, all.sessions, std::move(session));
}

kvspan_cache addCache(std::shared_ptr<OpenCache> cache) {
  Tables& all = tables();
  return add(all, all.caches, std::move(cache));
}

std::shared_ptr<OpenSession> findSessionIfOpen(kvspan_session handle) {
  Tables& all = tables();
  return find(all, all.sessions, handle, "session");
}

std::shared_ptr<OpenCache> findCacheIfOpen(kvspan_cache handle) {
  Tables& all = tables();
  return find(all, all.caches, handle, "cache");
}

std::shared_ptr<OpenSession> findSession(kvspan_session handle) {
  return open(findSessionIfOpen(handle), "session");
}

std::shared_ptr<OpenCache> findCache(kvspan_cache handle) {
  return open(findCacheIfOpen(handle), "cache");
}

void removeSession(kvspan_session handle) {
  Tables& all = tables();
  const std::unique_lock lock(all.mutex);
  all.sessions.erase(handle);
}

void removeCache(kvspan_cache handle) {
  Tables& all = tables();
  const std::unique_lock lock(all.mutex);
  all.caches.erase(handle);
}

std::vector<kvspan_cache> cachesOf(const OpenSession* session) {
  Tables& all = tables();
  const std::shared_lock lock(all.mutex);
  std::vector<kvspan_cache> found;
  for (const auto& [handle, cache] : all.caches) {
    if (cache->session.get() == session) found.push_back(handle);
  }
  return found;
}

}  // namespace kvspan::capi
