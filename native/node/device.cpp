#include "device.hpp"

#include "classes.hpp"
#include "marshal.hpp"

namespace kvspan::node {
namespace {

// Tells our own objects from others that only look like them.
constexpr napi_type_tag kDeviceTag{0x6b767370616e2d64, 0x65766963652d7631};

Error closedDevice() { return Error(Code::Closed, "the device is closed"); }

}  // namespace

NativeDevice::NativeDevice(const Napi::CallbackInfo& info)
    : ObjectWrap(info), device_(constructed<Device>(info)) {
  if (napi_type_tag_object(info.Env(), info.This(), &kDeviceTag) != napi_ok) {
    throw Napi::Error::New(info.Env(), "cannot tag a NativeDevice");
  }
}

Napi::Function NativeDevice::define(Napi::Env env) {
  return DefineClass(env, "NativeDevice",
                     {InstanceMethod<&NativeDevice::describe>("describe", kReplaceable),
                      InstanceMethod<&NativeDevice::close>("close", kReplaceable)});
}

Napi::Value NativeDevice::describe(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!device_) throw closedDevice();
    return fromDeviceInfo(info.Env(), device_->info());
  });
}

Napi::Value NativeDevice::close(const Napi::CallbackInfo& info) {
  device_.reset();
  return info.Env().Undefined();
}

std::shared_ptr<Device> toDevice(Napi::Value value, const std::string& path) {
  bool isDevice = false;
  if (value.IsObject()) {
    napi_check_object_type_tag(value.Env(), value, &kDeviceTag, &isDevice);
  }
  if (!isDevice) throw Error::badField(path, show(value), "a NativeDevice");
  auto device = NativeDevice::Unwrap(value.As<Napi::Object>())->device_;
  if (!device) throw closedDevice();
  return device;
}

void defineDevice(Napi::Env env, Classes& classes) {
  classes.device = Napi::Persistent(NativeDevice::define(env));
}

Napi::Value openDevice(const Napi::CallbackInfo& info) {
  auto options = toDeviceOptions(info[0], "options");
  options.ownerOnly = true;  // JavaScript can only listen on it
  return construct(classesOf(info.Env()).device, kvspan::openDevice(options));
}

}  // namespace kvspan::node
