// kvspan_cache_*.
#include <algorithm>
#include <memory>
#include <mutex>
#include <string>

#include "boundary.hpp"
#include "handles.hpp"
#include "open.hpp"

using namespace kvspan;
using namespace kvspan::capi;

namespace {

constexpr std::uint32_t kInt32Max = 0x7FFFFFFF;

static_assert(KVSPAN_STEP_NOTHING == static_cast<int>(StepOutcome::Nothing));
static_assert(KVSPAN_STEP_AHEAD == static_cast<int>(StepOutcome::Ahead));
static_assert(KVSPAN_STEP_MAPPED == static_cast<int>(StepOutcome::MappedNow));
static_assert(KVSPAN_STEP_SHORT == static_cast<int>(StepOutcome::Short));

CachePlan toPlan(const kvspan_cache_plan& given) {
  checkRange("plan.slot_count", given.slot_count, 1, kInt32Max);
  checkRange("plan.max_tokens", given.max_tokens, 1, kInt32Max);
  CachePlan plan;
  plan.wantedBase = given.wanted_base;
  plan.totalBytes = given.total_bytes;
  plan.laneCount = given.lane_count;
  plan.rowBytes = given.row_bytes;
  plan.slotStrideBytes = given.slot_stride_bytes;
  plan.laneStrideBytes = given.lane_stride_bytes;
  plan.slotCount = given.slot_count;
  plan.maxTokens = given.max_tokens;
  return plan;
}

CacheOptions toOptions(const kvspan_cache_options& given) {
  if (given.growth != KVSPAN_GROWTH_GEOMETRIC && given.growth != KVSPAN_GROWTH_LINEAR) {
    throw Error::badField("options.growth", std::to_string(given.growth),
                          "0 (geometric), 1 (linear)");
  }
  checkRange("options.lookahead_tokens", given.lookahead_tokens, 0, kInt32Max);
  checkRange("options.overread_tokens", given.overread_tokens, 0, kInt32Max);
  CacheOptions options;
  options.growth = given.growth == KVSPAN_GROWTH_LINEAR ? Growth::Linear : Growth::Geometric;
  options.lookaheadTokens = given.lookahead_tokens;
  options.overreadTokens = given.overread_tokens;
  return options;
}

void put(const AllocateReport& report, kvspan_allocation& to) {
  to.slot = report.slot;
  to.warm = report.warm ? 1 : 0;
  to.mapped_bytes = report.mappedBytes;
  std::copy(report.need.begin(), report.need.end(), to.need);
}

kvspan_step_count toCount(const StepCount& count) {
  return {count.count, count.p50Ns, count.p99Ns, count.p999Ns, count.maxNs};
}

// What a step writes: all of it, or (if the step throws) nothing.
struct StepOut {
  kvspan_step_report* report;
  std::uint32_t* shortSlots;
  std::int32_t* lengthsAfter;
};

// Under the cache's `engine`.
void readLengths(OpenCache& open) {
  for (std::uint32_t slot = 0; slot < open.lengths.size(); ++slot) {
    if (open.lengths[slot] != 0) {
      open.lengths[slot] = static_cast<std::int32_t>(open.cache->length(slot));
    }
  }
}

void putStep(const StepReport& report, const OpenCache& open, const StepOut& out) {
  out.report->outcome = static_cast<std::int32_t>(report.outcome);
  out.report->driver_calls = report.driverCalls;
  out.report->short_count = static_cast<std::uint32_t>(report.shortSlots.size());
  std::copy(report.need.begin(), report.need.end(), out.report->need);
  if (out.shortSlots != nullptr) {
    std::copy(report.shortSlots.begin(), report.shortSlots.end(), out.shortSlots);
    std::sort(out.shortSlots, out.shortSlots + report.shortSlots.size());
  }
  if (out.lengthsAfter != nullptr) {
    std::copy(open.lengths.begin(), open.lengths.end(), out.lengthsAfter);
  }
}

// Under the cache's `engine`. If the driver fails for one slot the others have grown all the same.
void step(OpenCache& open, const std::int32_t* lengths, std::size_t count, const StepOut& out) {
  const StepReport* report = nullptr;
  try {
    report = &open.cache->step(lengths, count);
  } catch (const Error& error) {
    if (error.code() != Code::InvalidArgument && error.code() != Code::Closed) readLengths(open);
    throw;
  }
  if (lengths != open.lengths.data()) std::copy_n(lengths, count, open.lengths.begin());
  if (!report->shortSlots.empty()) readLengths(open);
  putStep(*report, open, out);
}

// The present lengths with the named slots changed.
void merge(OpenCache& open, const std::uint32_t* slots, const std::int32_t* lengths,
           std::size_t count) {
  open.wanted = open.lengths;
  for (std::size_t i = 0; i < count; ++i) {
    // Not live: which of the two it is, never allocated or freed, the core says.
    if (slots[i] >= open.wanted.size() || open.wanted[slots[i]] == 0) open.cache->length(slots[i]);
    checkRange(("lengths[" + std::to_string(slots[i]) + "]").c_str(),
               lengths[i] < 1 ? 0 : static_cast<std::uint64_t>(lengths[i]), 1,
               open.cache->plan().maxTokens);
    open.wanted[slots[i]] = lengths[i];
  }
}

void checkRows(std::uint32_t tokens, std::uint64_t width, std::size_t bytes) {
  if (width != 0 && bytes / width == tokens && bytes % width == 0) return;
  throw Error::badField("bytes", std::to_string(bytes),
                        "tokens x width = " + std::to_string(tokens) + " x " +
                            std::to_string(width));
}

}  // namespace

