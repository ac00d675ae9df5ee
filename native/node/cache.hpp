// A cache as the addon holds it. `step`, `free`, `write` and `read` run on the JavaScript thread,
// `allocate` and `destroy` on the cache's strand, in the order of their calls; the native cache
// serialises the two. `attend` reads on a pool, guarded by `readers`.
#pragma once

#include <memory>

#include "napi.hpp"
#include "readers.hpp"
#include "session_core.hpp"
#include "span/session.hpp"
#include "strand.hpp"

namespace kvspan::node {

struct CacheCore {
  CacheCore() = default;
  CacheCore(const CacheCore&) = delete;
  CacheCore& operator=(const CacheCore&) = delete;
  // Dropped undestroyed: destroyed on a thread of its own.
  ~CacheCore();

  std::shared_ptr<SessionCore> session;
  std::shared_ptr<Cache> cache;
  Strand strand;
  Readers readers;

  // JavaScript thread only.
  bool closed = false;
  StepReport none;
  const StepReport* last = &none;

  // Throws if the cache, or its session, was closed.
  Cache& open() const;
};

class NativeCache : public Napi::ObjectWrap<NativeCache> {
 public:
  explicit NativeCache(const Napi::CallbackInfo& info);
  static Napi::Function define(Napi::Env env);
  // Keeps the session's object, whose end would close the session, as long as this one.
  void keep(Napi::Object session) { session_ = Napi::Persistent(session); }

 private:
  Napi::Value base(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value stepDetail(const Napi::CallbackInfo& info);
  Napi::Value allocate(const Napi::CallbackInfo& info);
  Napi::Value allocateWarm(const Napi::CallbackInfo& info);
  Napi::Value hurry(const Napi::CallbackInfo& info);
  Napi::Value allocatePromised(const Napi::CallbackInfo& info);
  Napi::Value allocateFor(const Napi::CallbackInfo& info, bool isPromised);
  Napi::Value promise(const Napi::CallbackInfo& info);
  Napi::Value free(const Napi::CallbackInfo& info);
  Napi::Value length(const Napi::CallbackInfo& info);
  Napi::Value mappedTokens(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value attend(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value destroy(const Napi::CallbackInfo& info);

  std::shared_ptr<CacheCore> core_;
  Napi::ObjectReference session_;
};

// NativeCache.attend (attention.cpp).
Napi::Value attendSlot(Napi::Env env, const std::shared_ptr<CacheCore>& core, Napi::Value slot,
                       Napi::Value request);

Napi::Value fromAllocateReport(Napi::Env env, const AllocateReport& report);
Napi::Value fromStepReport(Napi::Env env, const StepReport& report);
Napi::Value fromCacheStats(Napi::Env env, const CacheStats& stats);
Napi::Value fromSessionStats(Napi::Env env, const SessionStats& stats);

}  // namespace kvspan::node
