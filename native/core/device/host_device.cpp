#include "device/host_device.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "device/host_memory.hpp"
#include "device/host_stream.hpp"
#include "device/host_usage.hpp"

namespace kvspan {
namespace {

// Without these a peer's ftruncate would kill every process that has the memory mapped (SIGBUS).
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr int kSealsAgainstWriting = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

// Memory that creation leaves to the rest of the machine: the kernel ends processes at zero.
constexpr std::uint64_t kLeftFreeBytes = 256ull << 20;
// How long a reading of the free memory stands, less what was created since.
constexpr auto kRoomReadingLife = std::chrono::milliseconds(50);

[[noreturn]] void throwErrno(const char* call, const std::string& what, int error) {
  const auto text = std::string(call) + ": " + what + ": " + std::strerror(error);
  switch (error) {
    case ENOMEM:
    case ENOSPC:
      throw Error(Code::DeviceExhausted,
                  text + " (out of memory, or of mappings: see vm.max_map_count)");
    case EMFILE:
    case ENFILE:
      throw Error(Code::DeviceExhausted, text + " (raise the limit of open files: ulimit -n)");
    default:
      throw Error(Code::DeviceFailed, text);
  }
}

void* pointer(Address at) { return reinterpret_cast<void*>(at); }

// Reserved addresses: no memory, no access. Neighbours of this kind merge into one mapping of the
// kernel's, so that vm.max_map_count is spent on extents only.
void* mapNothing(Address at, std::uint64_t bytes, int flags) {
  return ::mmap(pointer(at), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags,
                -1, 0);
}

// Anywhere, aligned: reserves one granule more and trims both ends.
Address reserveAligned(std::uint64_t bytes) {
  constexpr auto granule = kHostGranularityBytes;
  void* const found = mapNothing(0, bytes + granule, 0);
  if (found == MAP_FAILED) throwErrno("reserve", std::to_string(bytes) + " bytes", errno);
  const auto start = reinterpret_cast<Address>(found);
  const auto base = (start + granule - 1) / granule * granule;
  if (base > start) ::munmap(found, base - start);
  if (const auto tail = start + granule - base; tail > 0) ::munmap(pointer(base + bytes), tail);
  return base;
}

int protection(Access access) {
  if (access == Access::None) return PROT_NONE;
  return access == Access::Read ? PROT_READ : PROT_READ | PROT_WRITE;
}

// Backs the range and fills the page tables now, so that no first touch stalls the engine later.
// Returns 0 or an errno. Kernels before 5.14 cannot (EINVAL): there the first touch pays.
int populate(Address at, std::uint64_t bytes, Access access) {
  const int advice = access == Access::Read ? MADV_POPULATE_READ : MADV_POPULATE_WRITE;
  while (::madvise(pointer(at), bytes, advice) != 0) {
    if (errno == EAGAIN || errno == EINTR) continue;
    return errno == EINVAL ? 0 : errno;
  }
  return 0;
}

[[noreturn]] void refuseImport(int fd, const std::string& why) {
  throw Error(Code::InvalidArgument, "import: descriptor " + std::to_string(fd) + " " + why);
}

// A peer sent this descriptor: nothing about it is taken on trust.
void checkImport(int fd, std::uint64_t bytes) {
  struct stat status {};
  struct statfs system {};
  if (::fstat(fd, &status) != 0) refuseImport(fd, "is not open");
  if (!S_ISREG(status.st_mode) || ::fstatfs(fd, &system) != 0 || system.f_type != TMPFS_MAGIC) {
    refuseImport(fd, "is not memory");
  }
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) refuseImport(fd, "lacks the seals of an extent");
  if ((seals & kSealsAgainstWriting) != 0 || (::fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR) {
    refuseImport(fd, "cannot be written");
  }
  if (static_cast<std::uint64_t>(status.st_size) != bytes) {
    refuseImport(fd, "has " + std::to_string(status.st_size) + " bytes, expected " +
                         std::to_string(bytes));
  }
}

void copyRows(char* to, std::uint64_t toPitch, const char* from, std::uint64_t fromPitch,
              std::uint64_t width, std::uint64_t rows) {
  for (std::uint64_t row = 0; row < rows; ++row) {
    std::memcpy(to + row * toPitch, from + row * fromPitch, width);
  }
}

}  // namespace

HostDevice::HostDevice() = default;

HostDevice::~HostDevice() {
  for (const auto& range : book_.reservations()) ::munmap(pointer(range.at), range.bytes);
}

DeviceInfo HostDevice::info() const {
  const auto memory = readHostMemory();
  return {.backend = "host",
          .ordinal = 0,
          .name = hostCpuName(),
          .uuid = "",
          .driver = hostKernelRelease(),
          .granularityBytes = kHostGranularityBytes,
          .totalBytes = memory.totalBytes,
          .freeBytes = memory.freeBytes};
}

Address HostDevice::reserve(std::uint64_t bytes, Address wanted) {
  book_.checkBytes("reserve", bytes);
  Address base = 0;
  if (wanted != 0) {
    book_.checkRange("reserve", wanted, bytes);
    void* const found = mapNothing(wanted, bytes, MAP_FIXED_NOREPLACE);
    if (found == pointer(wanted)) {
      base = wanted;
    } else if (found != MAP_FAILED) {
      ::munmap(found, bytes);  // a kernel before 4.17, which takes the address for a hint
    }
  }
  if (base == 0) base = reserveAligned(bytes);
  book_.addReservation({base, bytes});
  return base;
}

void HostDevice::unreserve(Address base, std::uint64_t bytes) {
  book_.checkRange("unreserve", base, bytes);
  book_.removeReservation({base, bytes});
  if (::munmap(pointer(base), bytes) == 0) return;
  const int error = errno;
  book_.addReservation({base, bytes});  // still there, to be tried again
  throwErrno("unreserve", show({base, bytes}), error);
}

// The kernel hands out memory at the first touch and ends a process when there is none left, so
// what is created is held against what is free here, while it can still be refused.
void HostDevice::takeRoom(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - roomRead_ > kRoomReadingLife || bytes > roomBytes_) {
    const auto free = readHostMemory().freeBytes;
    roomBytes_ = free > kLeftFreeBytes ? free - kLeftFreeBytes : 0;
    roomRead_ = now;
  }
  if (bytes > roomBytes_) {
    throw Error(Code::DeviceExhausted,
                "create: " + std::to_string(bytes) + " bytes asked, " + std::to_string(roomBytes_) +
                    " free (" + std::to_string(kLeftFreeBytes) + " are left to the machine)");
  }
  roomBytes_ -= bytes;
}