int kvspan_cache_create(kvspan_session session, const kvspan_cache_plan* plan,
                        const kvspan_cache_options* options, kvspan_cache* cache, uint64_t* base,
                        kvspan_error* error) {
  return guarded(error, [&] {
    const auto owner = findSession(session);
    needed(plan, "plan");
    needed(options, "options");
    needed(cache, "cache");
    needed(base, "base");
    const auto open = std::make_shared<OpenCache>(
        owner, owner->session->createCache(toPlan(*plan), toOptions(*options)));
    *base = open->cache->base();
    *cache = addCache(open);
  });
}

int kvspan_cache_allocate_warm(kvspan_cache cache, uint32_t tokens, kvspan_allocation* allocation,
                               kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    put(open->allocateWarm(tokens), *needed(allocation, "allocation"));
  });
}

int kvspan_cache_allocate(kvspan_cache cache, uint32_t tokens, uint32_t patience_ms, int promised,
                          kvspan_allocation* allocation, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    needed(allocation, "allocation");
    checkRange("patience_ms", patience_ms, 0, kInt32Max);
    put(open->allocate(tokens, patience_ms, promised != 0), *allocation);
  });
}

int kvspan_cache_promise(kvspan_cache cache, uint32_t slot, int promised, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    const std::lock_guard lock(open->engine);
    open->cache->promise(slot, promised != 0);
  });
}

int kvspan_cache_hurry(kvspan_cache cache, kvspan_error* error) {
  return guarded(error, [&] { findCache(cache)->cache->hurry(); });
}

int kvspan_cache_step(kvspan_cache cache, const int32_t* lengths, size_t count,
                      kvspan_step_report* report, uint32_t* short_slots, int32_t* lengths_after,
                      kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    needed(lengths, "lengths");
    needed(report, "report");
    const std::lock_guard lock(open->engine);
    step(*open, lengths, count, {report, short_slots, lengths_after});
  });
}

int kvspan_cache_step_slots(kvspan_cache cache, const uint32_t* slots, const int32_t* lengths,
                            size_t count, kvspan_step_report* report, uint32_t* short_slots,
                            int32_t* lengths_after, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    if (count > 0) {
      needed(slots, "slots");
      needed(lengths, "lengths");
    }
    needed(report, "report");
    const std::lock_guard lock(open->engine);
    merge(*open, slots, lengths, count);
    step(*open, open->wanted.data(), open->wanted.size(), {report, short_slots, lengths_after});
  });
}

int kvspan_cache_free(kvspan_cache cache, uint32_t slot, int has_stream, uint64_t stream,
                      kvspan_error* error) {
  return guarded(error, [&] { findCache(cache)->free(slot, has_stream != 0, stream); });
}

int kvspan_cache_lengths(kvspan_cache cache, int32_t* lengths, size_t count, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    needed(lengths, "lengths");
    checkRange("count", count, open->lengths.size(), open->lengths.size());
    const std::lock_guard lock(open->engine);
    std::copy(open->lengths.begin(), open->lengths.end(), lengths);
  });
}

int kvspan_cache_length(kvspan_cache cache, uint32_t slot, uint32_t* tokens, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    needed(tokens, "tokens");
    const std::lock_guard lock(open->engine);
    *tokens = open->cache->length(slot);
  });
}

int kvspan_cache_mapped_tokens(kvspan_cache cache, uint32_t slot, uint32_t* tokens,
                               kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    *needed(tokens, "tokens") = open->cache->mappedTokens(slot);
  });
}

int kvspan_cache_write(kvspan_cache cache, uint32_t slot, uint32_t lane, uint32_t first_token,
                       uint32_t tokens, uint64_t offset, uint64_t width, const void* data,
                       size_t bytes, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    checkRows(tokens, width, bytes);
    open->cache->write(slot, lane, first_token, tokens, offset, width, data);
  });
}

int kvspan_cache_read(kvspan_cache cache, uint32_t slot, uint32_t lane, uint32_t first_token,
                      uint32_t tokens, uint64_t offset, uint64_t width, void* data, size_t bytes,
                      kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    checkRows(tokens, width, bytes);
    open->cache->read(slot, lane, first_token, tokens, offset, width, data);
  });
}

int kvspan_cache_get_stats(kvspan_cache cache, kvspan_cache_stats* stats, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCache(cache);
    needed(stats, "stats");
    const std::lock_guard lock(open->engine);
    const CacheStats now = open->cache->stats();
    stats->live_slots = now.liveSlots;
    stats->idle_slots = now.idleSlots;
    stats->mapped_bytes = now.mappedBytes;
    stats->idle_bytes = now.idleBytes;
    stats->live_bytes = now.liveBytes;
    stats->mapped_extents = now.mappedExtents;
    stats->steps_with_driver_call = now.stepsWithDriverCall;
    for (std::size_t i = 0; i < now.steps.size(); ++i) stats->steps[i] = toCount(now.steps[i]);
    stats->all_steps = toCount(now.allSteps);
  });
}

int kvspan_cache_destroy(kvspan_cache cache, kvspan_error* error) {
  return guarded(error, [&] {
    const auto open = findCacheIfOpen(cache);
    if (!open) return;
    open->cache->hurry();
    open->cache->destroy();
    removeCache(cache);
  });
}
