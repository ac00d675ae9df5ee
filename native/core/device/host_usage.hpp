// The kernel's own account of the host backend's memory: which extents a process has.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace kvspan {

// The name that the host backend gives to its memory, as the kernel shows it.
inline constexpr const char* kHostMemoryName = "kvspan";

// The sizes of all extents that the process has open or mapped, each counted once. Nothing for a process
// that this one may not look at, or that is gone. Costs a few microseconds an extent.
std::optional<std::uint64_t> hostBytesOf(pid_t process);

}  // namespace kvspan
