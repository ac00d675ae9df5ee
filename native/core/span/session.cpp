#include "span/session.hpp"

#include <atomic>
#include <exception>
#include <utility>

#include "base/error.hpp"
#include "device/counting_device.hpp"
#include "span/cache.hpp"
#include "span/core.hpp"

namespace kvspan {
namespace {

class SpanSession final : public Session {
 public:
  SpanSession(std::shared_ptr<Device> device, SessionOptions options, Events events)
      : core_(std::make_shared<SessionCore>(std::move(device), options, std::move(events))) {
    core_->mapper().start();
  }

  ~SpanSession() override {
    try {
      close();
    } catch (...) {
      // The process lets go of what the driver would not take back.
      core_->noteDriverFailure();
    }
  }

  std::shared_ptr<Cache> createCache(const CachePlan& plan, const CacheOptions& options) override {
    const std::lock_guard lock(closeMutex_);
    checkOpen();
    auto cache = std::make_shared<SpanCache>(core_, plan, options);
    core_->addCache(cache);
    // Now there is a use for memory: the magazine may be filled.
    core_->mapper().wake();
    return cache;
  }

  void addExtents(std::vector<Extent> extents) override {
    if (core_->store().add(extents)) core_->mapper().extentsAdded();
  }

  void refillDone(std::uint32_t retryAfterMs) override {
    core_->mapper().refillDone(retryAfterMs);
  }

  std::uint64_t giveBack(std::uint64_t bytes) override;
  void keep(std::uint64_t bytes) override { core_->store().keep(bytes); }
  void unkeep(std::uint64_t bytes) override {
    core_->store().unkeep(bytes);
    core_->mapper().wake();
  }
  void returnExtents(const std::vector<std::uint64_t>& ids) override;

  void pauseReleases() override { core_->store().pause(); }
  std::vector<Extent> held() const override { return core_->store().held(); }
  void resumeReleases() override {
    core_->store().resume();
    core_->mapper().wake();
  }

  SessionStats stats() const override {
    SessionStats stats;
    core_->store().fill(stats);
    stats.mapperMaps = core_->mapperMaps();
    stats.pendingUnmapBytes = core_->fencedIdleBytes();
    stats.driverFailures = core_->driverFailures();
    return stats;
  }

  void close() override;

 private:
  void checkOpen() const {
    if (closed_.load()) throw Error(Code::Closed, "the session was closed");
  }

  const std::shared_ptr<SessionCore> core_;
  std::mutex closeMutex_;
  std::atomic<bool> closed_{false};
};

std::uint64_t SpanSession::giveBack(std::uint64_t bytes) {
  checkOpen();
  ExtentStore& store = core_->store();
  if (bytes == 0 || store.paused()) return 0;
  // First, so that the mapper does not at once ask for what goes now.
  core_->mapper().gaveBack();
  std::vector<Extent> taken = store.takeSpare(bytes);
  std::uint64_t sum = 0;
  for (const Extent& extent : taken) sum += extent.bytes;
  const auto missing = [&] {
    return sum < bytes ? pagesFor(bytes - sum, store.pageBytes()) : 0;
  };
  sum += core_->trimIdle(missing(), taken) * store.pageBytes();
  sum += core_->trimAhead(missing(), taken) * store.pageBytes();
  return store.release(taken, Releases::UnlessPaused);
}

void SpanSession::returnExtents(const std::vector<std::uint64_t>& ids) {
  checkOpen();
  const auto taken = core_->store().takeIds(
      ids, [this](std::uint64_t id) { return core_->whereMapped(id); });
  core_->store().release(taken, Releases::UnlessPaused);
}

void SpanSession::close() {
  const std::lock_guard lock(closeMutex_);
  closed_ = true;
  core_->mapper().stop();
  std::exception_ptr failure;
  const auto attempt = [&](auto&& part) {
    try {
      part();
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  };
  for (const auto& cache : core_->caches()) attempt([&] { cache->destroy(); });
  core_->store().close();
  attempt([&] {
    core_->store().release(core_->store().takeBytes(core_->store().magazineBytes()),
                           Releases::Always);
  });
  if (failure) std::rethrow_exception(failure);
}

void checkMark(const char* field, std::uint64_t bytes) {
  if (bytes <= kWaterBytesMax) return;
  throw Error::badField(field, std::to_string(bytes), "0.." + std::to_string(kWaterBytesMax));
}

}  // namespace

std::shared_ptr<Session> Session::create(std::shared_ptr<Device> device, SessionOptions options,
                                         Events events) {
  checkMark("options.lowWaterBytes", options.lowWaterBytes);
  checkMark("options.highWaterBytes", options.highWaterBytes);
  if (options.highWaterBytes != 0 && options.highWaterBytes < options.lowWaterBytes) {
    throw Error::badField("options.highWaterBytes", std::to_string(options.highWaterBytes),
                          "0 (never), or at least lowWaterBytes, " +
                              std::to_string(options.lowWaterBytes));
  }
  return std::make_shared<SpanSession>(countCalls(std::move(device)), options, std::move(events));
}

}  // namespace kvspan
