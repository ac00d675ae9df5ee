#include "base/error.hpp"

#include <array>
#include <utility>

namespace kvspan {
namespace {

constexpr std::array<std::pair<Code, const char*>, 19> kNames{{
    {Code::InvalidArgument, "INVALID_ARGUMENT"},
    {Code::DeviceUnavailable, "DEVICE_UNAVAILABLE"},
    {Code::DeviceExhausted, "DEVICE_EXHAUSTED"},
    {Code::DeviceFailed, "DEVICE_FAILED"},
    {Code::ExtentUnknown, "EXTENT_UNKNOWN"},
    {Code::ExtentMapped, "EXTENT_MAPPED"},
    {Code::ExtentReturned, "EXTENT_RETURNED"},
    {Code::SlotUnknown, "SLOT_UNKNOWN"},
    {Code::SlotFreed, "SLOT_FREED"},
    {Code::SlotsExhausted, "SLOTS_EXHAUSTED"},
    {Code::Closed, "CLOSED"},
    {Code::PermissionDenied, "PERMISSION_DENIED"},
    {Code::DaemonUnavailable, "DAEMON_UNAVAILABLE"},
    {Code::SessionEvicted, "SESSION_EVICTED"},
    {Code::SessionLimit, "SESSION_LIMIT"},
    {Code::TenantUnknown, "TENANT_UNKNOWN"},
    {Code::Draining, "DRAINING"},
    {Code::Protocol, "PROTOCOL"},
    {Code::Internal, "INTERNAL"},
}};

}  // namespace

const char* codeName(Code code) noexcept {
  for (const auto& [known, name] : kNames) {
    if (known == code) return name;
  }
  return "INTERNAL";
}

Code codeFromName(const std::string& name) noexcept {
  for (const auto& [code, known] : kNames) {
    if (name == known) return code;
  }
  return Code::Internal;
}

Error Error::within(const std::string& path) const {
  if (field_.empty() || field_.starts_with(path)) return *this;
  Error error(code_, path + "." + what());
  error.field_ = path + "." + field_;
  return error;
}

Error Error::badField(const std::string& field, const std::string& given,
                      const std::string& allowed) {
  Error error(Code::InvalidArgument, field + ": got " + given + ", allowed: " + allowed);
  error.field_ = field;
  return error;
}

}  // namespace kvspan
