#include "span/core.hpp"

#include <algorithm>
#include <utility>

#include "span/cache.hpp"

namespace kvspan {

SessionCore::SessionCore(std::shared_ptr<Device> device, SessionOptions options, Events events)
    : device_(std::move(device)),
      store_(device_, events.returned),
      mapper_(*this, options, events.need) {}

void SessionCore::addCache(std::shared_ptr<SpanCache> cache) {
  const std::lock_guard lock(cachesMutex_);
  caches_.push_back(std::move(cache));
}

void SessionCore::removeCache(const SpanCache* cache) {
  const std::lock_guard lock(cachesMutex_);
  std::erase_if(caches_, [cache](const auto& one) { return one.get() == cache; });
}

std::vector<std::shared_ptr<SpanCache>> SessionCore::caches() const {
  const std::lock_guard lock(cachesMutex_);
  return caches_;
}

Pages SessionCore::trimIdle(Pages want, std::vector<Extent>& out) {
  struct Candidate {
    std::uint64_t freedAt;
    SpanCache* cache;
    std::uint32_t slot;
  };
  const auto all = caches();
  std::vector<Candidate> candidates;
  for (const auto& cache : all) {
    const SlotTable& table = cache->table();
    for (std::uint32_t slot = 0; slot < table.size(); ++slot) {
      if (table.state(slot) != SlotState::Idle || table.bytes(slot) == 0) continue;
      candidates.push_back({table.freedAt(slot), cache.get(), slot});
    }
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.freedAt < b.freedAt; });
  Pages got = 0;
  for (const Candidate& one : candidates) {
    if (got >= want) break;
    got += one.cache->trimIdle(one.slot, want - got, out);
  }
  return got;
}

Pages SessionCore::trimAhead(Pages want, std::vector<Extent>& out) {
  Pages got = 0;
  for (const auto& cache : caches()) {
    for (std::uint32_t slot = 0; slot < cache->table().size() && got < want; ++slot) {
      got += cache->trimAhead(slot, want - got, out);
    }
  }
  return got;
}

std::uint64_t SessionCore::fencedIdleBytes() const {
  std::uint64_t bytes = 0;
  for (const auto& cache : caches()) bytes += cache->fencedIdleBytes();
  return bytes;
}

std::uint64_t SessionCore::idleBytes() const {
  std::uint64_t bytes = 0;
  for (const auto& cache : caches()) bytes += cache->idleBytes();
  return bytes;
}

std::string SessionCore::whereMapped(std::uint64_t extentId) const {
  for (const auto& cache : caches()) {
    const std::string where = cache->whereMapped(extentId);
    if (!where.empty()) return where;
  }
  return "it is just being mapped or unmapped";
}

}  // namespace kvspan
