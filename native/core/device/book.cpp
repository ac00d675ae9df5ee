#include "device/book.hpp"

#include <cstdio>
#include <iterator>
#include <limits>

#include "base/error.hpp"

namespace kvspan {
namespace {

[[noreturn]] void refuse(const char* call, const std::string& why) {
  throw Error(Code::InvalidArgument, std::string(call) + ": " + why);
}

bool allows(Access have, Access needed) { return static_cast<int>(have) >= static_cast<int>(needed); }

}  // namespace

std::string hex(std::uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string show(Range range) {
  return "[" + hex(range.at) + ", +" + std::to_string(range.bytes) + ")";
}

void Book::checkBytes(const char* call, std::uint64_t bytes) const {
  if (bytes != 0 && bytes % granularity_ == 0) return;
  refuse(call, "bytes: got " + std::to_string(bytes) + ", allowed: a positive multiple of " +
                   std::to_string(granularity_));
}

void Book::checkRange(const char* call, Address at, std::uint64_t bytes) const {
  checkBytes(call, bytes);
  if (at == 0 || at % granularity_ != 0) {
    refuse(call, "address: got " + hex(at) + ", allowed: a multiple of " +
                     std::to_string(granularity_) + " other than 0");
  }
  if (bytes > std::numeric_limits<std::uint64_t>::max() - at) {
    refuse(call, show({at, bytes}) + " passes the end of the address space");
  }
}

void Book::addReservation(Range range) {
  const std::lock_guard lock(mutex_);
  reservations_.emplace(range.at, range.bytes);
}

void Book::removeReservation(Range range) {
  const std::lock_guard lock(mutex_);
  const auto found = reservations_.find(range.at);
  if (found == reservations_.end()) {
    refuse("unreserve", show(range) + " is not the beginning of a reservation");
  }
  if (found->second != range.bytes) {
    refuse("unreserve", show(range) + " is not the whole of a reservation, which has " +
                            std::to_string(found->second) + " bytes");
  }
  const auto mapped = mappings_.lower_bound(range.at);
  if (mapped != mappings_.end() && mapped->first < range.at + range.bytes) {
    refuse("unreserve", show(range) + " still has " +
                            show({mapped->first, mapped->second.bytes}) + " mapped");
  }
  reservations_.erase(found);
}

void Book::addHandle(Handle handle, std::uint64_t bytes, Origin origin) {
  const std::lock_guard lock(mutex_);
  auto& entry = handles_[handle];
  if (entry.count == 0) entry = {bytes, origin, 0};
  ++entry.count;
}

const Book::HandleEntry& Book::known(const char* call, Handle handle) const {
  const auto found = handles_.find(handle);
  if (found == handles_.end()) {
    refuse(call, "handle " + hex(handle) + " is unknown or already released");
  }
  return found->second;
}

Book::HandleFacts Book::removeHandle(Handle handle) {
  const std::lock_guard lock(mutex_);
  const HandleFacts facts{known("release", handle).bytes, known("release", handle).origin};
  const auto found = handles_.find(handle);
  if (--found->second.count == 0) handles_.erase(found);
  return facts;
}

void Book::checkExportable(Handle handle) const {
  const std::lock_guard lock(mutex_);
  if (known("export", handle).origin == Origin::Imported) {
    refuse("export", "handle " + hex(handle) + " was imported; only the creator can export it");
  }
}

void Book::checkInsideReservation(const char* call, Range range) const {
  auto after = reservations_.upper_bound(range.at);
  if (after != reservations_.begin()) {
    const auto& [base, bytes] = *std::prev(after);
    if (range.at - base < bytes && range.bytes <= bytes - (range.at - base)) return;
  }
  refuse(call, show(range) + " does not lie within one reservation");
}

void Book::beginMap(Address at, Handle handle, std::uint64_t bytes) {
  checkRange("map", at, bytes);
  const std::lock_guard lock(mutex_);
  const auto& entry = known("map", handle);
  if (entry.bytes != bytes) {
    refuse("map", "bytes: got " + std::to_string(bytes) + ", allowed: " +
                      std::to_string(entry.bytes) + ", the whole of handle " + hex(handle));
  }
  checkInsideReservation("map", {at, bytes});
  const auto next = mappings_.lower_bound(at);
  if (next != mappings_.end() && next->first < at + bytes) {
    refuse("map", show({at, bytes}) + " is taken by " + show({next->first, next->second.bytes}));
  }
  if (next != mappings_.begin()) {
    const auto& [before, mapping] = *std::prev(next);
    if (before + mapping.bytes > at) {
      refuse("map", show({at, bytes}) + " is taken by " + show({before, mapping.bytes}));
    }
  }
  mappings_.emplace_hint(next, at, Mapping{bytes, Access::None, true});
}

void Book::endMap(Address at, bool succeeded) {
  const std::lock_guard lock(mutex_);
  const auto found = mappings_.find(at);
  if (succeeded) {
    found->second.busy = false;
  } else {
    mappings_.erase(found);
  }
}

std::pair<Book::Mappings::iterator, Book::Mappings::iterator> Book::wholeMappings(
    const char* call, Range range) {
  const auto first = mappings_.find(range.at);
  auto last = first;
  Address end = range.at;
  while (last != mappings_.end() && last->first == end && end < range.at + range.bytes) {
    if (last->second.busy) refuse(call, show(range) + " is in use by another call");
    end += last->second.bytes;
    ++last;
  }
  if (end != range.at + range.bytes) {
    refuse(call, show(range) + " is not made of whole mappings without a gap (they end at " +
                     hex(end) + ")");
  }
  return {first, last};
}

void Book::setBusy(const char* call, Range range) {
  checkRange(call, range.at, range.bytes);
  const std::lock_guard lock(mutex_);
  checkInsideReservation(call, range);
  const auto [first, last] = wholeMappings(call, range);
  for (auto it = first; it != last; ++it) it->second.busy = true;
}

void Book::beginAccess(Range range) { setBusy("access", range); }

void Book::endAccess(Range range, Access now) {
  const std::lock_guard lock(mutex_);
  for (auto it = mappings_.find(range.at);
       it != mappings_.end() && it->first < range.at + range.bytes; ++it) {
    it->second.access = now;
    it->second.busy = false;
  }
}

Access Book::accessAt(Address at) const {
  const std::lock_guard lock(mutex_);
  const auto found = mappings_.find(at);
  return found == mappings_.end() ? Access::None : found->second.access;
}

void Book::beginUnmap(Range range) { setBusy("unmap", range); }

void Book::endUnmap(Range range, bool succeeded) {
  const std::lock_guard lock(mutex_);
  auto it = mappings_.find(range.at);
  while (it != mappings_.end() && it->first < range.at + range.bytes) {
    it->second.busy = false;
    it = succeeded ? mappings_.erase(it) : std::next(it);
  }
}

Address Book::reachOf(Range range, Access needed) const {
  auto it = mappings_.upper_bound(range.at);
  if (it != mappings_.begin()) --it;
  Address reached = range.at;
  for (; it != mappings_.end() && it->first <= reached && reached < range.at + range.bytes; ++it) {
    if (reached - it->first >= it->second.bytes || !allows(it->second.access, needed)) break;
    reached = it->first + it->second.bytes;
  }
  return reached;
}

void Book::checkRow(const char* call, Range row, Access needed) const {
  const Address reached = reachOf(row, needed);
  if (reached < row.at + row.bytes) {
    refuse(call, show(row) + " is not mapped " +
                     (needed == Access::Read ? "readable" : "writable") + " at " + hex(reached));
  }
}

void Book::checkCopy(const char* call, Address at, std::uint64_t pitch, std::uint64_t width,
                     std::uint64_t rows, Access needed) const {
  if (width == 0 || rows == 0) return;
  // One pitch of slack keeps the sum below from wrapping.
  const auto limit = std::numeric_limits<std::uint64_t>::max() / 4;
  if (rows > 1 && (pitch < width || pitch > limit / rows)) {
    refuse(call, "pitch: got " + std::to_string(pitch) + ", allowed: at least the width (" +
                     std::to_string(width) + ") and no wrap over " + std::to_string(rows) + " rows");
  }
  if (at > limit || width > limit) refuse(call, show({at, width}) + " is not an address range");
  const std::lock_guard lock(mutex_);
  if (pitch == width || rows == 1) return checkRow(call, {at, rows * width}, needed);
  for (std::uint64_t row = 0; row < rows; ++row) checkRow(call, {at + row * pitch, width}, needed);
}

bool Book::gapless(Range range, Access needed) const {
  const std::lock_guard lock(mutex_);
  return reachOf(range, needed) >= range.at + range.bytes;
}

std::vector<Range> Book::mappings() const {
  const std::lock_guard lock(mutex_);
  std::vector<Range> all;
  for (const auto& [at, mapping] : mappings_) all.push_back({at, mapping.bytes});
  return all;
}

std::vector<Range> Book::reservations() const {
  const std::lock_guard lock(mutex_);
  std::vector<Range> all;
  for (const auto& [at, bytes] : reservations_) all.push_back({at, bytes});
  return all;
}

std::vector<Handle> Book::handles() const {
  const std::lock_guard lock(mutex_);
  std::vector<Handle> all;
  for (const auto& [handle, entry] : handles_) all.insert(all.end(), entry.count, handle);
  return all;
}

}  // namespace kvspan
