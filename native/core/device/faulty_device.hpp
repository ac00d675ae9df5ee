// A decorator that fails chosen calls before they reach the device, for tests of what happens then.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/error.hpp"
#include "device/device.hpp"

namespace kvspan {

enum class Call : std::size_t {
  Reserve, Unreserve, Create, Release, Export, Import, Map, Access, Unmap, Fence, CopyIn, CopyOut,
};
inline constexpr std::size_t kCallCount = 12;

// Shared between a test and the device; any thread.
class FaultPlan {
 public:
  // Of the calls of this kind from now on, the `nth` (1: the next) and the `count - 1` after it
  // fail with `code` and have no effect. Replaces an earlier order for the same kind.
  void fail(Call call, std::uint64_t nth = 1, Code code = Code::DeviceFailed,
            std::uint64_t count = 1);
  // No more faults of any kind.
  void heal();
  // Calls of this kind so far, failed ones included.
  std::uint64_t calls(Call call) const;

  // For the device: counts the call and throws if it is one to fail.
  void enter(Call call);

 private:
  struct Order {
    std::uint64_t calls = 0;
    std::uint64_t failFrom = 0;  // in counts of `calls`
    std::uint64_t failUntil = 0;
    Code code = Code::DeviceFailed;
  };
  mutable std::mutex mutex_;
  std::array<Order, kCallCount> orders_{};
};

std::shared_ptr<Device> injectFaults(std::shared_ptr<Device> device,
                                     std::shared_ptr<FaultPlan> plan);

}  // namespace kvspan
