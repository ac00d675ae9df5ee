// The module: native/native.ts's NativeModule, plus `classes`, by which native/index.ts wraps each
// method once.
#include <utility>

#include "classes.hpp"
#include "lifetime.hpp"
#include "marshal.hpp"

namespace kvspan::node {
namespace {

template <Napi::Value (*body)(const Napi::CallbackInfo&)>
void define(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New(
                        exports.Env(),
                        [](const Napi::CallbackInfo& info) {
                          return guarded(info.Env(), [&] { return body(info); });
                        },
                        name));
}

Napi::Object classTable(Napi::Env env, const Classes& classes) {
  auto table = Napi::Object::New(env);
  table.Set("NativeDevice", classes.device.Value());
  table.Set("ChannelServer", classes.server.Value());
  table.Set("NativeSession", classes.session.Value());
  table.Set("NativeCache", classes.cache.Value());
  table.Set("RawDevice", classes.rawDevice.Value());
  table.Set("Kernels", classes.kernels.Value());
  table.Set("KernelBatch", classes.kernelBatch.Value());
  table.Set("DecodePlan", classes.decodePlan.Value());
  table.Set("PrefillPlan", classes.prefillPlan.Value());
  return table;
}

Napi::Object start(Napi::Env env, Napi::Object exports) {
  prepareLifetime(env);
  auto* classes = new Classes;
  env.SetInstanceData(classes);
  classes->dispatcher = Dispatcher::create(env, "kvspan", nullptr);
  defineDevice(env, *classes);
  defineServer(env, *classes);
  defineSession(env, *classes);
  defineCache(env, *classes);
  defineRawDevice(env, *classes);
  defineKernels(env, *classes);
  defineKernelPlans(env, *classes);

  exports.Set("napiVersion", NAPI_VERSION);
  exports.Set("classes", classTable(env, *classes));
  define<openDevice>(exports, "openDevice");
  define<listen>(exports, "listen");
  define<openSession>(exports, "openSession");
  define<openRawDevice>(exports, "openRawDevice");
  define<openKernels>(exports, "openKernels");
  define<attendBuffer>(exports, "attendBuffer");
  define<createHostStream>(exports, "createHostStream");
  define<hostStreamSubmit>(exports, "hostStreamSubmit");
  define<hostStreamComplete>(exports, "hostStreamComplete");
  define<growFdTable>(exports, "growFdTable");
  define<lockFile>(exports, "lockFile");
  define<setUmask>(exports, "setUmask");
  define<readUsage>(exports, "readUsage");
  return exports;
}

}  // namespace

Napi::Object startModule(Napi::Env env, Napi::Object exports) {
  return guarded(env, [&] { return start(env, exports); });
}

}  // namespace kvspan::node

using kvspan::node::startModule;
NODE_API_MODULE(kvspan, startModule)
