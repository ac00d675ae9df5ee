#include "dispatcher.hpp"

#include <utility>

#include "marshal.hpp"

namespace kvspan::node {

struct Dispatcher::Item {
  Event event;
  Completion completion;
};

// What the thread-safe function owns: the dispatcher lives at least as long as it does.
struct Dispatcher::Handle {
  std::shared_ptr<Dispatcher> dispatcher;
};

std::shared_ptr<Dispatcher> Dispatcher::create(Napi::Env env, const char* name,
                                               napi_value onEvent) {
  auto dispatcher = std::make_shared<Dispatcher>();
  dispatcher->env_ = env;
  auto handle = std::make_unique<Handle>(Handle{dispatcher});
  const auto label = Napi::String::New(env, name);
  if (napi_create_threadsafe_function(env, onEvent, nullptr, label, 0, 1, nullptr, &finalize,
                                      handle.get(), &callJs, &dispatcher->function_) != napi_ok) {
    throw Error(Code::Internal, std::string("cannot make the thread-safe function of ") + name);
  }
  handle.release();
  napi_unref_threadsafe_function(env, dispatcher->function_);
  return dispatcher;
}

void Dispatcher::event(Event event) {
  post(std::make_unique<Item>(Item{std::move(event), nullptr}));
}

void Dispatcher::complete(Completion completion) {
  post(std::make_unique<Item>(Item{nullptr, std::move(completion)}));
}

void Dispatcher::post(std::unique_ptr<Item> item) {
  const std::lock_guard lock(mutex_);
  if (function_ == nullptr) return;
  if (napi_call_threadsafe_function(function_, item.get(), napi_tsfn_nonblocking) == napi_ok) {
    item.release();
  } else {
    function_ = nullptr;  // closing: it must not be touched again
  }
}

void Dispatcher::hold() {
  const std::lock_guard lock(mutex_);
  if (held_++ == 0 && function_ != nullptr) napi_ref_threadsafe_function(env_, function_);
}

void Dispatcher::letGo() {
  {
    const std::lock_guard lock(mutex_);
    if (--held_ == 0 && function_ != nullptr) napi_unref_threadsafe_function(env_, function_);
  }
  releaseIfIdle();
}

void Dispatcher::mute() {
  muted_ = true;
  releaseIfIdle();
}

void Dispatcher::releaseIfIdle() {
  if (!muted_ || held_ > 0) return;
  const std::lock_guard lock(mutex_);
  if (function_ != nullptr) {
    napi_release_threadsafe_function(std::exchange(function_, nullptr), napi_tsfn_release);
  }
}

void Dispatcher::deliver(Napi::Env env, napi_value onEvent, Item& item) {
  if (item.completion) return item.completion(env);
  if (muted_ || onEvent == nullptr) return;
  Napi::Function(env, onEvent).Call({item.event(env)});
}

void Dispatcher::callJs(napi_env rawEnv, napi_value onEvent, void* context, void* data) {
  const std::unique_ptr<Item> item(static_cast<Item*>(data));
  if (rawEnv == nullptr) return;  // the environment is gone; the item is only freed
  const auto dispatcher = static_cast<Handle*>(context)->dispatcher;
  const Napi::Env env(rawEnv);
  const Napi::HandleScope scope(env);
  try {
    dispatcher->deliver(env, onEvent, *item);
  } catch (...) {
    // What the callback threw is an uncaught exception like that of any other event handler.
    napi_fatal_exception(env, currentJsError(env).Value());
  }
}

void Dispatcher::finalize(napi_env, void*, void* context) {
  const std::unique_ptr<Handle> handle(static_cast<Handle*>(context));
  const std::lock_guard lock(handle->dispatcher->mutex_);
  handle->dispatcher->function_ = nullptr;
}

}  // namespace kvspan::node
