// NativeSession: a serving process's memory and its way to the daemon. It does not keep the process
// alive by itself; a promise that is pending does.
#include <memory>
#include <utility>
#include <vector>

#include "cache.hpp"
#include "classes.hpp"
#include "marshal.hpp"
#include "promise.hpp"
#include "session_core.hpp"

namespace kvspan::node {
namespace {

constexpr std::size_t kSocketPathBytesMax = 107;  // sun_path, without its NUL
constexpr std::size_t kNameBytesMax = 63;         // wire::Hello, without its NUL

CachePlan toPlan(Napi::Value value) {
  const Fields fields(value, "plan");
  CachePlan plan;
  plan.wantedBase = fields.uint64("wantedBase");
  plan.totalBytes = fields.uint64("totalBytes");
  plan.laneCount = fields.uint32("laneCount");
  plan.rowBytes = fields.uint64("rowBytes");
  plan.slotStrideBytes = fields.uint64("slotStrideBytes");
  plan.laneStrideBytes = fields.uint64("laneStrideBytes");
  plan.slotCount = fields.uint32("slotCount");
  // Lengths are given as int32.
  plan.maxTokens = fields.uint32("maxTokens", 0, kInt32Max);
  return plan;
}

CacheOptions toCacheOptions(Napi::Value value) {
  const Fields fields(value, "options");
  CacheOptions options;
  const auto growth = toWord(fields.at("growth"), fields.path("growth"), {"geometric", "linear"});
  options.growth = growth == "linear" ? Growth::Linear : Growth::Geometric;
  options.lookaheadTokens = fields.uint32("lookaheadTokens", 0, kInt32Max);
  options.overreadTokens = fields.uint32("overreadTokens", 0, kInt32Max);
  return options;
}

Napi::Value fromWelcome(Napi::Env env, const ClientWelcome& welcome) {
  auto token = Napi::Uint8Array::New(env, sizeof welcome.token);
  std::copy(std::begin(welcome.token), std::end(welcome.token), token.Data());
  auto result = Napi::Object::New(env);
  result.Set("sessionId", fromUint64(env, welcome.sessionId));
  result.Set("token", token);
  result.Set("servicePath", welcome.servicePath);
  return result;
}

class NativeSession : public Napi::ObjectWrap<NativeSession> {
 public:
  explicit NativeSession(const Napi::CallbackInfo& info)
      : ObjectWrap(info), core_(constructed<SessionCore>(info)) {}

  ~NativeSession() override { core_->dispatcher->mute(); }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeSession",
                       {InstanceAccessor<&NativeSession::device>("device", kReplaceableAccessor),
                        InstanceMethod<&NativeSession::connect>("connect", kReplaceable),
                        InstanceMethod<&NativeSession::disconnect>("disconnect", kReplaceable),
                        InstanceMethod<&NativeSession::createCache>("createCache", kReplaceable),
                        InstanceMethod<&NativeSession::refillDone>("refillDone", kReplaceable),
                        InstanceMethod<&NativeSession::giveBack>("giveBack", kReplaceable),
                        InstanceMethod<&NativeSession::keep>("keep", kReplaceable),
                        InstanceMethod<&NativeSession::unkeep>("unkeep", kReplaceable),
                        InstanceMethod<&NativeSession::returnExtents>("returnExtents", kReplaceable),
                        InstanceMethod<&NativeSession::pauseReleases>("pauseReleases", kReplaceable),
                        InstanceMethod<&NativeSession::resumeReleases>("resumeReleases", kReplaceable),
                        InstanceMethod<&NativeSession::held>("held", kReplaceable),
                        InstanceMethod<&NativeSession::stats>("stats", kReplaceable),
                        InstanceMethod<&NativeSession::close>("close", kReplaceable)});
  }

 private:
  Session& open() const {
    if (core_->closing) throw Error(Code::Closed, "the session is closed");
    return *core_->session;
  }

