// NativeDevice: the daemon's device. Servers share it, so that closing it does not pull it away
// from under them.
#pragma once

#include <memory>
#include <string>

#include "device/device.hpp"
#include "napi.hpp"

namespace kvspan::node {

class NativeDevice : public Napi::ObjectWrap<NativeDevice> {
 public:
  explicit NativeDevice(const Napi::CallbackInfo& info);
  static Napi::Function define(Napi::Env env);

 private:
  Napi::Value describe(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  friend std::shared_ptr<Device> toDevice(Napi::Value value, const std::string& path);

  std::shared_ptr<Device> device_;
};

// The device of a NativeDevice argument; throws if it is none, or closed.
std::shared_ptr<Device> toDevice(Napi::Value value, const std::string& path);

}  // namespace kvspan::node
