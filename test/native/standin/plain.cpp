// Plain device memory, as cuMemAlloc gives it: ordinary memory, counted against the device.
#include <sys/mman.h>

#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "abi.hpp"

namespace standin {
namespace {

using Pointer = unsigned long long;

struct State {
  std::mutex mutex;
  std::map<Pointer, std::size_t> allocations;
};

State& state() {
  static auto* const all = new State;  // outlives every thread of the process
  return *all;
}

}  // namespace

bool plain(Pointer at, std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  const auto after = state().allocations.upper_bound(at);
  if (after == state().allocations.begin()) return false;
  const auto& [base, size] = *std::prev(after);
  return at + bytes <= base + size;
}

}  // namespace standin

using namespace standin;

STANDIN_API cuMemAlloc_v2(unsigned long long* at, std::size_t bytes) {
  if (const int result = needContext()) return result;
  if (const int result = needNoCapture()) return result;
  if (bytes == 0) return InvalidValue;
  if (bytes > totalBytes() || usedBytes() > totalBytes() - bytes) return OutOfMemory;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const found = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (found == MAP_FAILED) return OutOfMemory;
  addUsed(bytes);
  *at = reinterpret_cast<Pointer>(found);
  const std::lock_guard lock(state().mutex);
  state().allocations[*at] = bytes;
  return Success;
}

STANDIN_API cuMemFree_v2(unsigned long long at) {
  if (const int result = needContext()) return result;
  if (const int result = needNoCapture()) return result;
  const std::lock_guard lock(state().mutex);
  const auto found = state().allocations.find(at);
  if (found == state().allocations.end()) return InvalidValue;
  ::munmap(reinterpret_cast<void*>(at), found->second);
  removeUsed(found->second);
  state().allocations.erase(found);
  return Success;
}

STANDIN_API cuMemsetD8Async(unsigned long long at, unsigned char byte, std::size_t bytes,
                            void* stream) {
  if (const int result = needContext()) return result;
  if (!copyable(at, bytes, true)) return InvalidValue;
  if (lacks("copies")) return Success;
  submit(stream, [=] { std::memset(reinterpret_cast<void*>(at), byte, bytes); });
  return Success;
}

STANDIN_API cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, std::size_t bytes,
                                 void* stream) {
  if (const int result = needContext()) return result;
  if (!copyable(from, bytes, false) || !copyable(to, bytes, true)) return InvalidValue;
  if (lacks("copies")) return Success;
  submit(stream, [=] {
    std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
  });
  return Success;
}
