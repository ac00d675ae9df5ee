// A real stream of the driver (or of the stand-in), asked for by the driver's own names, with host
// functions on it that block until the test lets them go: work that is pending for as long as the
// test wants.
#pragma once

#include <dlfcn.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>

#include "device/device.hpp"
#include "harness.hpp"

namespace kvspan::test {

class CudaStream {
 public:
  explicit CudaStream(const std::string& library) {
    library_ = ::dlopen(library.empty() ? "libcuda.so.1" : library.c_str(), RTLD_NOW);
    if (library_ == nullptr) throw Failure("cannot open libcuda again");
    void* context = nullptr;
    check(call<int(void**, int)>("cuDevicePrimaryCtxRetain")(&context, 0));
    check(call<int(void*)>("cuCtxPushCurrent_v2")(context));
    check(call<int(void**, unsigned)>("cuStreamCreate")(&stream_, kNonBlocking));
  }
  // Lets everything go first: a failed check must not leave a thread waiting for the work.
  ~CudaStream() {
    {
      const std::lock_guard lock(mutex_);
      allowed_ = submitted_;
    }
    changed_.notify_all();
    call<int(void*)>("cuStreamSynchronize")(stream_);
    call<int(void*)>("cuStreamDestroy_v2")(stream_);
    void* context = nullptr;
    call<int(void**)>("cuCtxPopCurrent_v2")(&context);
    call<int(int)>("cuDevicePrimaryCtxRelease_v2")(0);
  }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  Stream stream() const { return reinterpret_cast<Stream>(stream_); }
  // One more piece of work / lets the oldest go.
  void submit() {
    ++submitted_;
    check(call<int(void*, void (*)(void*), void*)>("cuLaunchHostFunc")(stream_, &block, this));
  }
  void complete() {
    {
      const std::lock_guard lock(mutex_);
      ++allowed_;
    }
    changed_.notify_all();
  }

  // Work of the device, in the stream's order; the host's bytes stay where they are until it is done.
  void copyIn(Address to, const void* from, std::size_t bytes) {
    check(call<int(Address, const void*, std::size_t, void*)>("cuMemcpyHtoDAsync_v2")(
        to, from, bytes, stream_));
  }
  void copyOut(void* to, Address from, std::size_t bytes) {
    check(call<int(void*, Address, std::size_t, void*)>("cuMemcpyDtoHAsync_v2")(to, from, bytes,
                                                                                stream_));
  }
  // Keeps what comes after it pending for so long.
  void dally(const std::chrono::microseconds& time) {
    check(call<int(void*, void (*)(void*), void*)>("cuLaunchHostFunc")(
        stream_, &sleep, const_cast<std::chrono::microseconds*>(&time)));
  }
  void synchronize() { check(call<int(void*)>("cuStreamSynchronize")(stream_)); }

  // Captures a graph in the driver's default mode, the one that engines use; this thread ends it.
  void beginCapture() {
    check(call<int(void*, int)>("cuStreamBeginCapture_v2")(stream_, kCaptureGlobal));
  }
  // The driver's result: not 0 if a call from elsewhere has broken the capture off.
  int endCapture() {
    void* graph = nullptr;
    const int result = call<int(void*, void**)>("cuStreamEndCapture")(stream_, &graph);
    if (graph != nullptr) call<int(void*)>("cuGraphDestroy")(graph);
    return result;
  }

 private:
  static constexpr unsigned kNonBlocking = 1;
  static constexpr int kCaptureGlobal = 0;

  static void sleep(void* time) {
    std::this_thread::sleep_for(*static_cast<const std::chrono::microseconds*>(time));
  }
  static void block(void* self) {
    auto& held = *static_cast<CudaStream*>(self);
    std::unique_lock lock(held.mutex_);
    const auto turn = ++held.started_;
    held.changed_.wait(lock, [&] { return held.allowed_ >= turn; });
  }
  template <typename F>
  F* call(const char* name) {
    return reinterpret_cast<F*>(::dlsym(library_, name));
  }
  static void check(int result) {
    if (result != 0) throw Failure("driver call failed: " + std::to_string(result));
  }

  void* library_ = nullptr;
  void* stream_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t submitted_ = 0;
  std::uint64_t started_ = 0;
  std::uint64_t allowed_ = 0;
};

}  // namespace kvspan::test
