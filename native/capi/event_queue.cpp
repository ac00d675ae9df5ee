#include "event_queue.hpp"

#include <algorithm>
#include <utility>

#include "boundary.hpp"

namespace kvspan::capi {

void EventQueue::push(Entry entry) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    entries_.push_back(std::move(entry));
  }
  wake_.notify_all();
}

void EventQueue::need(const OrderCounts& counts) {
  Entry entry;
  entry.event.kind = KVSPAN_EVENT_NEED;
  std::copy(counts.begin(), counts.end(), entry.event.counts);
  push(std::move(entry));
}

void EventQueue::returned(const std::vector<std::uint64_t>& ids) {
  {
    const std::lock_guard lock(mutex_);
    if (!entries_.empty() && entries_.back().event.kind == KVSPAN_EVENT_RETURNED) {
      auto& waiting = entries_.back().ids;
      waiting.insert(waiting.end(), ids.begin(), ids.end());
      return;
    }
  }
  Entry entry;
  entry.event.kind = KVSPAN_EVENT_RETURNED;
  entry.ids = ids;
  push(std::move(entry));
}

void EventQueue::granted(std::uint64_t grantId, std::uint32_t importedCount,
                         const std::string& failure) {
  Entry entry;
  entry.event.kind = KVSPAN_EVENT_GRANTED;
  entry.event.grant_id = grantId;
  entry.event.imported_count = importedCount;
  putText(entry.event.text, failure);
  push(std::move(entry));
}

void EventQueue::channelClosed(const std::string& reason) {
  Entry entry;
  entry.event.kind = KVSPAN_EVENT_CLOSED;
  putText(entry.event.text, reason);
  push(std::move(entry));
}

void EventQueue::mark() {
  Entry entry;
  entry.event.kind = KVSPAN_EVENT_MARK;
  push(std::move(entry));
}

bool EventQueue::next(std::chrono::milliseconds patience, kvspan_event& event, std::uint64_t* ids,
                      std::size_t capacity) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, patience, [&] { return closed_ || !entries_.empty(); });
  if (closed_) return false;
  event = kvspan_event{};
  if (entries_.empty()) return true;
  Entry& first = entries_.front();
  event = first.event;
  const std::size_t count = std::min(capacity, first.ids.size());
  std::copy_n(first.ids.begin(), count, ids);
  event.id_count = count;
  if (count == first.ids.size()) {
    entries_.pop_front();
  } else {
    first.ids.erase(first.ids.begin(), first.ids.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return true;
}

void EventQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    entries_.clear();
  }
  wake_.notify_all();
}

}  // namespace kvspan::capi
