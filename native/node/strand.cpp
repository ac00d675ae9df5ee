#include "strand.hpp"

#include <future>
#include <thread>
#include <utility>

namespace kvspan::node {

Strand::Strand(unsigned threads) : threadsMax_(threads) {}

Strand::~Strand() {
  const std::lock_guard lock(state_->mutex);
  state_->stopping = true;
  state_->wake.notify_all();
}

void Strand::post(std::function<void()> task) {
  const std::lock_guard lock(state_->mutex);
  if (threads_ < threadsMax_) {
    std::thread([state = state_] { run(state); }).detach();
    ++threads_;
  }
  state_->tasks.push_back(std::move(task));
  state_->wake.notify_one();
}

void Strand::drain() {
  // Shared with the task: a promise must outlive its own set_value, which the waiter may overtake.
  auto done = std::make_shared<std::promise<void>>();
  auto reached = done->get_future();
  post([done] { done->set_value(); });
  reached.wait();
}

void Strand::run(const std::shared_ptr<State>& state) {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(state->mutex);
      state->wake.wait(lock, [&] { return state->stopping || !state->tasks.empty(); });
      if (state->tasks.empty()) return;
      task = std::move(state->tasks.front());
      state->tasks.pop_front();
    }
    task();
  }
}

}  // namespace kvspan::node
