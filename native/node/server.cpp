// ChannelServer: the daemon's end of the extent channel. An open server keeps the process alive and
// is not collected; `close` blocks until its threads are done, so that the socket file is gone and
// no driver call runs when it returns.
#include "channel/server.hpp"

#include <cstring>
#include <memory>
#include <utility>

#include "channel/wire.hpp"
#include "classes.hpp"
#include "device.hpp"
#include "dispatcher.hpp"
#include "lifetime.hpp"
#include "marshal.hpp"
#include "promise.hpp"

namespace kvspan::node {
namespace {

constexpr std::uint32_t kModeMax = 0777;
constexpr std::uint32_t kConnectionsMax = 1u << 16;
constexpr std::size_t kSocketPathBytesMax = 107;  // sun_path, without its NUL
constexpr std::size_t kCodeBytesMax = 31;         // wire::Refused
constexpr std::size_t kExtentsPerGrantMax = 1u << 20;

struct ServerCore {
  std::shared_ptr<Dispatcher> dispatcher;
  std::unique_ptr<kvspan::ChannelServer> server;
};

Napi::Object event(Napi::Env env, const char* kind, ConnectionId connection) {
  auto result = Napi::Object::New(env);
  result.Set("kind", kind);
  result.Set("connection", connection);
  return result;
}

Napi::Value helloEvent(Napi::Env env, ConnectionId connection, const PeerIdentity& identity) {
  auto peer = Napi::Object::New(env);
  peer.Set("connection", connection);
  peer.Set("pid", identity.pid);
  peer.Set("uid", identity.uid);
  peer.Set("gid", identity.gid);
  peer.Set("name", identity.name);
  auto result = Napi::Object::New(env);
  result.Set("kind", "hello");
  result.Set("peer", peer);
  return result;
}

ServerEvents eventsTo(const std::shared_ptr<Dispatcher>& to) {
  ServerEvents events;
  events.hello = [to](ConnectionId connection, const PeerIdentity& identity) {
    to->event([=](Napi::Env env) { return helloEvent(env, connection, identity); });
  };
  events.closed = [to](ConnectionId connection, const std::string& reason) {
    to->event([=](Napi::Env env) -> Napi::Value {
      auto result = event(env, "closed", connection);
      result.Set("reason", reason);
      return result;
    });
  };
  events.exited = [to](ConnectionId connection) {
    to->event([=](Napi::Env env) -> Napi::Value { return event(env, "exited", connection); });
  };
  return events;
}

Napi::Value fromOutcome(Napi::Env env, const GrantOutcome& outcome) {
  auto result = Napi::Object::New(env);
  result.Set("importedCount", outcome.importedCount);
  result.Set("failure", env.Null());
  if (outcome.failed) {
    auto failure = Napi::Object::New(env);
    failure.Set("code", outcome.failureCode);
    failure.Set("message", outcome.failure);
    result.Set("failure", failure);
  }
  return result;
}

std::vector<GrantItem> toItems(Napi::Value idsValue, Napi::Value bytesValue) {
  const auto ids = toBigUint64Array(idsValue, "extentIds");
  const auto bytes = toBigUint64Array(bytesValue, "extentBytes");
  const std::size_t count = ids.ElementLength();
  if (count == 0 || count > kExtentsPerGrantMax) {
    throw Error::badField("extentIds", std::to_string(count) + " entries",
                          "1.." + std::to_string(kExtentsPerGrantMax) + " entries");
  }
  if (bytes.ElementLength() != count) {
    throw Error::badField("extentBytes", std::to_string(bytes.ElementLength()) + " entries",
                          "as many as extentIds: " + std::to_string(count));
  }
  std::vector<GrantItem> items(count);
  for (std::size_t i = 0; i < count; ++i) items[i] = {ids[i], bytes[i]};
  return items;
}

class NativeServer : public Napi::ObjectWrap<NativeServer> {
 public:
  explicit NativeServer(const Napi::CallbackInfo& info)
      : ObjectWrap(info), core_(constructed<ServerCore>(info)) {
    Ref();
    core_->dispatcher->hold();
  }

