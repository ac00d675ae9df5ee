// The seam between kvspan and a machine's memory: everything the product asks of a driver. Two
// backends implement it, `cuda` (the driver's virtual memory API) and `host` (memfd and mmap), and
// one contract suite (test/native/device_contract_*.cpp) holds both to the same rules:
//
//  * a handle maps whole or not at all; an unmap names whole mappings, one or many;
//  * mapped memory cannot be touched before `access` has said how; unmapped memory faults;
//  * one handle may be mapped at several addresses at once, each with its own access;
//  * an imported handle cannot be exported again;
//  * memory lives until the last handle, mapping and open fd of it is gone, in any process;
//  * fresh memory is zero.
//
// Everything else (tracing, fault injection, counting) is a decorator of this interface.
// Every call may be made from any thread. Failures throw `Error` with DeviceExhausted (no memory)
// or DeviceFailed / InvalidArgument and name the call; the first call of an owner that needs a
// context (DeviceOptions::ownerOnly) may throw DeviceUnavailable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.hpp"

namespace kvspan {

// An address of the device, valid in this process. 0 is no address.
using Address = std::uint64_t;

// One physical allocation as the driver knows it in this process. 0 is no handle.
using Handle = std::uint64_t;

// Work submitted in order: a CUstream, or a HostStream's id. 0 is the default stream.
using Stream = std::uint64_t;

enum class Access { None, Read, ReadWrite };

struct DeviceInfo {
  std::string backend;  // "host" or "cuda"
  int ordinal = 0;
  std::string name;
  std::string uuid;    // empty on host
  std::string driver;  // the driver's version, or the kernel's on host
  std::uint64_t granularityBytes = 0;
  std::uint64_t totalBytes = 0;
  std::uint64_t freeBytes = 0;
};

// A point in a stream. It is reached when all work submitted before it has completed.
class Fence {
 public:
  virtual ~Fence() = default;
  virtual bool reached() = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual DeviceInfo info() const = 0;
  // The unit of sizes and addresses, in bytes: 2 MiB on both backends.
  virtual std::uint64_t granularity() const = 0;

  // Addresses without memory. `wanted` (0: anywhere) is honoured if the range is free; otherwise
  // the range lies elsewhere. Aligned to the granularity.
  virtual Address reserve(std::uint64_t bytes, Address wanted) = 0;
  // The whole of one reservation, with nothing mapped in it.
  virtual void unreserve(Address base, std::uint64_t bytes) = 0;

  // Physical memory, exportable, zeroed.
  virtual Handle create(std::uint64_t bytes) = 0;
  // Gives up this process's handle. Mappings and other processes' imports keep the memory.
  virtual void release(Handle handle) = 0;
  virtual UniqueFd exportHandle(Handle handle) = 0;
  // Borrows `fd`; the caller closes it.
  virtual Handle importHandle(int fd, std::uint64_t bytes) = 0;

  virtual void map(Address at, Handle handle, std::uint64_t bytes) = 0;
  virtual void access(Address at, std::uint64_t bytes, Access access) = 0;
  virtual void unmap(Address at, std::uint64_t bytes) = 0;

  // Marks the present end of a stream.
  virtual std::unique_ptr<Fence> fence(Stream stream) = 0;

  // Reads and writes of mapped memory by the CPU, for tests, demo and simple clients: `rows` rows
  // of `width` bytes, with a pitch on either side (cuMemcpy2D; a loop of memcpy on host).
  // Blocks until done.
  virtual void copyIn(Address to, std::uint64_t toPitch, const void* from, std::uint64_t fromPitch,
                      std::uint64_t width, std::uint64_t rows) = 0;
  virtual void copyOut(void* to, std::uint64_t toPitch, Address from, std::uint64_t fromPitch,
                       std::uint64_t width, std::uint64_t rows) = 0;
};

struct DeviceOptions {
  std::string backend;  // "host" or "cuda"
  int ordinal = 0;
  std::string library;  // path of libcuda; empty: the system's libcuda.so.1
  // For a process that creates, exports and releases memory and maps none: the cuda backend then
  // makes no context, and keeps exporting cheap. Everything still works, at the context's price.
  bool ownerOnly = false;
};

// Opens a device. Throws DeviceUnavailable with the reason and what to do about it.
std::shared_ptr<Device> openDevice(const DeviceOptions& options);

}  // namespace kvspan
