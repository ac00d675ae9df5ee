// Reports and statistics of the spans as JavaScript objects (native/native.ts).
#include <algorithm>

#include "cache.hpp"
#include "marshal.hpp"

namespace kvspan::node {
namespace {

constexpr double kNsPerUs = 1000.0;

Napi::Value fromStepCount(Napi::Env env, const StepCount& count) {
  const auto us = [&](std::uint64_t ns) {
    return Napi::Number::New(env, static_cast<double>(ns) / kNsPerUs);
  };
  auto result = Napi::Object::New(env);
  result.Set("count", fromCount(env, count.count));
  result.Set("p50Us", us(count.p50Ns));
  result.Set("p99Us", us(count.p99Ns));
  result.Set("p999Us", us(count.p999Ns));
  result.Set("maxUs", us(count.maxNs));
  return result;
}

}  // namespace

Napi::Value fromAllocateReport(Napi::Env env, const AllocateReport& report) {
  auto result = Napi::Object::New(env);
  result.Set("slot", report.slot);
  result.Set("mappedBytes", fromUint64(env, report.mappedBytes));
  result.Set("warm", report.warm);
  result.Set("need", fromCounts(env, report.need));
  return result;
}

Napi::Value fromStepReport(Napi::Env env, const StepReport& report) {
  auto shortSlots = Napi::Int32Array::New(env, report.shortSlots.size());
  std::copy(report.shortSlots.begin(), report.shortSlots.end(), shortSlots.Data());
  auto result = Napi::Object::New(env);
  result.Set("driverCalls", report.driverCalls);
  result.Set("shortSlots", shortSlots);
  result.Set("need", fromCounts(env, report.need));
  return result;
}

Napi::Value fromCacheStats(Napi::Env env, const CacheStats& stats) {
  static constexpr const char* kOutcomes[] = {"nothing", "ahead", "mappedNow", "short"};
  auto steps = Napi::Object::New(env);
  for (std::size_t i = 0; i < stats.steps.size(); ++i) {
    steps.Set(kOutcomes[i], fromStepCount(env, stats.steps[i]));
  }
  steps.Set("all", fromStepCount(env, stats.allSteps));
  auto result = Napi::Object::New(env);
  result.Set("liveSlots", stats.liveSlots);
  result.Set("idleSlots", stats.idleSlots);
  result.Set("mappedBytes", fromUint64(env, stats.mappedBytes));
  result.Set("idleBytes", fromUint64(env, stats.idleBytes));
  result.Set("liveBytes", fromUint64(env, stats.liveBytes));
  result.Set("mappedExtents", fromCount(env, stats.mappedExtents));
  result.Set("stepsWithDriverCall", fromCount(env, stats.stepsWithDriverCall));
  result.Set("steps", steps);
  return result;
}

Napi::Value fromSessionStats(Napi::Env env, const SessionStats& stats) {
  auto result = Napi::Object::New(env);
  result.Set("magazineBytes", fromUint64(env, stats.magazineBytes));
  result.Set("magazineExtents", fromCount(env, stats.magazineExtents));
  result.Set("heldBytes", fromUint64(env, stats.heldBytes));
  result.Set("heldExtents", fromCount(env, stats.heldExtents));
  result.Set("mapperMaps", fromCount(env, stats.mapperMaps));
  result.Set("pendingUnmapBytes", fromUint64(env, stats.pendingUnmapBytes));
  return result;
}

}  // namespace kvspan::node