  // Reached unclosed only when the environment ends.
  ~NativeServer() override {
    if (!core_->server) return;
    core_->dispatcher->mute();
    bury([core = core_] { core->server->close(); });
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "ChannelServer",
                       {InstanceMethod<&NativeServer::welcome>("welcome", kReplaceable),
                        InstanceMethod<&NativeServer::refuse>("refuse", kReplaceable),
                        InstanceMethod<&NativeServer::grant>("grant", kReplaceable),
                        InstanceMethod<&NativeServer::disconnect>("disconnect", kReplaceable),
                        InstanceMethod<&NativeServer::kill>("kill", kReplaceable),
                        InstanceMethod<&NativeServer::forget>("forget", kReplaceable),
                        InstanceMethod<&NativeServer::close>("close", kReplaceable)});
  }

 private:
  kvspan::ChannelServer& open() const {
    if (!core_->server) throw Error(Code::Closed, "the channel server is closed");
    return *core_->server;
  }

  Napi::Value welcome(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto connection = toUint32(info[0], "connection");
      const auto sessionId = toUint64(info[1], "sessionId");
      const auto given = toUint8Array(info[2], "token");
      if (given.ByteLength() != wire::kTokenBytes) {
        throw Error::badField("token", std::to_string(given.ByteLength()) + " bytes",
                              std::to_string(wire::kTokenBytes) + " bytes");
      }
      std::uint8_t token[wire::kTokenBytes];
      std::memcpy(token, given.Data(), sizeof token);
      const auto servicePath = toText(info[3], "servicePath", kSocketPathBytesMax);
      open().welcome(connection, sessionId, token, servicePath);
      return info.Env().Undefined();
    });
  }

  Napi::Value refuse(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto connection = toUint32(info[0], "connection");
      const auto code = toText(info[1], "code", kCodeBytesMax);
      const auto message = toText(info[2], "message");
      open().refuse(connection, code, message);
      return info.Env().Undefined();
    });
  }

  Napi::Value grant(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return refusable(env, [&]() -> Napi::Value {
      const auto connection = toUint32(info[0], "connection");
      const auto grantId = toUint64(info[1], "grantId");
      auto items = toItems(info[2], info[3]);
      const auto ackTimeoutMs = toUint32(info[4], "ackTimeoutMs", 1);
      auto& server = open();
      const auto deferred = Napi::Promise::Deferred::New(env);
      auto dispatcher = core_->dispatcher;
      server.grant(connection, grantId, std::move(items), ackTimeoutMs,
                   [dispatcher, deferred](GrantOutcome outcome) {
                     dispatcher->complete([=](Napi::Env now) {
                       dispatcher->letGo();
                       deferred.Resolve(fromOutcome(now, outcome));
                     });
                   });
      dispatcher->hold();
      return deferred.Promise();
    });
  }

  Napi::Value disconnect(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto connection = toUint32(info[0], "connection");
      open().disconnect(connection);
      return info.Env().Undefined();
    });
  }

  Napi::Value kill(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto connection = toUint32(info[0], "connection");
      open().kill(connection);
      return info.Env().Undefined();
    });
  }

  Napi::Value forget(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto connection = toUint32(info[0], "connection");
      open().forget(connection);
      return info.Env().Undefined();
    });
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      if (auto server = std::move(core_->server)) {
        server->close();
        core_->dispatcher->mute();
        core_->dispatcher->letGo();
        Unref();
      }
      return info.Env().Undefined();
    });
  }

  std::shared_ptr<ServerCore> core_;
};

}  // namespace

void defineServer(Napi::Env env, Classes& classes) {
  classes.server = Napi::Persistent(NativeServer::define(env));
}

Napi::Value listen(const Napi::CallbackInfo& info) {
  const Fields fields(info[0], "options");
  ListenOptions options;
  options.path = toText(fields.at("path"), fields.path("path"), kSocketPathBytesMax);
  options.mode = fields.uint32("mode", 0, kModeMax);
  options.connectionsMax = fields.uint32("connectionsMax", 1, kConnectionsMax);
  options.helloTimeoutMs = fields.uint32("helloTimeoutMs", 1);
  auto device = toDevice(fields.at("device"), fields.path("device"));
  const auto onEvent = toFunction(info[1], "onEvent");

  auto core = std::make_shared<ServerCore>();
  core->dispatcher = Dispatcher::create(info.Env(), "kvspan channel server", onEvent);
  try {
    core->server = kvspan::ChannelServer::listen(std::move(device), options,
                                                 eventsTo(core->dispatcher));
  } catch (...) {
    core->dispatcher->mute();
    throw;
  }
  return construct(classesOf(info.Env()).server, core);
}

}  // namespace kvspan::node
