// Promises of work that runs off the event loop.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "dispatcher.hpp"
#include "marshal.hpp"
#include "strand.hpp"

namespace kvspan::node {

// For functions that return promises: a bad argument rejects, it does not throw.
template <typename Body>
Napi::Value refusable(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (...) {
    const auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(currentJsError(env).Value());
    return deferred.Promise();
  }
}

inline Napi::Value resolved(Napi::Env env) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Resolve(env.Undefined());
  return deferred.Promise();
}

// Runs `work` on `strand`, then `toJs(env, result)` on the JavaScript thread, which settles the
// promise. Keeps the process alive until then. Both closures own what they use.
template <typename Work, typename ToJs>
Napi::Value promised(Napi::Env env, const std::shared_ptr<Dispatcher>& dispatcher, Strand& strand,
                     Work work, ToJs toJs) {
  using Result = std::invoke_result_t<Work>;
  const auto deferred = Napi::Promise::Deferred::New(env);
  strand.post([=]() mutable {
    auto result = std::make_shared<std::optional<Result>>();
    std::exception_ptr failure;
    try {
      result->emplace(work());
    } catch (...) {
      failure = std::current_exception();
    }
    dispatcher->complete([=](Napi::Env now) {
      dispatcher->letGo();
      try {
        if (failure) std::rethrow_exception(failure);
        deferred.Resolve(toJs(now, **result));
      } catch (...) {
        deferred.Reject(currentJsError(now).Value());
      }
    });
  });
  dispatcher->hold();
  return deferred.Promise();
}

}  // namespace kvspan::node
