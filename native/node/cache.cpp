#include "cache.hpp"

#include <utility>

#include "classes.hpp"
#include "lifetime.hpp"
#include "marshal.hpp"
#include "promise.hpp"

namespace kvspan::node {
namespace {

// Rows of a slot and the buffer that they are copied from or to.
struct RowCopy {
  std::uint32_t slot, lane, firstToken, tokens, offset, width;
  Napi::Uint8Array data;
};

RowCopy toRowCopy(const Napi::CallbackInfo& info) {
  RowCopy copy{};
  copy.slot = toUint32(info[0], "slot");
  copy.lane = toUint32(info[1], "lane");
  copy.firstToken = toUint32(info[2], "firstToken");
  copy.tokens = toUint32(info[3], "tokens");
  copy.offset = toUint32(info[4], "offset");
  copy.width = toUint32(info[5], "width");
  copy.data = toUint8Array(info[6], "data");
  const std::uint64_t bytes = std::uint64_t{copy.tokens} * copy.width;
  if (copy.data.ByteLength() != bytes) {
    throw Error::badField("data", std::to_string(copy.data.ByteLength()) + " bytes",
                          "tokens x width = " + std::to_string(bytes) + " bytes");
  }
  return copy;
}

}  // namespace

CacheCore::~CacheCore() {
  if (!cache || closed || session->closed) return;
  bury([session = session, cache = cache] { cache->destroy(); });
}

Cache& CacheCore::open() const {
  if (session->closing) throw Error(Code::Closed, "the session is closed");
  if (closed) throw Error(Code::Closed, "the cache is closed");
  return *cache;
}

NativeCache::NativeCache(const Napi::CallbackInfo& info)
    : ObjectWrap(info), core_(constructed<CacheCore>(info)) {}

Napi::Function NativeCache::define(Napi::Env env) {
  return DefineClass(env, "NativeCache",
                     {InstanceAccessor<&NativeCache::base>("base", kReplaceableAccessor),
                      InstanceMethod<&NativeCache::step>("step", kReplaceable),
                      InstanceMethod<&NativeCache::stepDetail>("stepDetail", kReplaceable),
                      InstanceMethod<&NativeCache::allocate>("allocate", kReplaceable),
                      InstanceMethod<&NativeCache::allocatePromised>("allocatePromised",
                                                                     kReplaceable),
                      InstanceMethod<&NativeCache::allocateWarm>("allocateWarm", kReplaceable),
                      InstanceMethod<&NativeCache::hurry>("hurry", kReplaceable),
                      InstanceMethod<&NativeCache::promise>("promise", kReplaceable),
                      InstanceMethod<&NativeCache::free>("free", kReplaceable),
                      InstanceMethod<&NativeCache::length>("length", kReplaceable),
                      InstanceMethod<&NativeCache::mappedTokens>("mappedTokens", kReplaceable),
                      InstanceMethod<&NativeCache::write>("write", kReplaceable),
                      InstanceMethod<&NativeCache::read>("read", kReplaceable),
                      InstanceMethod<&NativeCache::attend>("attend", kReplaceable),
                      InstanceMethod<&NativeCache::stats>("stats", kReplaceable),
                      InstanceMethod<&NativeCache::destroy>("destroy", kReplaceable)});
}

Napi::Value NativeCache::base(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return fromUint64(info.Env(), core_->cache->base()); });
}

// The hot path: reads the array in place and gives a small integer, which is no allocation in V8.
Napi::Value NativeCache::step(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    napi_typedarray_type type{};
    std::size_t count = 0;
    void* lengths = nullptr;
    const napi_value given = info[0];
    if (napi_get_typedarray_info(env, given, &type, &count, &lengths, nullptr, nullptr) != napi_ok ||
        type != napi_int32_array) {
      toInt32Array(info[0], "lengths");  // says what is wrong
    }
    const StepReport& report =
        core_->open().step(static_cast<const std::int32_t*>(lengths), count);
    core_->last = &report;
    return Napi::Number::New(env, static_cast<std::int32_t>(report.outcome));
  });
}

Napi::Value NativeCache::stepDetail(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    core_->open();
    return fromStepReport(info.Env(), *core_->last);
  });
}

Napi::Value NativeCache::allocate(const Napi::CallbackInfo& info) {
  return allocateFor(info, false);
}

