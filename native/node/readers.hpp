// Who reads a cache's mapped memory on other threads. A slot freed while it is read stays mapped
// until the readers are done: each life of a slot has a host stream of its own, every reader is a
// piece of its work, and `free` hands that stream to the cache as the one to wait for.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "device/device.hpp"

namespace kvspan::node {

class Readers {
 public:
  // One life of one slot. Gone, and its stream with it, once freed and read by nobody.
  class Life;

  // JavaScript thread: a reader of the slot begins. The result is passed to `end`, on any thread.
  std::shared_ptr<Life> begin(std::uint32_t slot);
  void end(const std::shared_ptr<Life>& life);

  // JavaScript thread: the slot's present life if somebody reads it; null else. Its stream stays
  // valid as long as the life is held.
  std::shared_ptr<Life> reading(std::uint32_t slot) const;
  static Stream streamOf(const Life& life);
  // JavaScript thread: the slot was freed.
  void endLife(std::uint32_t slot);
  // Blocks until nobody reads in this life.
  void waitIdle(const std::shared_ptr<Life>& life);
  // Blocks until nobody reads the cache.
  void waitIdle();

 private:
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::unordered_map<std::uint32_t, std::shared_ptr<Life>> lives_;
  std::uint64_t reading_ = 0;
};

}  // namespace kvspan::node
