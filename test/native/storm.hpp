// Engines whose work on the device is still pending when they free their slots, while a storm takes
// memory back without a pause: idle spans, of which each may be unmapped only once its work is done,
// and the magazine. What the work is, whoever runs it says: kernels on a GPU
// (test/kernels/gpu/storm.cpp), copies over the stand-in driver (span_storm.cpp). Work that found its
// memory gone faults, or reads what it has not written.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "span_support.hpp"

namespace kvspan::test {

struct StormRequest {
  std::uint32_t slot = 0;
  std::uint32_t prompt = 0;  // tokens it was allocated with
  std::uint32_t length = 0;  // tokens it has grown to
};

// The work of one cache's requests, on one stream.
class StormWork {
 public:
  virtual ~StormWork() = default;
  virtual Stream stream() const = 0;
  // Writes every token of the requests and reads them again, in the stream's order; does not wait.
  virtual void submit(const std::vector<StormRequest>& requests, std::uint32_t seed) = 0;
  // Waits for what was submitted last; throws Failure if it has read what it had not written.
  virtual void verify() = 0;
};

struct StormEngine {
  std::shared_ptr<Cache> cache;
  std::unique_ptr<StormWork> work;
};

// Takes back and brings on a thread of its own, until it goes.
class Storm {
 public:
  // `poolPages`: what the session may hold; more than its engines use at once, or they wait for ever.
  Storm(Rig& rig, std::uint64_t poolPages, Rig::From from);
  ~Storm();
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;

  // Throws what went wrong on its thread.
  void check() const;
  void stop();

  // Unmapped because somebody wanted the memory back.
  std::uint64_t unmapped() const { return unmapped_; }
  // How often it asked for more than it got, because work on idle spans was pending.
  std::uint64_t heldBack() const { return heldBack_; }

 private:
  void run();
  void takeBack(std::uint64_t pages);

  Rig& rig_;
  const std::uint64_t poolPages_;
  const Rig::From from_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;
  std::atomic<std::uint64_t> unmapped_{0};
  std::atomic<std::uint64_t> heldBack_{0};
  std::thread thread_;
};

// At least so many rounds of every engine, and on until the storm has unmapped spans and has been held
// back by pending work: without either nothing was shown.
void rideOut(Storm& storm, std::vector<StormEngine>& engines, std::uint32_t rounds);

}  // namespace kvspan::test
