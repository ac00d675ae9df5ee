// Virtual memory management: reservations, allocations and mappings, by the real driver's rules.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "abi.hpp"

namespace standin {
namespace {

using Pointer = unsigned long long;

constexpr int kPosixFd = 1;
constexpr Pointer kFirstHandle = 0x5001;

struct Allocation {
  Allocation(int fd, std::size_t bytes, bool imported, bool exportable)
      : fd(fd), bytes(bytes), imported(imported), exportable(exportable) {
    if (!imported) addUsed(bytes);
  }
  ~Allocation() {
    ::close(fd);
    if (!imported) removeUsed(bytes);
  }
  const int fd;
  const std::size_t bytes;
  const bool imported;
  const bool exportable;
};

struct Mapping {
  std::shared_ptr<Allocation> allocation;
  int access = 0;
};

struct State {
  std::mutex mutex;
  std::map<Pointer, std::size_t> reservations;
  std::map<Pointer, Mapping> mappings;
  std::map<Pointer, std::shared_ptr<Allocation>> handles;
  Pointer nextHandle = kFirstHandle;
};

State& state() {
  static auto* const all = new State;  // outlives every thread of the process
  return *all;
}

bool aligned(Pointer value) { return value % kPage == 0; }
void* asPointer(Pointer at) { return reinterpret_cast<void*>(at); }

bool reserved(Pointer at, std::size_t bytes) {
  for (const auto& [base, size] : state().reservations) {
    if (at >= base && at + bytes <= base + size) return true;
  }
  return false;
}

// The first mapping that ends behind this address.
auto mappingFrom(Pointer at) {
  auto found = state().mappings.upper_bound(at);
  if (found == state().mappings.begin()) return found;
  const auto before = std::prev(found);
  return at < before->first + before->second.allocation->bytes ? before : found;
}

bool overlapsMapping(Pointer at, std::size_t bytes) {
  const auto found = mappingFrom(at);
  return found != state().mappings.end() && found->first < at + bytes;
}

// The range is exactly a row of whole mappings.
bool tiled(Pointer at, std::size_t bytes) {
  if (bytes == 0) return false;
  const Pointer end = at + bytes;
  while (at < end) {
    const auto found = state().mappings.find(at);
    if (found == state().mappings.end()) return false;
    at += found->second.allocation->bytes;
  }
  return at == end;
}

bool block(Pointer at, std::size_t bytes) {
  return ::mmap(asPointer(at), bytes, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

bool isOurs(int fd) {
  char target[64] = {};
  const auto link = "/proc/self/fd/" + std::to_string(fd);
  if (::readlink(link.c_str(), target, sizeof target - 1) < 0) return false;
  return std::strstr(target, kMemoryName) != nullptr;
}

Pointer keep(std::shared_ptr<Allocation> allocation) {
  const Pointer handle = state().nextHandle++;
  state().handles.emplace(handle, std::move(allocation));
  return handle;
}

}  // namespace

bool copyable(Pointer at, std::size_t bytes, bool write) {
  if (plain(at, bytes)) return true;
  const std::lock_guard lock(state().mutex);
  const Pointer end = at + bytes;
  auto found = mappingFrom(at);
  for (; at < end; ++found) {
    if (found == state().mappings.end() || found->first > at) return false;
    const int access = found->second.access;
    if (write ? access != 3 : (access & 1) == 0) return false;
    at = found->first + found->second.allocation->bytes;
  }
  return true;
}

}  // namespace standin

using namespace standin;

STANDIN_API cuMemGetAllocationGranularity(std::size_t* bytes, const AllocationProp* prop, int) {
  if (const int result = needDriver()) return result;
  if (prop->type != 1 || prop->location.type != 1) return InvalidValue;
  const char* const text = std::getenv("KVSPAN_STANDIN_GRANULARITY");
  *bytes = text != nullptr ? std::strtoull(text, nullptr, 10) : kPage;
  return Success;
}

STANDIN_API cuMemAddressReserve(unsigned long long* base, std::size_t bytes, std::size_t alignment,
                                unsigned long long wanted, unsigned long long flags) {
  if (const int result = needNoCapture()) return result;
  if (bytes == 0 || !aligned(bytes) || !aligned(wanted) || flags != 0) return InvalidValue;
  if (alignment != 0 && alignment != kPage) return InvalidValue;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const std::lock_guard lock(state().mutex);
  if (wanted != 0) {
    void* const at = ::mmap(asPointer(wanted), bytes, PROT_NONE, kFlags | MAP_FIXED_NOREPLACE, -1, 0);
    if (at == asPointer(wanted)) {
      state().reservations[wanted] = bytes;
      *base = wanted;
      return Success;
    }
    if (at != MAP_FAILED) ::munmap(at, bytes);
  }
  void* const raw = ::mmap(nullptr, bytes + kPage, PROT_NONE, kFlags, -1, 0);
  if (raw == MAP_FAILED) return OutOfMemory;
  const auto start = reinterpret_cast<Pointer>(raw);
  const Pointer found = (start + kPage - 1) & ~static_cast<Pointer>(kPage - 1);
  if (found > start) ::munmap(raw, found - start);
  if (start + kPage > found) ::munmap(asPointer(found + bytes), start + kPage - found);
  state().reservations[found] = bytes;
  *base = found;
  return Success;
}

STANDIN_API cuMemAddressFree(unsigned long long base, std::size_t bytes) {
  if (const int result = needNoCapture()) return result;
  const std::lock_guard lock(state().mutex);
  const auto found = state().reservations.find(base);
  if (found == state().reservations.end() || found->second != bytes) return InvalidValue;
  if (overlapsMapping(base, bytes)) return InvalidValue;
  ::munmap(asPointer(base), bytes);
  state().reservations.erase(found);
  return Success;
}

STANDIN_API cuMemCreate(unsigned long long* handle, std::size_t bytes, const AllocationProp* prop,
                        unsigned long long flags) {
  if (const int result = needNoCapture()) return result;
  if (bytes == 0 || !aligned(bytes) || flags != 0 || prop->type != 1) return InvalidValue;
  if (prop->location.type != 1 || prop->location.id != 0) return InvalidDevice;
  const std::lock_guard lock(state().mutex);
  if (bytes > totalBytes() || usedBytes() > totalBytes() - bytes) return OutOfMemory;
  const int fd = ::memfd_create(memoryName(), MFD_CLOEXEC);
  if (fd < 0) return OutOfMemory;
  if (::ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    ::close(fd);
    return OutOfMemory;
  }
  const bool exportable = prop->handleTypes == kPosixFd;
  *handle = keep(std::make_shared<Allocation>(fd, bytes, false, exportable));
  return Success;
}

STANDIN_API cuMemRelease(unsigned long long handle) {
  if (const int result = needNoCapture()) return result;
  const std::lock_guard lock(state().mutex);
  return state().handles.erase(handle) == 1 ? Success : InvalidValue;
}

STANDIN_API cuMemMap(unsigned long long at, std::size_t bytes, std::size_t offset,
                     unsigned long long handle, unsigned long long flags) {
  if (const int result = needNoCapture()) return result;
  const std::lock_guard lock(state().mutex);
  const auto found = state().handles.find(handle);
  if (found == state().handles.end() || flags != 0 || !aligned(at) || bytes == 0) {
    return InvalidValue;
  }
  const auto& allocation = found->second;
  if (offset != 0 || bytes != allocation->bytes) return NotSupported;
  if (!reserved(at, bytes) || overlapsMapping(at, bytes)) return InvalidValue;
  if (::mmap(asPointer(at), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, allocation->fd, 0) ==
      MAP_FAILED) {
    return OutOfMemory;
  }
  state().mappings[at] = {allocation, 0};
  return Success;
}

STANDIN_API cuMemSetAccess(unsigned long long at, std::size_t bytes, const AccessDesc* desc,
                           std::size_t count) {
  if (const int result = needNoCapture()) return result;
  if (count != 1 || desc->location.type != 1 || desc->location.id != 0) return InvalidValue;
  const int flags = desc->flags;
  if (flags != 0 && flags != 1 && flags != 3) return InvalidValue;
  const std::lock_guard lock(state().mutex);
  if (!tiled(at, bytes)) return InvalidValue;
  const int protection = flags == 0 ? PROT_NONE : flags == 1 ? PROT_READ : PROT_READ | PROT_WRITE;
  if (::mprotect(asPointer(at), bytes, protection) != 0) return OutOfMemory;
  for (auto it = state().mappings.find(at); it != state().mappings.end() && it->first < at + bytes;
       ++it) {
    it->second.access = flags;
  }
  return Success;
}

STANDIN_API cuMemUnmap(unsigned long long at, std::size_t bytes) {
  if (const int result = needNoCapture()) return result;
  const std::lock_guard lock(state().mutex);
  // As the real driver: where nothing is mapped there is nothing to object to.
  const bool sane = aligned(at) && bytes != 0 && reserved(at, bytes);
  if (sane && !overlapsMapping(at, bytes)) return Success;
  if (!tiled(at, bytes)) return InvalidValue;
  if (!block(at, bytes)) return OutOfMemory;
  auto& mappings = state().mappings;
  mappings.erase(mappings.find(at), mappings.lower_bound(at + bytes));
  return Success;
}

STANDIN_API cuMemExportToShareableHandle(void* out, unsigned long long handle, int type,
                                         unsigned long long flags) {
  if (const int result = needNoCapture()) return result;
  const std::lock_guard lock(state().mutex);
  const auto found = state().handles.find(handle);
  if (found == state().handles.end() || type != kPosixFd || flags != 0) return InvalidValue;
  if (found->second->imported || !found->second->exportable) return InvalidValue;
  // Without close-on-exec: the caller must not rely on it.
  const int fd = ::dup(found->second->fd);
  if (fd < 0) return OutOfMemory;
  std::memcpy(out, &fd, sizeof fd);
  return Success;
}

STANDIN_API cuMemImportFromShareableHandle(unsigned long long* handle, void* shared, int type) {
  if (const int result = needNoCapture()) return result;
  const int given = static_cast<int>(reinterpret_cast<std::uintptr_t>(shared));
  struct stat status {};
  if (type != kPosixFd || ::fstat(given, &status) != 0 || !isOurs(given)) return InvalidValue;
  const int fd = ::fcntl(given, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return OutOfMemory;
  const std::lock_guard lock(state().mutex);
  *handle = keep(std::make_shared<Allocation>(fd, static_cast<std::size_t>(status.st_size), true,
                                              false));
  return Success;
}
