// Errors of the native core: a code of the closed set in proto/errors.ts, and a sentence.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace kvspan {

// The codes that native code raises; `codeName` spells them as proto/errors.ts does.
enum class Code {
  InvalidArgument,
  DeviceUnavailable,  // no such backend, library, device or driver
  DeviceExhausted,    // the device has no memory for it
  DeviceFailed,       // any other failed driver or system call
  ExtentUnknown,
  ExtentMapped,
  ExtentReturned,
  SlotUnknown,
  SlotFreed,
  SlotsExhausted,
  Closed,
  PermissionDenied,
  DaemonUnavailable,
  SessionEvicted,
  SessionLimit,
  TenantUnknown,
  Draining,
  Protocol,
  Internal,
};

const char* codeName(Code code) noexcept;
// The code spelled so, or Code::Internal.
Code codeFromName(const std::string& name) noexcept;

class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  // Bad input: names the field, what was given and what is allowed.
  static Error badField(const std::string& field, const std::string& given,
                        const std::string& allowed);
  // The same of a field that is a part of `path`; as it is if it names none, or has its path already.
  Error within(const std::string& path) const;
  Code code() const noexcept { return code_; }
  // The field at fault; empty if none is.
  const std::string& field() const noexcept { return field_; }

 private:
  Code code_;
  std::string field_;
};

}  // namespace kvspan
