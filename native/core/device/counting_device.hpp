// A decorator that counts the driver calls of each thread, so that `step` can say, and tests and
// benchmarks can show, whether the engine's own thread entered the driver.
#pragma once

#include <cstdint>
#include <memory>

#include "device/device.hpp"

namespace kvspan {

// Calls that reached any counting device from the calling thread so far (reserve, unreserve,
// create, release, export, import, map, access, unmap, fence; not info, granularity, copies or
// Fence::reached).
std::uint64_t driverCallsOfThisThread() noexcept;

std::shared_ptr<Device> countCalls(std::shared_ptr<Device> device);

}  // namespace kvspan
