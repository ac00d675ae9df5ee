// The extents of one message: created and exported on the daemon's side.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "channel/server.hpp"
#include "channel/wire.hpp"
#include "device/device.hpp"

namespace kvspan {

// Handles with one owner; whatever happens they are released.
class OwnedHandles {
 public:
  OwnedHandles() = default;
  explicit OwnedHandles(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  OwnedHandles(OwnedHandles&&) = default;
  OwnedHandles& operator=(OwnedHandles&& other) noexcept;
  ~OwnedHandles() { releaseFrom(0); }

  void reserve(std::size_t count) { handles_.reserve(count); }
  void add(Handle handle) { handles_.push_back(handle); }
  std::size_t size() const { return handles_.size(); }
  Handle back() const { return handles_.back(); }
  // Releases those from `first` on.
  void releaseFrom(std::size_t first) noexcept;

 private:
  std::shared_ptr<Device> device_;
  std::vector<Handle> handles_;
};

// Up to kFdsPerMessage extents ready to be sent. If the device failed, those before it are there.
struct Batch {
  OwnedHandles handles;
  std::vector<UniqueFd> fds;
  std::vector<wire::ExtentEntry> entries;
  bool failed = false;
  std::string failureCode;
  std::string failure;
};

Batch makeBatch(const std::shared_ptr<Device>& device, const GrantItem* items, std::size_t count);

}  // namespace kvspan
