// The classes of one environment, and how an instance is made: only from here. A constructor that
// JavaScript calls by itself has nothing to wrap and throws.
#pragma once

#include <memory>
#include <utility>

#include "base/error.hpp"
#include "dispatcher.hpp"
#include "napi.hpp"
#include "strand.hpp"

namespace kvspan::node {

struct Classes {
  Napi::FunctionReference device, server, session, cache, rawDevice;
  Napi::FunctionReference kernels, kernelBatch, decodePlan, prefillPlan;
  // For promises that belong to no session.
  std::shared_ptr<Dispatcher> dispatcher;
};

inline Classes& classesOf(Napi::Env env) { return *env.GetInstanceData<Classes>(); }

template <typename Inner>
Napi::Object construct(const Napi::FunctionReference& constructor, std::shared_ptr<Inner> inner) {
  return constructor.New({Napi::External<std::shared_ptr<Inner>>::New(constructor.Env(), &inner)});
}

template <typename Inner>
std::shared_ptr<Inner> constructed(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  }
  return *info[0].As<Napi::External<std::shared_ptr<Inner>>>().Data();
}

// What each file adds to the module.
void defineDevice(Napi::Env env, Classes& classes);
void defineServer(Napi::Env env, Classes& classes);
void defineSession(Napi::Env env, Classes& classes);
void defineCache(Napi::Env env, Classes& classes);
void defineRawDevice(Napi::Env env, Classes& classes);
void defineKernels(Napi::Env env, Classes& classes);
void defineKernelPlans(Napi::Env env, Classes& classes);

Napi::Value openDevice(const Napi::CallbackInfo& info);
Napi::Value listen(const Napi::CallbackInfo& info);
Napi::Value openSession(const Napi::CallbackInfo& info);
Napi::Value openRawDevice(const Napi::CallbackInfo& info);
Napi::Value openKernels(const Napi::CallbackInfo& info);
Napi::Value attendBuffer(const Napi::CallbackInfo& info);
Napi::Value createHostStream(const Napi::CallbackInfo& info);
Napi::Value hostStreamSubmit(const Napi::CallbackInfo& info);
Napi::Value hostStreamComplete(const Napi::CallbackInfo& info);
Napi::Value growFdTable(const Napi::CallbackInfo& info);
Napi::Value lockFile(const Napi::CallbackInfo& info);
Napi::Value setUmask(const Napi::CallbackInfo& info);
Napi::Value readUsage(const Napi::CallbackInfo& info);

}  // namespace kvspan::node
