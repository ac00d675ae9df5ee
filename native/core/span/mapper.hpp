// The thread that works ahead of the engine: keeps the look-ahead of live slots mapped, and the
// magazine between its marks. It sleeps unless something has changed; it looks again by the clock
// only for what no event will tell: a fence, the end of a wait after a refusal.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "span/growth.hpp"
#include "span/session.hpp"

namespace kvspan {

class SessionCore;

// How often fences are looked at while someone waits for the memory behind them.
inline constexpr std::chrono::microseconds kFencePoll{500};
// Extents that have just come are not returned for being above the high-water mark: whoever asked
// for them has still to take them.
inline constexpr std::chrono::milliseconds kReturnDelay{100};
// After giving memory back the session does not at once ask for the same memory again.
inline constexpr std::chrono::milliseconds kGiveBackPause{100};
// Before work that failed in the driver is tried again.
inline constexpr std::chrono::milliseconds kFailurePause{50};

class Mapper {
 public:
  using Clock = std::chrono::steady_clock;
  using Need = std::function<void(const OrderCounts&)>;

  Mapper(SessionCore& core, SessionOptions options, Need need);
  ~Mapper() { stop(); }
  Mapper(const Mapper&) = delete;
  Mapper& operator=(const Mapper&) = delete;

  void start();
  // Returns when the thread has ended. Idempotent; not from the mapper's own callbacks.
  void stop();

  void wake();
  // Memory has become idle: of interest only if some is wanted.
  void memoryFreed() {
    if (memoryWanted_.load()) wake();
  }
  void extentsAdded();
  // Extents have gone from the magazine: of interest only if it is low now.
  void extentsTaken();
  void refillDone(std::uint32_t retryAfterMs);
  void gaveBack();
  // The last wish was answered and brought nothing.
  bool refused() const { return refused_.load(); }

 private:
  struct Pass {  // what one round has found out
    std::optional<Clock::time_point> again;
    void by(Clock::time_point when) { again = again ? std::min(*again, when) : when; }
  };

  void run();
  Pass pass();
  void refill(bool starved, Pass& pass);
  void wish(bool starved, Pass& pass);
  void trimForRefill(bool starved, Pass& pass);
  void returnSurplus(Pass& pass);
  OrderCounts wishCounts(bool starved) const;

  SessionCore& core_;
  const SessionOptions options_;
  const Need need_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool stopping_ = false;
  bool wishOpen_ = false;
  bool broughtSome_ = false;  // extents came since the last wish
  Clock::time_point wishNotBefore_{};
  Clock::time_point returnNotBefore_{};
  std::atomic<bool> refused_{false};
  std::atomic<bool> memoryWanted_{false};
  std::mutex threadMutex_;
  std::thread thread_;
};

}  // namespace kvspan
