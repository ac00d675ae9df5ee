// The way from any thread back to JavaScript: one queue for events and for the completions of
// promises, so that both arrive in the order they were posted (a `returned` event before the
// promise of the `giveBack` that caused it).
//
// It keeps the process alive only while something is held: a promise to settle, an open server.
// Posting to it is safe for ever, also after its environment is gone; then nothing happens.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "napi.hpp"

namespace kvspan::node {

class Dispatcher : public std::enable_shared_from_this<Dispatcher> {
 public:
  using Event = std::function<Napi::Value(Napi::Env)>;
  using Completion = std::function<void(Napi::Env)>;

  // `onEvent` may be empty for a dispatcher of completions only.
  static std::shared_ptr<Dispatcher> create(Napi::Env env, const char* name, napi_value onEvent);

  // Any thread. `event` makes, on the JavaScript thread, the object that the callback is given; it
  // is dropped once the dispatcher is muted. A completion always runs while its environment lives.
  void event(Event event);
  void complete(Completion completion);

  // JavaScript thread only.
  void hold();
  void letGo();
  // No event is delivered from here on; the thread-safe function goes when nothing is held.
  void mute();

 private:
  struct Item;
  struct Handle;
  void post(std::unique_ptr<Item> item);
  void releaseIfIdle();
  void deliver(Napi::Env env, napi_value onEvent, Item& item);
  static void callJs(napi_env env, napi_value onEvent, void* context, void* data);
  static void finalize(napi_env env, void* data, void* context);

  std::mutex mutex_;  // guards function_: it may be used up to its finalizer, not after
  napi_threadsafe_function function_ = nullptr;
  // JavaScript thread only.
  napi_env env_ = nullptr;
  int held_ = 0;
  bool muted_ = false;
};

}  // namespace kvspan::node