  Napi::Value device(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return fromDeviceInfo(info.Env(), core_->device->info()); });
  }

  Napi::Value connect(const Napi::CallbackInfo& info) {
    return refusable(info.Env(), [&]() -> Napi::Value {
      const auto path = toText(info[0], "path", kSocketPathBytesMax);
      const auto name = toText(info[1], "name", kNameBytesMax);
      const auto timeoutMs = toUint32(info[2], "timeoutMs", 1);
      open();
      return promised(
          info.Env(), core_->dispatcher, core_->link,
          [core = core_, path, name, timeoutMs] { return core->connect(path, name, timeoutMs); },
          fromWelcome);
    });
  }

  Napi::Value disconnect(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      open();
      core_->link.post([core = core_] { core->disconnect(); });
      return info.Env().Undefined();
    });
  }

  Napi::Value createCache(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto plan = toPlan(info[0]);
      const auto options = toCacheOptions(info[1]);
      auto cache = std::make_shared<CacheCore>();
      cache->session = core_;
      cache->cache = open().createCache(plan, options);
      std::erase_if(core_->caches, [](const auto& other) { return other.expired(); });
      core_->caches.push_back(cache);
      auto object = construct(classesOf(info.Env()).cache, cache);
      NativeCache::Unwrap(object)->keep(info.This().As<Napi::Object>());
      return object;
    });
  }

  Napi::Value refillDone(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto retryAfterMs = toUint32(info[0], "retryAfterMs");
      open().refillDone(retryAfterMs);
      return info.Env().Undefined();
    });
  }

  Napi::Value giveBack(const Napi::CallbackInfo& info) {
    return refusable(info.Env(), [&]() -> Napi::Value {
      const auto bytes = toUint64(info[0], "bytes");
      open();
      return promised(
          info.Env(), core_->dispatcher, core_->work,
          [core = core_, bytes] { return core->session->giveBack(bytes); }, fromUint64);
    });
  }

  Napi::Value keep(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto bytes = toUint64(info[0], "bytes");
      open().keep(bytes);
      return info.Env().Undefined();
    });
  }

  Napi::Value unkeep(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto bytes = toUint64(info[0], "bytes");
      open().unkeep(bytes);
      return info.Env().Undefined();
    });
  }

  Napi::Value returnExtents(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto ids = toBigUint64Array(info[0], "extentIds");
      open().returnExtents({ids.Data(), ids.Data() + ids.ElementLength()});
      return info.Env().Undefined();
    });
  }

  Napi::Value pauseReleases(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      open().pauseReleases();
      return info.Env().Undefined();
    });
  }

  Napi::Value resumeReleases(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      open().resumeReleases();
      return info.Env().Undefined();
    });
  }

  Napi::Value held(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      std::vector<std::uint64_t> pairs;
      for (const Extent& extent : open().held()) {
        pairs.push_back(extent.id);
        pairs.push_back(extent.bytes);
      }
      return fromIds(info.Env(), pairs);
    });
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return fromSessionStats(info.Env(), open().stats()); });
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    return refusable(info.Env(), [&]() -> Napi::Value {
      core_->closing = true;
      if (core_->closed) return resolved(info.Env());
      std::vector<std::shared_ptr<CacheCore>> caches;
      for (const auto& weak : core_->caches) {
        if (auto cache = weak.lock()) caches.push_back(std::move(cache));
      }
      return promised(
          info.Env(), core_->dispatcher, core_->work,
          [core = core_, caches = std::move(caches)] {
            core->close(caches);
            return true;
          },
          [core = core_](Napi::Env env, bool) {
            core->closed = true;
            core->dispatcher->mute();
            return env.Undefined();
          });
    });
  }

  std::shared_ptr<SessionCore> core_;
};

}  // namespace

void defineSession(Napi::Env env, Classes& classes) {
  classes.session = Napi::Persistent(NativeSession::define(env));
}

Napi::Value openSession(const Napi::CallbackInfo& info) {
  const Fields fields(info[0], "options");
  const auto deviceOptions = toDeviceOptions(fields.at("device"), fields.path("device"));
  SessionOptions options;
  options.lowWaterBytes = fields.uint64("lowWaterBytes");
  options.highWaterBytes = fields.uint64("highWaterBytes");
  const auto onEvent = toFunction(info[1], "onEvent");

  auto device = kvspan::openDevice(deviceOptions);
  auto dispatcher = Dispatcher::create(info.Env(), "kvspan session", onEvent);
  try {
    auto core = std::make_shared<SessionCore>(std::move(device), options, dispatcher);
    return construct(classesOf(info.Env()).session, core);
  } catch (...) {
    dispatcher->mute();
    throw;
  }
}

}  // namespace kvspan::node
