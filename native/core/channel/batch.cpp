#include "channel/batch.hpp"

#include <utility>

#include "base/error.hpp"

namespace kvspan {

OwnedHandles& OwnedHandles::operator=(OwnedHandles&& other) noexcept {
  if (this == &other) return *this;
  releaseFrom(0);
  device_ = std::move(other.device_);
  handles_ = std::exchange(other.handles_, {});
  return *this;
}

void OwnedHandles::releaseFrom(std::size_t first) noexcept {
  while (handles_.size() > first) {
    const Handle handle = handles_.back();
    handles_.pop_back();
    try {
      device_->release(handle);
    } catch (...) {
      // A driver that refuses a release leaves nothing to do; the rest is still given up.
    }
  }
}

Batch makeBatch(const std::shared_ptr<Device>& device, const GrantItem* items, std::size_t count) {
  Batch batch;
  try {
    batch.handles = OwnedHandles(device);
    batch.handles.reserve(count);
    batch.fds.reserve(count);
    batch.entries.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      batch.handles.add(device->create(items[i].bytes));
      batch.fds.push_back(device->exportHandle(batch.handles.back()));
      batch.entries.push_back({items[i].id, items[i].bytes});
    }
  } catch (const Error& error) {
    batch.failed = true;
    batch.failureCode = codeName(error.code());
    batch.failure = error.what();
  } catch (const std::exception& error) {
    batch.failed = true;
    batch.failureCode = codeName(Code::Internal);
    batch.failure = error.what();
  }
  // An extent that was created but not exported is of no use.
  batch.handles.releaseFrom(batch.entries.size());
  batch.fds.resize(batch.entries.size());
  return batch;
}

}  // namespace kvspan
