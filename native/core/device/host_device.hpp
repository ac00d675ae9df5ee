// The `host` backend: an extent is a sealed memfd, a mapping is an mmap of it, and the rules of
// device.hpp hold as they do on a GPU. For development, tests and machines without one.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "device/book.hpp"
#include "device/device.hpp"

namespace kvspan {

inline constexpr std::uint64_t kHostGranularityBytes = 2ull << 20;

class HostDevice final : public Device {
 public:
  HostDevice();
  // Gives back every range that is still reserved, with all that is mapped in it.
  ~HostDevice() override;

  DeviceInfo info() const override;
  std::uint64_t granularity() const override { return kHostGranularityBytes; }
  Address reserve(std::uint64_t bytes, Address wanted) override;
  void unreserve(Address base, std::uint64_t bytes) override;
  Handle create(std::uint64_t bytes) override;
  void release(Handle handle) override;
  UniqueFd exportHandle(Handle handle) override;
  Handle importHandle(int fd, std::uint64_t bytes) override;
  void map(Address at, Handle handle, std::uint64_t bytes) override;
  void access(Address at, std::uint64_t bytes, Access access) override;
  void unmap(Address at, std::uint64_t bytes) override;
  std::unique_ptr<Fence> fence(Stream stream) override;
  void copyIn(Address to, std::uint64_t toPitch, const void* from, std::uint64_t fromPitch,
              std::uint64_t width, std::uint64_t rows) override;
  void copyOut(void* to, std::uint64_t toPitch, Address from, std::uint64_t fromPitch,
               std::uint64_t width, std::uint64_t rows) override;

 private:
  using Memory = std::shared_ptr<const UniqueFd>;

  Handle keep(UniqueFd fd, std::uint64_t bytes, Origin origin);
  Memory memoryOf(const char* call, Handle handle) const;
  void takeRoom(std::uint64_t bytes);

  Book book_{kHostGranularityBytes};
  mutable std::mutex mutex_;
  std::unordered_map<Handle, Memory> memory_;
  Handle lastHandle_ = 0;
  // What may still be created before the kernel is asked again how much is free.
  std::uint64_t roomBytes_ = 0;
  std::chrono::steady_clock::time_point roomRead_{};
};

}  // namespace kvspan
