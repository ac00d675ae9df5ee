#include "readers.hpp"

#include "device/host_stream.hpp"

namespace kvspan::node {

class Readers::Life {
 public:
  Life() : stream(createHostStream()) {}
  ~Life() { destroyHostStream(stream); }
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;

  const Stream stream;
  std::uint32_t reading = 0;  // guarded by the owner's mutex
};

std::shared_ptr<Readers::Life> Readers::begin(std::uint32_t slot) {
  const std::lock_guard lock(mutex_);
  auto& life = lives_[slot];
  if (!life) life = std::make_shared<Life>();
  hostStreamSubmit(life->stream);
  ++life->reading;
  ++reading_;
  return life;
}

void Readers::end(const std::shared_ptr<Life>& life) {
  const std::lock_guard lock(mutex_);
  hostStreamComplete(life->stream);
  --life->reading;
  --reading_;
  idle_.notify_all();
}

std::shared_ptr<Readers::Life> Readers::reading(std::uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  const auto found = lives_.find(slot);
  return found == lives_.end() || found->second->reading == 0 ? nullptr : found->second;
}

Stream Readers::streamOf(const Life& life) { return life.stream; }

void Readers::endLife(std::uint32_t slot) {
  const std::lock_guard lock(mutex_);
  lives_.erase(slot);
}

void Readers::waitIdle(const std::shared_ptr<Life>& life) {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return life->reading == 0; });
}

void Readers::waitIdle() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return reading_ == 0; });
}

}  // namespace kvspan::node
