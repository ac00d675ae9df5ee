#include "lifetime.hpp"

#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <utility>

namespace kvspan::node {
namespace {

std::atomic<bool> exiting{false};

bool onMainThread() { return ::syscall(SYS_gettid) == ::getpid(); }

void pinLibrary() {
  Dl_info self{};
  if (::dladdr(reinterpret_cast<void*>(&prepareLifetime), &self) == 0) return;
  // The extra reference is never given back; NOLOAD: it is this library or none.
  (void)::dlopen(self.dli_fname, RTLD_NOW | RTLD_NODELETE | RTLD_NOLOAD);
}

}  // namespace

void prepareLifetime(Napi::Env env) {
  pinLibrary();
  // Hooks run last in, first out, and the environment's own came before this one: so the flag is
  // set before the finalizers of the objects still alive run.
  if (onMainThread()) env.AddCleanupHook([] { exiting.store(true); });
}

bool processExiting() noexcept { return exiting.load(); }

void bury(std::function<void()> close) noexcept {
  try {
    auto* body = new std::function<void()>(std::move(close));
    if (processExiting()) return;
    std::thread([body] {
      // A dropped object has nobody left to tell a failure to.
      try {
        (*body)();
        delete body;
      } catch (...) {
      }
    }).detach();
  } catch (...) {
    // No memory or no thread: leaking is what is left.
  }
}

}  // namespace kvspan::node
