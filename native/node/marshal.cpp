#include "marshal.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace kvspan::node {
namespace {

constexpr std::size_t kShownBytesMax = 80;

// As it can stand in a C string and on one line: control characters escaped, and what is too long
// cut between two UTF-8 sequences.
std::string quoted(const std::string& text) {
  std::size_t end = std::min(text.size(), kShownBytesMax);
  while (end < text.size() && end > 0 && (text[end] & 0xc0) == 0x80) --end;
  std::string shown = "\"";
  for (const unsigned char byte : text.substr(0, end)) {
    if (byte >= 0x20 && byte != 0x7f) {
      shown += static_cast<char>(byte);
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      shown += escaped;
    }
  }
  return shown + (end < text.size() ? "...\"" : "\"");
}

const char* arrayName(napi_typedarray_type type) {
  switch (type) {
    case napi_int8_array: return "Int8Array";
    case napi_uint8_array: return "Uint8Array";
    case napi_uint8_clamped_array: return "Uint8ClampedArray";
    case napi_int16_array: return "Int16Array";
    case napi_uint16_array: return "Uint16Array";
    case napi_int32_array: return "Int32Array";
    case napi_uint32_array: return "Uint32Array";
    case napi_float32_array: return "Float32Array";
    case napi_float64_array: return "Float64Array";
    case napi_bigint64_array: return "BigInt64Array";
    case napi_biguint64_array: return "BigUint64Array";
    default: return "typed array";
  }
}

[[noreturn]] void refuse(Napi::Value value, const std::string& path, const std::string& allowed) {
  throw Error::badField(path, show(value), allowed);
}

std::string range(const char* what, std::uint64_t min, std::uint64_t max) {
  return std::string(what) + " " + std::to_string(min) + ".." + std::to_string(max);
}

template <typename Array>
Array toTypedArray(Napi::Value value, const std::string& path, napi_typedarray_type type) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    refuse(value, path, arrayName(type));
  }
  return value.As<Array>();
}

}  // namespace

std::string show(Napi::Value value) {
  if (value.IsString()) return "string " + quoted(value.As<Napi::String>().Utf8Value());
  if (value.IsNumber()) return "number " + value.ToString().Utf8Value();
  if (value.IsBigInt()) return "bigint " + value.ToString().Utf8Value();
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value() ? "true" : "false";
  if (value.IsNull()) return "null";
  if (value.IsEmpty() || value.IsUndefined()) return "undefined";
  if (value.IsSymbol()) return "symbol";
  if (value.IsFunction()) return "function";
  if (value.IsArray()) return "array";
  if (value.IsTypedArray()) {
    const auto array = value.As<Napi::TypedArray>();
    return std::string(arrayName(array.TypedArrayType())) + " of " +
           std::to_string(array.ElementLength());
  }
  return "object";
}

std::uint32_t toUint32(Napi::Value value, const std::string& path, std::uint32_t min,
                       std::uint32_t max) {
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    // False for NaN and the infinities too.
    if (number >= min && number <= max && std::trunc(number) == number) {
      return static_cast<std::uint32_t>(number);
    }
  }
  refuse(value, path, range("integer", min, max));
}

bool toBool(Napi::Value value, const std::string& path) {
  if (!value.IsBoolean()) refuse(value, path, "true, false");
  return value.As<Napi::Boolean>().Value();
}

std::uint64_t toUint64(Napi::Value value, const std::string& path, std::uint64_t min,
                       std::uint64_t max) {
  if (value.IsBigInt()) {
    bool lossless = false;
    const std::uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
    if (lossless && number >= min && number <= max) return number;
  }
  refuse(value, path, range("bigint", min, max));
}

double toFinite(Napi::Value value, const std::string& path) {
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (std::isfinite(number)) return number;
  }
  refuse(value, path, "finite number");
}

std::string toText(Napi::Value value, const std::string& path, std::size_t bytesMax) {
  const std::string allowed = "string of 1.." + std::to_string(bytesMax) + " bytes without NUL";
  if (!value.IsString()) refuse(value, path, allowed);
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.empty() || text.size() > bytesMax || text.find('\0') != std::string::npos) {
    refuse(value, path, allowed);
  }
  return text;
}

std::string toTextOrNull(Napi::Value value, const std::string& path) {
  return value.IsNull() ? std::string() : toText(value, path);
}

std::string toWord(Napi::Value value, const std::string& path,
                   std::initializer_list<const char*> words) {
  std::string allowed;
  const std::string given = value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  for (const char* word : words) {
    if (value.IsString() && given == word) return given;
    allowed += (allowed.empty() ? "" : " or ") + quoted(word);
  }
  refuse(value, path, allowed);
}

Napi::Function toFunction(Napi::Value value, const std::string& path) {
  if (!value.IsFunction()) refuse(value, path, "function");
  return value.As<Napi::Function>();
}

Napi::Int32Array toInt32Array(Napi::Value value, const std::string& path) {
  return toTypedArray<Napi::Int32Array>(value, path, napi_int32_array);
}

Napi::Uint8Array toUint8Array(Napi::Value value, const std::string& path) {
  return toTypedArray<Napi::Uint8Array>(value, path, napi_uint8_array);
}

Napi::Float32Array toFloat32Array(Napi::Value value, const std::string& path) {
  return toTypedArray<Napi::Float32Array>(value, path, napi_float32_array);
}

Napi::BigUint64Array toBigUint64Array(Napi::Value value, const std::string& path) {
  return toTypedArray<Napi::BigUint64Array>(value, path, napi_biguint64_array);
}

Fields::Fields(Napi::Value value, std::string path) : path_(std::move(path)) {
  if (!value.IsObject() || value.IsFunction()) refuse(value, path_, "object");
  object_ = value.As<Napi::Object>();
}

DeviceOptions toDeviceOptions(Napi::Value value, const std::string& path) {
  const Fields fields(value, path);
  DeviceOptions options;
  options.backend = toWord(fields.at("backend"), fields.path("backend"), {"host", "cuda"});
  options.ordinal = static_cast<int>(fields.uint32("ordinal", 0, kInt32Max));
  options.library = toTextOrNull(fields.at("library"), fields.path("library"));
  return options;
}

}  // namespace kvspan::node
