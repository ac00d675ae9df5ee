// What a machine says of a device's memory, read off the event loop.
#include "device/usage.hpp"

#include <memory>
#include <utility>

#include "classes.hpp"
#include "marshal.hpp"
#include "promise.hpp"

namespace kvspan::node {
namespace {

// Never destroyed: a driver may be answering when the process exits. One thread, since whoever does
// not get an answer must not ask with another.
Strand& reader() {
  static auto* const one = new Strand(1);
  return *one;
}

std::vector<pid_t> toProcesses(Napi::Value value, const std::string& path) {
  const auto given = toInt32Array(value, path);
  return {given.Data(), given.Data() + given.ElementLength()};
}

Napi::Value fromUsage(Napi::Env env, const DeviceUsage& usage) {
  auto result = Napi::Object::New(env);
  result.Set("totalBytes", fromUint64(env, usage.totalBytes));
  result.Set("usedBytes", fromUint64(env, usage.usedBytes));
  result.Set("freeBytes", fromUint64(env, usage.freeBytes));
  result.Set("heldBytes", fromIds(env, usage.heldBytes));
  return result;
}

}  // namespace

Napi::Value readUsage(const Napi::CallbackInfo& info) {
  return refusable(info.Env(), [&]() -> Napi::Value {
    const Fields fields(info[0], "query");
    UsageQuery query;
    query.backend = toWord(fields.at("backend"), fields.path("backend"), {"host", "cuda"});
    query.uuid = toTextOrNull(fields.at("uuid"), fields.path("uuid"));
    query.library = toTextOrNull(fields.at("library"), fields.path("library"));
    query.processes = toProcesses(fields.at("processes"), fields.path("processes"));
    return promised(
        info.Env(), classesOf(info.Env()).dispatcher, reader(),
        [query = std::move(query)] { return kvspan::readUsage(query); }, fromUsage);
  });
}

}  // namespace kvspan::node