Napi::Value NativeCache::allocatePromised(const Napi::CallbackInfo& info) {
  return allocateFor(info, true);
}

Napi::Value NativeCache::allocateFor(const Napi::CallbackInfo& info, bool isPromised) {
  const Napi::Env env = info.Env();
  return refusable(env, [&]() -> Napi::Value {
    const auto tokens = toUint32(info[0], "tokens", 1, kInt32Max);
    const std::chrono::milliseconds patience(toUint32(info[1], "patienceMs", 0, kInt32Max));
    Cache& cache = core_->open();
    // Allocations run one after the other: who waits for memory must not keep the next from looking.
    cache.hurry();
    return promised(
        env, core_->session->dispatcher, core_->strand,
        [core = core_, tokens, patience, isPromised, hurries = cache.hurries()] {
          return core->cache->allocateAwaiting(tokens, patience, hurries, isPromised);
        },
        [core = core_](Napi::Env now, const AllocateReport& report) {
          // Live from the moment that JavaScript knows of it: `step` may have run meanwhile.
          if (report.slot >= 0) core->cache->announce(static_cast<std::uint32_t>(report.slot));
          return fromAllocateReport(now, report);
        });
  });
}

Napi::Value NativeCache::hurry(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    core_->open().hurry();
    return info.Env().Undefined();
  });
}

Napi::Value NativeCache::allocateWarm(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto tokens = toUint32(info[0], "tokens", 1, kInt32Max);
    return fromAllocateReport(info.Env(), core_->open().allocateWarm(tokens));
  });
}

Napi::Value NativeCache::promise(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto slot = toUint32(info[0], "slot");
    const bool isPromised = toBool(info[1], "promised");
    core_->open().promise(slot, isPromised);
    return info.Env().Undefined();
  });
}

Napi::Value NativeCache::free(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto slot = toUint32(info[0], "slot");
    const bool hasStream = !info[1].IsNull();
    const Stream stream = hasStream ? toUint64(info[1], "stream") : 0;
    Cache& cache = core_->open();
    const auto life = core_->readers.reading(slot);
    if (life && !hasStream) {
      cache.free(slot, true, Readers::streamOf(*life));
    } else {
      // Two things to wait for are one too many for the cache: the shorter is waited for here.
      if (life) core_->readers.waitIdle(life);
      cache.free(slot, hasStream, stream);
    }
    core_->readers.endLife(slot);
    return info.Env().Undefined();
  });
}

Napi::Value NativeCache::length(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto slot = toUint32(info[0], "slot");
    return Napi::Number::New(info.Env(), core_->open().length(slot));
  });
}

Napi::Value NativeCache::mappedTokens(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto slot = toUint32(info[0], "slot");
    return Napi::Number::New(info.Env(), core_->open().mappedTokens(slot));
  });
}

Napi::Value NativeCache::write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    RowCopy copy = toRowCopy(info);
    core_->open().write(copy.slot, copy.lane, copy.firstToken, copy.tokens, copy.offset, copy.width,
                        copy.data.Data());
    return info.Env().Undefined();
  });
}

Napi::Value NativeCache::read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    RowCopy copy = toRowCopy(info);
    core_->open().read(copy.slot, copy.lane, copy.firstToken, copy.tokens, copy.offset, copy.width,
                       copy.data.Data());
    return info.Env().Undefined();
  });
}

Napi::Value NativeCache::attend(const Napi::CallbackInfo& info) {
  return refusable(info.Env(), [&] { return attendSlot(info.Env(), core_, info[0], info[1]); });
}

Napi::Value NativeCache::stats(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return fromCacheStats(info.Env(), core_->open().stats()); });
}

Napi::Value NativeCache::destroy(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return refusable(env, [&]() -> Napi::Value {
    core_->closed = true;
    if (core_->session->closed) return resolved(env);
    core_->cache->hurry();
    return promised(
        env, core_->session->dispatcher, core_->strand,
        [core = core_] {
          core->readers.waitIdle();
          core->cache->destroy();
          return true;
        },
        [](Napi::Env now, bool) { return now.Undefined(); });
  });
}

void defineCache(Napi::Env env, Classes& classes) {
  classes.cache = Napi::Persistent(NativeCache::define(env));
}

}  // namespace kvspan::node
