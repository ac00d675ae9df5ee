// What the core's threads tell, until somebody asks. Nobody is called back: a callback into another
// language's runtime, on a thread that it does not know, is what breaks at process exit.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "kvspan.h"
#include "span/session.hpp"

namespace kvspan::capi {

class EventQueue {
 public:
  void need(const OrderCounts& counts);
  // Joined to the last event if that is of the same kind: many small releases make one message.
  void returned(const std::vector<std::uint64_t>& ids);
  void granted(std::uint64_t grantId, std::uint32_t importedCount, const std::string& failure);
  void channelClosed(const std::string& reason);
  void mark();

  // Fills `event`, and `ids` up to `capacity`. False: the queue was closed.
  bool next(std::chrono::milliseconds patience, kvspan_event& event, std::uint64_t* ids,
            std::size_t capacity);
  void close();

 private:
  struct Entry {
    kvspan_event event{};
    std::vector<std::uint64_t> ids;
  };
  void push(Entry entry);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Entry> entries_;
  bool closed_ = false;
};

}  // namespace kvspan::capi