Handle HostDevice::keep(UniqueFd fd, std::uint64_t bytes, Origin origin) {
  const std::lock_guard lock(mutex_);
  const Handle handle = ++lastHandle_;
  memory_.emplace(handle, std::make_shared<const UniqueFd>(std::move(fd)));
  book_.addHandle(handle, bytes, origin);
  return handle;
}

HostDevice::Memory HostDevice::memoryOf(const char* call, Handle handle) const {
  const std::lock_guard lock(mutex_);
  const auto found = memory_.find(handle);
  if (found != memory_.end()) return found->second;
  throw Error(Code::InvalidArgument,
              std::string(call) + ": handle " + hex(handle) + " is unknown or already released");
}

Handle HostDevice::create(std::uint64_t bytes) {
  book_.checkBytes("create", bytes);
  takeRoom(bytes);
  const auto size = std::to_string(bytes) + " bytes";
  UniqueFd fd(::memfd_create(kHostMemoryName, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throwErrno("create", size, errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) throwErrno("create", size, errno);
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) throwErrno("create", size, errno);
  return keep(std::move(fd), bytes, Origin::Created);
}

void HostDevice::release(Handle handle) {
  book_.removeHandle(handle);
  Memory last;  // closes the descriptor after the lock
  const std::lock_guard lock(mutex_);
  const auto found = memory_.find(handle);
  last = std::move(found->second);
  memory_.erase(found);
}

UniqueFd HostDevice::exportHandle(Handle handle) {
  book_.checkExportable(handle);
  UniqueFd copy(::fcntl(memoryOf("export", handle)->get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) throwErrno("export", "handle " + hex(handle), errno);
  return copy;
}

Handle HostDevice::importHandle(int fd, std::uint64_t bytes) {
  book_.checkBytes("import", bytes);
  checkImport(fd, bytes);
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throwErrno("import", std::to_string(bytes) + " bytes", errno);
  return keep(std::move(copy), bytes, Origin::Imported);
}

void HostDevice::map(Address at, Handle handle, std::uint64_t bytes) {
  book_.beginMap(at, handle, bytes);
  try {
    const auto memory = memoryOf("map", handle);
    void* const found =
        ::mmap(pointer(at), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, memory->get(), 0);
    if (found == MAP_FAILED) throwErrno("map", show({at, bytes}), errno);
  } catch (...) {
    book_.endMap(at, false);
    throw;
  }
  // A forked child would keep the memory alive without anyone's knowledge.
  ::madvise(pointer(at), bytes, MADV_DONTFORK);
  book_.endMap(at, true);
}

void HostDevice::access(Address at, std::uint64_t bytes, Access access) {
  const Range range{at, bytes};
  book_.beginAccess(range);
  int error = ::mprotect(pointer(at), bytes, protection(access)) == 0 ? 0 : errno;
  if (error == 0 && access != Access::None) error = populate(at, bytes, access);
  if (error != 0) {
    // Neither the old nor the new access holds everywhere; none is what can be promised.
    ::mprotect(pointer(at), bytes, PROT_NONE);
    book_.endAccess(range, Access::None);
    throwErrno("access", show(range), error);
  }
  book_.endAccess(range, access);
}

void HostDevice::unmap(Address at, std::uint64_t bytes) {
  const Range range{at, bytes};
  book_.beginUnmap(range);
  // Replaced in one step: there is no moment in which another mmap could take the addresses.
  const bool done = mapNothing(at, bytes, MAP_FIXED) != MAP_FAILED;
  const int error = errno;
  book_.endUnmap(range, done);
  if (!done) throwErrno("unmap", show(range), error);
}

std::unique_ptr<Fence> HostDevice::fence(Stream stream) { return hostFence(stream); }

void HostDevice::copyIn(Address to, std::uint64_t toPitch, const void* from,
                        std::uint64_t fromPitch, std::uint64_t width, std::uint64_t rows) {
  book_.checkCopy("copyIn", to, toPitch, width, rows, Access::ReadWrite);
  copyRows(static_cast<char*>(pointer(to)), toPitch, static_cast<const char*>(from), fromPitch,
           width, rows);
}

void HostDevice::copyOut(void* to, std::uint64_t toPitch, Address from, std::uint64_t fromPitch,
                         std::uint64_t width, std::uint64_t rows) {
  book_.checkCopy("copyOut", from, fromPitch, width, rows, Access::Read);
  copyRows(static_cast<char*>(to), toPitch, static_cast<const char*>(pointer(from)), fromPitch,
           width, rows);
}

}  // namespace kvspan
