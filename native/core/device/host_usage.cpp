#include "device/host_usage.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <unordered_map>

namespace kvspan {
namespace {

// By inode: all memory of this kind is of one file system of the kernel's own.
using Extents = std::unordered_map<std::uint64_t, std::uint64_t>;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

std::string shownName() { return std::string("/memfd:") + kHostMemoryName + " (deleted)"; }

// What is open. False: not to be seen.
bool addOpen(const std::string& process, Extents& extents) {
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir((process + "/fd").c_str()));
  if (!folder) return false;
  const std::string wanted = shownName();
  const int at = ::dirfd(folder.get());
  while (const dirent* const entry = ::readdir(folder.get())) {
    char target[64];
    const ssize_t length = ::readlinkat(at, entry->d_name, target, sizeof target);
    if (length != static_cast<ssize_t>(wanted.size())) continue;
    if (std::memcmp(target, wanted.data(), wanted.size()) != 0) continue;
    struct stat status {};
    if (::fstatat(at, entry->d_name, &status, 0) != 0) continue;  // closed meanwhile
    extents[status.st_ino] = static_cast<std::uint64_t>(status.st_size);
  }
  return true;
}

// What is mapped, though its descriptor may be closed. A mapping is of a whole extent, but the kernel
// shows it in pieces where access differs. False: not to be seen.
bool addMapped(const std::string& process, Extents& extents) {
  std::ifstream maps(process + "/maps");
  if (!maps) return false;
  const std::string wanted = shownName();
  Extents mapped;
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with(wanted)) continue;
    unsigned long long start = 0, end = 0, offset = 0, inode = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx %*s %llx %*s %llu", &start, &end, &offset, &inode) != 4)
      continue;
    auto& bytes = mapped[inode];
    bytes = std::max<std::uint64_t>(bytes, offset + (end - start));
  }
  extents.merge(mapped);
  return true;
}

}  // namespace

std::optional<std::uint64_t> hostBytesOf(pid_t process) {
  const std::string folder = "/proc/" + std::to_string(process);
  Extents extents;
  // What is mapped while this looks is open before it is mapped, and is not counted twice.
  if (!addOpen(folder, extents) || !addMapped(folder, extents)) return std::nullopt;
  std::uint64_t bytes = 0;
  for (const auto& [inode, size] : extents) bytes += size;
  return bytes;
}

}  // namespace kvspan
