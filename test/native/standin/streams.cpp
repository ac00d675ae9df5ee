// Streams with a thread each, so that submitted work is pending until it has really run, and events.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "abi.hpp"

namespace standin {
namespace {

using Pointer = unsigned long long;

class StreamQueue {
 public:
  StreamQueue() : worker_([this] { run(); }) {}
  ~StreamQueue() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    worker_.join();
  }

  void submit(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
      ++pending_;
    }
    changed_.notify_all();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return pending_ == 0; });
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const auto work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      lock.lock();
      --pending_;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::size_t pending_ = 0;
  bool stopping_ = false;
  std::thread worker_;
};

using Clock = std::chrono::steady_clock;

struct Recording {
  std::atomic<bool> reached{false};
  Clock::time_point when;  // once it is reached
};

// An event knows only its latest recording, as the real one does.
struct Event {
  std::shared_ptr<Recording> recording;
  bool reached() const { return recording == nullptr || recording->reached; }
};

StreamQueue& queueOf(void* stream) {
  static auto* const defaultStream = new StreamQueue;
  return stream == nullptr ? *defaultStream : *static_cast<StreamQueue*>(stream);
}

}  // namespace

void submit(void* stream, std::function<void()> work) { queueOf(stream).submit(std::move(work)); }

}  // namespace standin

using namespace standin;

STANDIN_API cuStreamCreate(void** stream, unsigned flags) {
  if (const int result = needContext()) return result;
  if (flags > 1) return InvalidValue;
  *stream = new StreamQueue;
  return Success;
}

STANDIN_API cuStreamSynchronize(void* stream) {
  if (const int result = needContext()) return result;
  if (const int result = needNoCapture()) return result;
  queueOf(stream).wait();
  return Success;
}

STANDIN_API cuStreamDestroy_v2(void* stream) {
  if (const int result = needContext()) return result;
  if (stream == nullptr) return InvalidHandle;
  delete static_cast<StreamQueue*>(stream);
  return Success;
}

STANDIN_API cuLaunchHostFunc(void* stream, void (*function)(void*), void* argument) {
  if (const int result = needContext()) return result;
  queueOf(stream).submit([function, argument] { function(argument); });
  return Success;
}

STANDIN_API cuEventCreate(void** event, unsigned flags) {
  if (const int result = needContext()) return result;
  if (flags > 7) return InvalidValue;
  *event = new Event;
  return Success;
}

STANDIN_API cuEventRecord(void* event, void* stream) {
  if (const int result = needContext()) return result;
  auto recording = std::make_shared<Recording>();
  static_cast<Event*>(event)->recording = recording;
  queueOf(stream).submit([recording] {
    recording->when = Clock::now();
    recording->reached = true;
  });
  return Success;
}

STANDIN_API cuEventQuery(void* event) {
  if (const int result = needContext()) return result;
  if (const int result = needNoCapture()) return result;
  return static_cast<Event*>(event)->reached() ? Success : NotReady;
}

STANDIN_API cuEventElapsedTime(float* ms, void* from, void* to) {
  if (const int result = needContext()) return result;
  const auto& begin = *static_cast<Event*>(from);
  const auto& end = *static_cast<Event*>(to);
  if (begin.recording == nullptr || end.recording == nullptr) return InvalidHandle;
  if (!begin.reached() || !end.reached()) return NotReady;
  *ms = std::chrono::duration<float, std::milli>(end.recording->when - begin.recording->when).count();
  return Success;
}

STANDIN_API cuEventDestroy_v2(void* event) {
  // Whatever the answer is: a driver that has ended keeps nothing.
  delete static_cast<Event*>(event);
  return needContext();
}

STANDIN_API cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, std::size_t bytes,
                                 void* stream) {
  if (const int result = needContext()) return result;
  if (!copyable(to, bytes, true)) return InvalidValue;
  // As the real driver does with memory that is not pinned: it is the caller's again at once.
  const auto* const begin = static_cast<const char*>(from);
  const auto taken = std::make_shared<std::vector<char>>(begin, begin + bytes);
  queueOf(stream).submit(
      [=] { std::memcpy(reinterpret_cast<void*>(to), taken->data(), taken->size()); });
  return Success;
}

STANDIN_API cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, std::size_t bytes,
                                 void* stream) {
  if (const int result = needContext()) return result;
  if (!copyable(from, bytes, false)) return InvalidValue;
  queueOf(stream).submit([=] { std::memcpy(to, reinterpret_cast<const void*>(from), bytes); });
  return Success;
}

STANDIN_API cuMemcpy2DAsync_v2(const Copy2D* given, void* stream) {
  if (const int result = needContext()) return result;
  const Copy2D copy = *given;
  const bool in = copy.dstType == 2;
  if (copy.srcType != (in ? 1 : 2) || copy.dstType != (in ? 2 : 1)) return InvalidValue;
  if (copy.width > copy.srcPitch || copy.width > copy.dstPitch) return InvalidValue;
  const auto device = in ? copy.dstDevice : copy.srcDevice;
  const auto devicePitch = in ? copy.dstPitch : copy.srcPitch;
  // As the real driver: what lies between the rows must be mapped too.
  if (!copyable(device, (copy.height - 1) * devicePitch + copy.width, in)) return InvalidValue;
  queueOf(stream).submit([copy, in] {
    auto* to = static_cast<char*>(in ? reinterpret_cast<void*>(copy.dstDevice) : copy.dstHost);
    auto* from = static_cast<const char*>(in ? copy.srcHost
                                             : reinterpret_cast<const void*>(copy.srcDevice));
    for (std::size_t row = 0; row < copy.height; ++row) {
      std::memcpy(to + row * copy.dstPitch, from + row * copy.srcPitch, copy.width);
    }
  });
  return Success;
}
