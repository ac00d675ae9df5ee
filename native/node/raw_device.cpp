// RawDevice: single calls of a device with their time, the floor that benchmarks measure against.
// It allocates nothing of its own around a timed call and checks only what would crash.
#include <ctime>
#include <memory>

#include "classes.hpp"
#include "device/device.hpp"
#include "marshal.hpp"

namespace kvspan::node {
namespace {

double nowUs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

template <typename Call>
double timed(Call&& call) {
  const double begin = nowUs();
  call();
  return nowUs() - begin;
}

class RawDevice : public Napi::ObjectWrap<RawDevice> {
 public:
  explicit RawDevice(const Napi::CallbackInfo& info)
      : ObjectWrap(info), device_(constructed<Device>(info)) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "RawDevice",
                       {method<&RawDevice::create>("create"),
                        method<&RawDevice::exportImport>("exportImport"),
                        method<&RawDevice::reserve>("reserve"), method<&RawDevice::map>("map"),
                        method<&RawDevice::access>("access"), method<&RawDevice::unmap>("unmap"),
                        method<&RawDevice::release>("release"),
                        method<&RawDevice::unreserve>("unreserve"),
                        InstanceMethod<&RawDevice::close>("close", kReplaceable)});
  }

 private:
  using Body = Napi::Value (RawDevice::*)(const Napi::CallbackInfo&);

  template <Body body>
  Napi::Value checked(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return (this->*body)(info); });
  }
  template <Body body>
  static Napi::ClassPropertyDescriptor<RawDevice> method(const char* name) {
    return InstanceMethod<&RawDevice::checked<body>>(name, kReplaceable);
  }

  // After the arguments were read: reading them may run JavaScript.
  Device& open() const {
    if (!device_) throw Error(Code::Closed, "the device is closed");
    return *device_;
  }

  Napi::Value create(const Napi::CallbackInfo& info) {
    const auto bytes = toUint64(info[0], "bytes", 1);
    Device& device = open();
    Handle handle = 0;
    const double us = timed([&] { handle = device.create(bytes); });
    auto result = Napi::Object::New(info.Env());
    result.Set("handle", fromUint64(info.Env(), handle));
    result.Set("us", us);
    return result;
  }

  Napi::Value exportImport(const Napi::CallbackInfo& info) {
    const auto handle = toUint64(info[0], "handle", 1);
    const auto bytes = toUint64(info[1], "bytes", 1);
    Device& device = open();
    UniqueFd fd;
    Handle imported = 0;
    const double exportUs = timed([&] { fd = device.exportHandle(handle); });
    const double importUs = timed([&] { imported = device.importHandle(fd.get(), bytes); });
    auto result = Napi::Object::New(info.Env());
    result.Set("handle", fromUint64(info.Env(), imported));
    result.Set("exportUs", exportUs);
    result.Set("importUs", importUs);
    return result;
  }

  Napi::Value reserve(const Napi::CallbackInfo& info) {
    const auto bytes = toUint64(info[0], "bytes", 1);
    Device& device = open();
    Address address = 0;
    const double us = timed([&] { address = device.reserve(bytes, 0); });
    auto result = Napi::Object::New(info.Env());
    result.Set("address", fromUint64(info.Env(), address));
    result.Set("us", us);
    return result;
  }

  Napi::Value map(const Napi::CallbackInfo& info) {
    const auto address = toUint64(info[0], "address", 1);
    const auto handle = toUint64(info[1], "handle", 1);
    const auto bytes = toUint64(info[2], "bytes", 1);
    Device& device = open();
    return microseconds(info, timed([&] { device.map(address, handle, bytes); }));
  }

  Napi::Value access(const Napi::CallbackInfo& info) {
    const auto address = toUint64(info[0], "address", 1);
    const auto bytes = toUint64(info[1], "bytes", 1);
    Device& device = open();
    return microseconds(info, timed([&] { device.access(address, bytes, Access::ReadWrite); }));
  }

  Napi::Value unmap(const Napi::CallbackInfo& info) {
    const auto address = toUint64(info[0], "address", 1);
    const auto bytes = toUint64(info[1], "bytes", 1);
    Device& device = open();
    return microseconds(info, timed([&] { device.unmap(address, bytes); }));
  }

  Napi::Value release(const Napi::CallbackInfo& info) {
    const auto handle = toUint64(info[0], "handle", 1);
    Device& device = open();
    return microseconds(info, timed([&] { device.release(handle); }));
  }

  Napi::Value unreserve(const Napi::CallbackInfo& info) {
    const auto address = toUint64(info[0], "address", 1);
    const auto bytes = toUint64(info[1], "bytes", 1);
    Device& device = open();
    return microseconds(info, timed([&] { device.unreserve(address, bytes); }));
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    device_.reset();
    return info.Env().Undefined();
  }

  static Napi::Value microseconds(const Napi::CallbackInfo& info, double us) {
    return Napi::Number::New(info.Env(), us);
  }

  std::shared_ptr<Device> device_;
};

}  // namespace

void defineRawDevice(Napi::Env env, Classes& classes) {
  classes.rawDevice = Napi::Persistent(RawDevice::define(env));
}

Napi::Value openRawDevice(const Napi::CallbackInfo& info) {
  const auto options = toDeviceOptions(info[0], "options");
  return construct(classesOf(info.Env()).rawDevice, kvspan::openDevice(options));
}

}  // namespace kvspan::node
