// The rules that every device keeps, as one suite: each case is written once and runs against the
// backend that the command line names (device_contract_main.cpp).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/device.hpp"
#include "harness.hpp"

namespace kvspan::contract {

// The device under test, fresh for each case, and shorthands over it. What a case leaves behind
// goes with the device.
class Rig {
 public:
  explicit Rig(const DeviceOptions& options);

  const DeviceOptions& options() const { return options_; }
  Device& device() { return *device_; }
  std::shared_ptr<Device> shared() { return device_; }
  void closeDevice() { device_.reset(); }
  std::uint64_t page() const { return page_; }
  // Whether the CPU can touch the device's addresses: not so on a real GPU.
  bool cpuAddressable() const { return cpuAddressable_; }

  Address reserve(std::uint64_t pages) { return device_->reserve(pages * page_, 0); }
  Handle create(std::uint64_t pages) { return device_->create(pages * page_); }
  // Maps without access / with access.
  void map(Address at, Handle handle, std::uint64_t pages);
  void map(Address at, Handle handle, std::uint64_t pages, Access access);
  // A new reservation with a new handle mapped over all of it.
  Address mapped(std::uint64_t pages, Access access = Access::ReadWrite);

  void put(Address at, std::uint64_t value);
  std::uint64_t get(Address at);
  // Whether one word can be read / written there: asked of the kernel where the CPU can, so that
  // the backend's own bookkeeping is not what answers.
  bool readable(Address at);
  bool writable(Address at);

 private:
  DeviceOptions options_;
  std::shared_ptr<Device> device_;
  std::uint64_t page_;
  bool cpuAddressable_;
};

// Work on a stream that is pending until the test lets it complete, oldest first.
class HeldStream {
 public:
  static std::unique_ptr<HeldStream> open(Rig& rig);
  virtual ~HeldStream() = default;
  virtual Stream stream() const = 0;
  virtual void submit() = 0;
  virtual void complete() = 0;
};

// Waits for a fence, at most five seconds; false if it was not reached.
bool reachedSoon(Fence& fence);

struct ContractCase {
  std::string name;
  std::function<void(Rig&)> body;
};

std::vector<ContractCase>& contractCases();

struct RegisterContract {
  RegisterContract(std::string name, std::function<void(Rig&)> body) {
    contractCases().push_back({std::move(name), std::move(body)});
  }
};

// Another process with a device of its own, driven by commands (device_contract_peer.cpp).
class Peer {
 public:
  struct Request;
  struct Reply;

  explicit Peer(const DeviceOptions& options);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Creates, maps, fills every page's first word with `value` + page index, and exports.
  UniqueFd create(std::uint64_t bytes, std::uint64_t value);
  // Imports and maps read-write; several in turn lie at indices 0, 1, ...
  void import(int fd, std::uint64_t bytes);
  void put(std::uint32_t index, std::uint64_t offset, std::uint64_t value);
  std::uint64_t get(std::uint32_t index, std::uint64_t offset);
  // What exporting what it has at this index comes to: "" or the code of the error.
  std::string tryExport(std::uint32_t index);
  // Releases its handle at this index; the mapping stays.
  void release(std::uint32_t index);
  // Touches memory of its own in a forbidden way ("unmapped", "no-access", "read-only",
  // "unmapped-again") and is expected to die: the signal that ended it, or 0.
  int dieOf(const std::string& misuse);
  void kill();    // SIGKILL, and waits until it is gone
  void finish();  // lets it end by itself, and waits

 private:
  Reply call(const Request& request, int fd, UniqueFd* received);
  int wait();

  UniqueFd socket_;
  int pid_ = -1;
};

// The peer's own main; returns its exit status.
int runPeer(const DeviceOptions& options, int socket);

}  // namespace kvspan::contract

// KV_CONTRACT("a handle maps whole or not at all") { ... rig.device() ... }
#define KV_CONTRACT(name)                                                                       \
  static void KV_CONCAT(kvContract, __LINE__)(::kvspan::contract::Rig&);                        \
  static const ::kvspan::contract::RegisterContract KV_CONCAT(kvRegisterContract, __LINE__)(    \
      name, KV_CONCAT(kvContract, __LINE__));                                                   \
  static void KV_CONCAT(kvContract, __LINE__)([[maybe_unused]] ::kvspan::contract::Rig& rig)
#define KV_REFUSED(expression) KV_CHECK_THROWS(::kvspan::Code::InvalidArgument, expression)
