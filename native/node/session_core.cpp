#include "session_core.hpp"

#include <utility>

#include "cache.hpp"
#include "channel/batch.hpp"
#include "lifetime.hpp"
#include "marshal.hpp"

namespace kvspan::node {
namespace {

Napi::Object event(Napi::Env env, const char* kind) {
  auto result = Napi::Object::New(env);
  result.Set("kind", kind);
  return result;
}

Events sessionEvents(const std::shared_ptr<Dispatcher>& to) {
  Events events;
  events.need = [to](const OrderCounts& counts) {
    to->event([=](Napi::Env env) -> Napi::Value {
      auto result = event(env, "need");
      result.Set("counts", fromCounts(env, counts));
      return result;
    });
  };
  events.returned = [to](const std::vector<std::uint64_t>& ids) {
    to->event([=](Napi::Env env) -> Napi::Value {
      auto result = event(env, "returned");
      result.Set("extentIds", fromIds(env, ids));
      return result;
    });
  };
  return events;
}

// Extents that the session refuses (a daemon's mistake) are still imports of this process.
void takeExtents(Session& session, const std::shared_ptr<Device>& device,
                 std::vector<Extent> extents) {
  OwnedHandles refused(device);
  refused.reserve(extents.size());
  const std::vector<Extent> kept = extents;
  try {
    session.addExtents(std::move(extents));
  } catch (const Error& error) {
    // Any other failure comes of extents that the session has taken.
    if (error.code() == Code::InvalidArgument) {
      for (const Extent& extent : kept) refused.add(extent.handle);
    }
    throw;
  }
}

Napi::Value grantedEvent(Napi::Env env, std::uint64_t grantId, std::uint32_t importedCount,
                         const std::string& failure) {
  auto result = event(env, "granted");
  result.Set("grantId", fromUint64(env, grantId));
  result.Set("importedCount", importedCount);
  result.Set("failure", failure.empty() ? env.Null() : Napi::String::New(env, failure));
  return result;
}

}  // namespace

SessionCore::SessionCore(std::shared_ptr<Device> givenDevice, SessionOptions options,
                         std::shared_ptr<Dispatcher> givenDispatcher)
    : device(std::move(givenDevice)),
      dispatcher(std::move(givenDispatcher)),
      session(Session::create(device, options, sessionEvents(dispatcher))) {}

SessionCore::~SessionCore() {
  if (ended_) return;
  bury([session = session, channel = std::move(channel_)] {
    session->close();
    if (channel) channel->close();
  });
}

ClientEvents SessionCore::events(const std::shared_ptr<std::atomic<bool>>& gone) {
  // None of these owns the core: the channel is a part of it.
  ClientEvents events;
  events.extents = [session = session, device = device](std::vector<Extent> extents) {
    takeExtents(*session, device, std::move(extents));
  };
  events.granted = [to = dispatcher](std::uint64_t grantId, std::uint32_t importedCount,
                                     const std::string& failure) {
    to->event([=](Napi::Env env) { return grantedEvent(env, grantId, importedCount, failure); });
  };
  events.closed = [to = dispatcher, gone](const std::string& reason) {
    gone->store(true);
    to->event([=](Napi::Env env) -> Napi::Value {
      auto result = event(env, "closed");
      result.Set("reason", reason);
      return result;
    });
  };
  return events;
}

ClientWelcome SessionCore::connect(const std::string& path, const std::string& name,
                                   std::uint32_t timeoutMs) {
  if (channel_ && !gone_->load()) {
    throw Error(Code::InvalidArgument, "the session is connected already; disconnect it first");
  }
  disconnect();
  gone_ = std::make_shared<std::atomic<bool>>(false);
  channel_ = ChannelClient::connect(device, path, name, timeoutMs, events(gone_));
  return channel_->welcome();
}

void SessionCore::disconnect() {
  if (const auto channel = std::exchange(channel_, nullptr)) channel->close();
}

void SessionCore::close(const std::vector<std::shared_ptr<CacheCore>>& open) {
  if (ended_) return;
  for (const auto& cache : open) cache->cache->hurry();
  for (const auto& cache : open) {
    cache->strand.drain();
    cache->readers.waitIdle();
  }
  session->close();
  link.post([this] { disconnect(); });
  link.drain();
  ended_ = true;
}

}  // namespace kvspan::node
