// JavaScript values in, checked C++ values out. Each getter takes the value's path ("plan.laneCount")
// and refuses what does not fit exactly: other types, NaN, fractions, negative or too large numbers,
// BigInts that 64 bits do not hold. A refusal is an Error(InvalidArgument) that names the path, what
// was given and what is allowed, and is raised before anything was done.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "device/device.hpp"
#include "napi.hpp"
#include "span/session.hpp"

namespace kvspan::node {

inline constexpr std::uint32_t kUint32Max = std::numeric_limits<std::uint32_t>::max();
inline constexpr std::int32_t kInt32Max = std::numeric_limits<std::int32_t>::max();
inline constexpr std::uint64_t kUint64Max = std::numeric_limits<std::uint64_t>::max();
// A path or a name longer than this is a mistake.
inline constexpr std::size_t kTextBytesMax = 4096;

// The value as a refusal shows it: `string "4"`, `number 1.5`, `bigint -1`, `Float64Array`, `null`.
std::string show(Napi::Value value);

std::uint32_t toUint32(Napi::Value value, const std::string& path, std::uint32_t min = 0,
                       std::uint32_t max = kUint32Max);
bool toBool(Napi::Value value, const std::string& path);
std::uint64_t toUint64(Napi::Value value, const std::string& path, std::uint64_t min = 0,
                       std::uint64_t max = kUint64Max);
double toFinite(Napi::Value value, const std::string& path);
std::string toText(Napi::Value value, const std::string& path, std::size_t bytesMax = kTextBytesMax);
// Null gives ''.
std::string toTextOrNull(Napi::Value value, const std::string& path);
// One of a closed set of words.
std::string toWord(Napi::Value value, const std::string& path,
                   std::initializer_list<const char*> words);
Napi::Function toFunction(Napi::Value value, const std::string& path);

Napi::Int32Array toInt32Array(Napi::Value value, const std::string& path);
Napi::Uint8Array toUint8Array(Napi::Value value, const std::string& path);
Napi::Float32Array toFloat32Array(Napi::Value value, const std::string& path);
Napi::BigUint64Array toBigUint64Array(Napi::Value value, const std::string& path);

// The fields of an object argument, each with its full path.
class Fields {
 public:
  // Throws unless `value` is an object.
  Fields(Napi::Value value, std::string path);
  Napi::Value at(const char* name) const { return object_.Get(name); }
  std::string path(const char* name) const { return path_ + "." + name; }

  std::uint32_t uint32(const char* name, std::uint32_t min = 0, std::uint32_t max = kUint32Max) const {
    return toUint32(at(name), path(name), min, max);
  }
  std::uint64_t uint64(const char* name) const { return toUint64(at(name), path(name)); }
  std::string text(const char* name) const { return toText(at(name), path(name)); }

 private:
  Napi::Object object_;
  std::string path_;
};

DeviceOptions toDeviceOptions(Napi::Value value, const std::string& path);

Napi::Value fromUint64(Napi::Env env, std::uint64_t value);
// Sizes and counts of statistics; exact up to 2^53.
Napi::Value fromCount(Napi::Env env, std::uint64_t value);
Napi::Value fromCounts(Napi::Env env, const OrderCounts& counts);
Napi::Value fromIds(Napi::Env env, const std::vector<std::uint64_t>& ids);
Napi::Object fromDeviceInfo(Napi::Env env, const DeviceInfo& info);

// A JavaScript Error with `code` and `field`.
Napi::Error toJsError(Napi::Env env, const Error& error);
// Whatever is in flight, as a JavaScript Error; to be called in a catch block.
Napi::Error currentJsError(Napi::Env env);

// Runs `body` and lets only Napi::Error out: the outermost layer of every exported function.
template <typename Body>
auto guarded(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw currentJsError(env);
  }
}

}  // namespace kvspan::node
