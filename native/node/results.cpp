// The way back: C++ values and failures as JavaScript values.
#include <algorithm>
#include <exception>
#include <new>

#include "marshal.hpp"

namespace kvspan::node {

Napi::Value fromUint64(Napi::Env env, std::uint64_t value) { return Napi::BigInt::New(env, value); }

Napi::Value fromCount(Napi::Env env, std::uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

Napi::Value fromCounts(Napi::Env env, const OrderCounts& counts) {
  auto array = Napi::Uint32Array::New(env, counts.size());
  std::copy(counts.begin(), counts.end(), array.Data());
  return array;
}

Napi::Value fromIds(Napi::Env env, const std::vector<std::uint64_t>& ids) {
  auto array = Napi::BigUint64Array::New(env, ids.size());
  std::copy(ids.begin(), ids.end(), array.Data());
  return array;
}

Napi::Object fromDeviceInfo(Napi::Env env, const DeviceInfo& info) {
  auto result = Napi::Object::New(env);
  result.Set("backend", info.backend);
  result.Set("ordinal", info.ordinal);
  result.Set("name", info.name);
  result.Set("uuid", info.uuid);
  result.Set("driver", info.driver);
  result.Set("granularityBytes", fromUint64(env, info.granularityBytes));
  result.Set("totalBytes", fromUint64(env, info.totalBytes));
  result.Set("freeBytes", fromUint64(env, info.freeBytes));
  return result;
}

Napi::Error toJsError(Napi::Env env, const Error& error) {
  auto result = Napi::Error::New(env, error.what());
  result.Set("code", Napi::String::New(env, codeName(error.code())));
  result.Set("field", Napi::String::New(env, error.field()));
  return result;
}

Napi::Error currentJsError(Napi::Env env) {
  try {
    throw;
  } catch (const Napi::Error& error) {
    return error;
  } catch (const Error& error) {
    return toJsError(env, error);
  } catch (const std::bad_alloc&) {
    return toJsError(env, Error(Code::Internal, "this process is out of memory"));
  } catch (const std::exception& error) {
    return toJsError(env, Error(Code::Internal, error.what()));
  }
}

}  // namespace kvspan::node
