// Passes every call on to another device; a decorator overrides what it changes.
#pragma once

#include <memory>
#include <utility>

#include "device/device.hpp"

namespace kvspan {

class ForwardingDevice : public Device {
 public:
  explicit ForwardingDevice(std::shared_ptr<Device> inner) : inner_(std::move(inner)) {}

  DeviceInfo info() const override { return inner_->info(); }
  std::uint64_t granularity() const override { return inner_->granularity(); }
  Address reserve(std::uint64_t bytes, Address wanted) override {
    return inner_->reserve(bytes, wanted);
  }
  void unreserve(Address base, std::uint64_t bytes) override { inner_->unreserve(base, bytes); }
  Handle create(std::uint64_t bytes) override { return inner_->create(bytes); }
  void release(Handle handle) override { inner_->release(handle); }
  UniqueFd exportHandle(Handle handle) override { return inner_->exportHandle(handle); }
  Handle importHandle(int fd, std::uint64_t bytes) override {
    return inner_->importHandle(fd, bytes);
  }
  void map(Address at, Handle handle, std::uint64_t bytes) override {
    inner_->map(at, handle, bytes);
  }
  void access(Address at, std::uint64_t bytes, Access access) override {
    inner_->access(at, bytes, access);
  }
  void unmap(Address at, std::uint64_t bytes) override { inner_->unmap(at, bytes); }
  std::unique_ptr<Fence> fence(Stream stream) override { return inner_->fence(stream); }
  void copyIn(Address to, std::uint64_t toPitch, const void* from, std::uint64_t fromPitch,
              std::uint64_t width, std::uint64_t rows) override {
    inner_->copyIn(to, toPitch, from, fromPitch, width, rows);
  }
  void copyOut(void* to, std::uint64_t toPitch, Address from, std::uint64_t fromPitch,
               std::uint64_t width, std::uint64_t rows) override {
    inner_->copyOut(to, toPitch, from, fromPitch, width, rows);
  }

 private:
  std::shared_ptr<Device> inner_;
};

}  // namespace kvspan
