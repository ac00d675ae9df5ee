// What this process has reserved, created and mapped, and the rules of device.hpp over it. Both
// backends ask it before they call the driver: the host backend because the kernel knows no such
// rules, the cuda backend because the driver's answer to some misuse (a second release, a copy
// through unmapped addresses) is undefined or costs the whole context.
//
// A call that takes time is bracketed (`begin...`, `end...`), so that no lock is held meanwhile;
// ranges in between are busy and refused to everyone else.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "device/device.hpp"

namespace kvspan {

struct Range {
  Address at = 0;
  std::uint64_t bytes = 0;
};

enum class Origin { Created, Imported };

class Book {
 public:
  explicit Book(std::uint64_t granularity) : granularity_(granularity) {}

  // A size that can be created, reserved or mapped; throws InvalidArgument naming `call`.
  void checkBytes(const char* call, std::uint64_t bytes) const;
  // An address to map at, and its size; the range does not wrap.
  void checkRange(const char* call, Address at, std::uint64_t bytes) const;

  void addReservation(Range range);
  // Removes exactly this reservation; refused while anything is mapped in it.
  void removeReservation(Range range);

  // A driver may give the same value twice for one memory; it then takes two releases.
  void addHandle(Handle handle, std::uint64_t bytes, Origin origin);
  // Returns what has to be added again if the driver then fails to release it.
  struct HandleFacts {
    std::uint64_t bytes = 0;
    Origin origin = Origin::Created;
  };
  HandleFacts removeHandle(Handle handle);
  // Throws for a handle that is unknown, released or imported.
  void checkExportable(Handle handle) const;

  void beginMap(Address at, Handle handle, std::uint64_t bytes);
  void endMap(Address at, bool succeeded);
  void beginAccess(Range range);
  // `now`: what holds after the call, whether it succeeded or not.
  void endAccess(Range range, Access now);
  // The access of the range before the call: of its first mapping.
  Access accessAt(Address at) const;
  void beginUnmap(Range range);
  void endUnmap(Range range, bool succeeded);

  // Each of `rows` rows of `width` bytes, `pitch` apart, lies in mappings that allow it.
  void checkCopy(const char* call, Address at, std::uint64_t pitch, std::uint64_t width,
                 std::uint64_t rows, Access needed) const;
  // Mapped, with this access, from the first byte to the last.
  bool gapless(Range range, Access needed) const;

  // What is left, for a device that is closed.
  std::vector<Range> mappings() const;
  std::vector<Range> reservations() const;
  std::vector<Handle> handles() const;

 private:
  struct Mapping {
    std::uint64_t bytes = 0;
    Access access = Access::None;
    bool busy = false;
  };
  struct HandleEntry {
    std::uint64_t bytes = 0;
    Origin origin = Origin::Created;
    std::uint32_t count = 0;
  };
  using Mappings = std::map<Address, Mapping>;

  const HandleEntry& known(const char* call, Handle handle) const;
  void checkInsideReservation(const char* call, Range range) const;
  // The whole mappings that make up the range without a gap.
  std::pair<Mappings::iterator, Mappings::iterator> wholeMappings(const char* call, Range range);
  void setBusy(const char* call, Range range);
  // The first address from which the range is not mapped so; its end if it all is.
  Address reachOf(Range range, Access needed) const;
  void checkRow(const char* call, Range row, Access needed) const;

  const std::uint64_t granularity_;
  mutable std::mutex mutex_;
  std::map<Address, std::uint64_t> reservations_;
  Mappings mappings_;
  std::unordered_map<Handle, HandleEntry> handles_;
};

// "0x7f0000000000", and "[0x7f0000000000, +2097152)".
std::string hex(std::uint64_t value);
std::string show(Range range);

}  // namespace kvspan
