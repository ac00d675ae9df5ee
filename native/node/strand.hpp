// Threads that run tasks in the order they were posted: with one thread, a strand (a cache's or a
// session's blocking calls, one at a time); with more, a pool. They start with the first task, are
// never joined (a task may wait for a fence or a peer as long as that takes) and own what they use.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace kvspan::node {

class Strand {
 public:
  explicit Strand(unsigned threads = 1);
  // The threads finish what was posted, then end.
  ~Strand();
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;

  void post(std::function<void()> task);
  // Blocks until everything posted so far has run; a strand of one thread only.
  void drain();

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::function<void()>> tasks;
    bool stopping = false;
  };
  static void run(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_ = std::make_shared<State>();
  unsigned threadsMax_;
  unsigned threads_ = 0;  // guarded by state_->mutex
};

}  // namespace kvspan::node
