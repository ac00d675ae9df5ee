// How much of the device is taken. A real device counts what all processes hold; here each counts its
// own, unless KVSPAN_STANDIN_SHARED names a device to share: then every allocation looks through the
// descriptors of all processes for its memory. Slow, exact, and nothing to clean up after a kill.
#include <dirent.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include <unistd.h>

#include "abi.hpp"

namespace standin {
namespace {

std::atomic<std::size_t> own{0};

const char* sharedDevice() { return std::getenv("KVSPAN_STANDIN_SHARED"); }

// Calls `body` with the path of each entry of a folder.
template <typename Body>
void eachEntry(const std::string& folder, Body&& body) {
  DIR* const entries = ::opendir(folder.c_str());
  if (entries == nullptr) return;  // the process has ended, or is another user's
  while (const dirent* const entry = ::readdir(entries)) {
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') body(folder + "/" + entry->d_name);
  }
  ::closedir(entries);
}

std::size_t takenByAll() {
  std::map<ino_t, std::size_t> memories;
  eachEntry("/proc", [&](const std::string& process) {
    eachEntry(process + "/fd", [&](const std::string& path) {
      char target[64] = {};
      struct stat status {};
      if (::readlink(path.c_str(), target, sizeof target - 1) < 0) return;
      if (std::strstr(target, memoryName()) == nullptr) return;
      if (::stat(path.c_str(), &status) != 0) return;
      memories[status.st_ino] = static_cast<std::size_t>(status.st_size);
    });
  });
  std::size_t bytes = 0;
  for (const auto& [inode, size] : memories) bytes += size;
  return bytes;
}

}  // namespace

std::size_t usedBytes() {
  return sharedDevice() != nullptr ? takenByAll() : own.load();
}

const char* memoryName() {
  static const auto* const name = new std::string(
      kMemoryName + (sharedDevice() != nullptr ? std::string("-of-") + sharedDevice() : ""));
  return name->c_str();
}

void addUsed(std::size_t bytes) { own += bytes; }
void removeUsed(std::size_t bytes) { own -= bytes; }

}  // namespace standin
