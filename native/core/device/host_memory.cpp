#include "device/host_memory.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

namespace kvspan {
namespace {

constexpr std::uint64_t kKiB = 1024;
constexpr auto kUnlimited = std::numeric_limits<std::uint64_t>::max();

std::uint64_t meminfo(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t value = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    if (fields >> name >> value && name == key + ":") return value * kKiB;
  }
  return 0;
}

// Nothing for "max", for a missing file and for anything that is not a number.
std::optional<std::uint64_t> readNumber(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// Narrows `memory` by one control group's limit and use.
void narrow(HostMemory& memory, const std::string& limitFile, const std::string& usedFile) {
  const auto limit = readNumber(limitFile).value_or(kUnlimited);
  if (limit >= memory.totalBytes) return;
  const auto used = readNumber(usedFile).value_or(0);
  memory.totalBytes = limit;
  memory.freeBytes = std::min(memory.freeBytes, limit - std::min(limit, used));
}

// A limit may stand at any level above the process's own group.
void narrowUpwards(HostMemory& memory, const std::string& root, std::string group,
                   const std::string& limitName, const std::string& usedName) {
  while (true) {
    const auto folder = root + group + (group.ends_with('/') ? "" : "/");
    narrow(memory, folder + limitName, folder + usedName);
    const auto slash = group.find_last_of('/');
    if (slash == std::string::npos || group.size() <= 1) return;
    group.resize(std::max<std::size_t>(slash, 1));
  }
}

}  // namespace

HostMemory readHostMemory() {
  HostMemory memory{meminfo("MemTotal"), meminfo("MemAvailable")};
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto second = line.find(':', line.find(':') + 1);
    if (second == std::string::npos) continue;
    const auto group = line.substr(second + 1);
    if (line.starts_with("0::")) {
      narrowUpwards(memory, "/sys/fs/cgroup", group, "memory.max", "memory.current");
    } else if (line.find(":memory:") != std::string::npos) {
      narrowUpwards(memory, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                    "memory.usage_in_bytes");
    }
  }
  return memory;
}

std::string hostCpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const auto colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

std::string hostKernelRelease() {
  utsname names{};
  return ::uname(&names) == 0 ? names.release : "";
}

}  // namespace kvspan
