// Grants that go well, and the ways in which they end early.
#include <atomic>
#include <cstring>

#include "channel_support.hpp"
#include "device/faulty_device.hpp"

namespace kvspan::test {
namespace {

struct Both {
  std::shared_ptr<HandleCount> daemonDevice = std::make_shared<HandleCount>(openHost());
  std::shared_ptr<HandleCount> clientDevice = std::make_shared<HandleCount>(openHost());
};

void grantsArrive(std::uint32_t count) {
  const std::size_t fdsBefore = openFds();
  {
    Both both;
    Daemon daemon(both.daemonDevice);
    {
      Holder holder(both.clientDevice, daemon.path());
      const auto outcome = daemon.grantNow(daemon.connection(), 7, count, kPatienceMs, 500);
      KV_CHECK_EQ(outcome.failure, "");
      KV_CHECK(!outcome.failed);
      KV_CHECK_EQ(outcome.importedCount, count);
      const auto granted = holder.awaitGranted();
      KV_CHECK_EQ(granted.id, 7U);
      KV_CHECK_EQ(granted.imported, count);
      KV_CHECK_EQ(granted.failure, "");
      const auto extents = holder.extents();
      KV_CHECK_EQ(extents.size(), count);
      for (std::uint32_t i = 0; i < count; ++i) {
        KV_CHECK_EQ(extents[i].id, 500U + i);
        KV_CHECK_EQ(extents[i].bytes, kPage);
      }
      eventually("the daemon's handles released", [&] { return both.daemonDevice->live() == 0; });
      KV_CHECK_EQ(both.clientDevice->live(), static_cast<long>(count));
    }
    KV_CHECK_EQ(both.clientDevice->live(), 0);
  }
  KV_CHECK_EQ(openFds(), fdsBefore);
}

// Keeps a second mapping of each thing it creates, to look at what the client wrote.
class Keeper : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  Handle create(std::uint64_t bytes) override {
    const Handle handle = ForwardingDevice::create(bytes);
    at = reserve(bytes, 0);
    map(at, handle, bytes);
    access(at, bytes, Access::ReadWrite);
    const char text[] = "from the daemon";
    copyIn(at, sizeof text, text, sizeof text, sizeof text, 1);
    return handle;
  }
  Address at = 0;
};

}  // namespace

KV_TEST("channel: a grant of one extent arrives and nothing leaks") { grantsArrive(1); }
KV_TEST("channel: a grant of one full message arrives") { grantsArrive(240); }
KV_TEST("channel: a grant of one message and one extent arrives") { grantsArrive(241); }
KV_TEST("channel: a grant of 1,000 extents arrives in order") { grantsArrive(1000); }

KV_TEST("channel: both sides see each other's writes") {
  const auto daemonDevice = std::make_shared<Keeper>(openHost());
  const auto clientDevice = openHost();
  Daemon daemon(daemonDevice);
  Holder holder(clientDevice, daemon.path());
  KV_CHECK_EQ(daemon.grantNow(daemon.connection(), 1, 1).importedCount, 1U);
  const Extent extent = holder.extents().at(0);
  const Address at = clientDevice->reserve(extent.bytes, 0);
  clientDevice->map(at, extent.handle, extent.bytes);
  clientDevice->access(at, extent.bytes, Access::ReadWrite);
  char text[32] = {};
  clientDevice->copyOut(text, 16, at, 16, 16, 1);
  KV_CHECK_EQ(std::string(text), "from the daemon");
  clientDevice->copyIn(at, 16, "from the client", 16, 16, 1);
  daemonDevice->copyOut(text, 16, daemonDevice->at, 16, 16, 1);
  KV_CHECK_EQ(std::string(text), "from the client");
  clientDevice->unmap(at, extent.bytes);
  clientDevice->unreserve(at, extent.bytes);
  daemonDevice->unmap(daemonDevice->at, kPage);
  daemonDevice->unreserve(daemonDevice->at, kPage);
}

KV_TEST("channel: the welcome carries session, token and service") {
  Daemon daemon(openHost());
  Holder holder(openHost(), daemon.path(), "engine 7\x01");
  const ConnectionId id = daemon.connection();
  const auto& welcome = holder.client().welcome();
  KV_CHECK_EQ(welcome.sessionId, 1000U + id);
  KV_CHECK_EQ(welcome.servicePath, "/service.sock");
  for (std::size_t i = 0; i < wire::kTokenBytes; ++i) {
    KV_CHECK_EQ(welcome.token[i], static_cast<std::uint8_t>(i + id));
  }
  const auto peer = daemon.seen(id).peer;
  KV_CHECK_EQ(peer.pid, ::getpid());
  KV_CHECK_EQ(peer.uid, ::getuid());
  KV_CHECK_EQ(peer.gid, ::getgid());
  KV_CHECK_EQ(peer.name, "engine 7?");
}

KV_TEST("channel: grants queued on one connection are met one after the other") {
  Both both;
  Daemon daemon(both.daemonDevice);
  Holder holder(both.clientDevice, daemon.path());
  const ConnectionId id = daemon.connection();
  constexpr std::uint32_t kGrants = 40;
  std::atomic<std::uint32_t> imported{0};
  std::atomic<std::uint32_t> done{0};
  std::uint32_t wanted = 0;
  for (std::uint32_t i = 1; i <= kGrants; ++i) {
    const std::uint32_t count = i % 5 == 0 ? 30 : i % 3 + 1;
    wanted += count;
    daemon.grant(id, i, count, [&](const GrantOutcome& outcome) {
      imported += outcome.importedCount;
      ++done;
    });
  }
  eventually("all outcomes", [&] { return done == kGrants; });
  KV_CHECK_EQ(imported.load(), wanted);
  for (std::uint32_t i = 1; i <= kGrants; ++i) KV_CHECK_EQ(holder.awaitGranted(i).id, i);
}

KV_TEST("channel: twelve clients with large grants share the descriptors in flight") {
  Both both;
  Daemon daemon(both.daemonDevice);
  std::vector<std::unique_ptr<Holder>> holders;
  std::atomic<std::uint32_t> imported{0};
  std::atomic<std::uint32_t> done{0};
  for (std::uint32_t i = 1; i <= 12; ++i) {
    holders.push_back(std::make_unique<Holder>(both.clientDevice, daemon.path()));
    daemon.grant(daemon.connection(i), i, 250, [&](const GrantOutcome& outcome) {
      imported += outcome.importedCount;
      ++done;
    });
  }
  eventually("all outcomes", [&] { return done == 12; });
  KV_CHECK_EQ(imported.load(), 12U * 250U);
}

KV_TEST("channel: a device that is exhausted in the middle leaves what was sent") {
  for (const std::uint32_t failing : {1U, 5U, 10U, 241U, 300U}) {
    const std::uint32_t count = failing <= 10 ? 10 : 400;
    Both both;
    const auto plan = std::make_shared<FaultPlan>();
    Daemon daemon(injectFaults(both.daemonDevice, plan));
    Holder holder(both.clientDevice, daemon.path());
    plan->fail(Call::Create, failing, Code::DeviceExhausted);
    const auto outcome = daemon.grantNow(daemon.connection(), 3, count);
    KV_CHECK(outcome.failed);
    KV_CHECK_EQ(outcome.failureCode, "DEVICE_EXHAUSTED");
    KV_CHECK_EQ(outcome.importedCount, failing - 1);
    KV_CHECK_EQ(holder.extents().size(), failing - 1);
    if (failing > 1) {
      const auto granted = holder.awaitGranted();
      KV_CHECK_EQ(granted.imported, failing - 1);
      KV_CHECK(!granted.failure.empty());
    }
    eventually("the daemon's handles released", [&] { return both.daemonDevice->live() == 0; });
    // The connection is as good as before.
    KV_CHECK_EQ(daemon.grantNow(daemon.connection(), 4, 2).importedCount, 2U);
    KV_CHECK_EQ(holder.awaitGranted(failing > 1 ? 2 : 1).id, 4U);
  }
}

KV_TEST("channel: an export that fails releases the extent created for it") {
  Both both;
  const auto plan = std::make_shared<FaultPlan>();
  Daemon daemon(injectFaults(both.daemonDevice, plan));
  Holder holder(both.clientDevice, daemon.path());
  plan->fail(Call::Export, 3);
  const auto outcome = daemon.grantNow(daemon.connection(), 3, 8);
  KV_CHECK_EQ(outcome.failureCode, "DEVICE_FAILED");
  KV_CHECK_EQ(outcome.importedCount, 2U);
  eventually("the daemon's handles released", [&] { return both.daemonDevice->live() == 0; });
}

KV_TEST("channel: an import that fails is a short answer; what came before it stays") {
  for (const std::uint32_t failing : {1U, 4U, 242U}) {
    const std::uint32_t count = failing < 10 ? 8 : 400;
    Both both;
    const auto plan = std::make_shared<FaultPlan>();
    Daemon daemon(both.daemonDevice);
    Holder holder(injectFaults(both.clientDevice, plan), daemon.path());
    plan->fail(Call::Import, failing);
    const auto outcome = daemon.grantNow(daemon.connection(), 3, count);
    KV_CHECK(outcome.failed);
    KV_CHECK_EQ(outcome.importedCount, failing - 1);
    eventually("the daemon's handles released", [&] { return both.daemonDevice->live() == 0; });
    const auto granted = holder.awaitGranted();
    KV_CHECK_EQ(granted.imported, failing - 1);
    KV_CHECK(!granted.failure.empty());
    KV_CHECK_EQ(both.clientDevice->live(), static_cast<long>(failing - 1));
    KV_CHECK_EQ(daemon.grantNow(daemon.connection(), 4, 2).importedCount, 2U);
  }
}

KV_TEST("channel: a grant to nobody, of nothing, or of a bad size is refused") {
  Both both;
  Daemon daemon(both.daemonDevice);
  KV_CHECK_EQ(daemon.grantNow(77, 1, 1).failureCode, "GRANT_CANCELLED");
  Holder holder(both.clientDevice, daemon.path());
  const ConnectionId id = daemon.connection();
  KV_CHECK_EQ(daemon.grantNow(id, 1, 0).failureCode, "INVALID_ARGUMENT");
  std::string code;
  daemon.server().grant(id, 1, {{1, kPage + 1}}, kPatienceMs,
                        [&](const GrantOutcome& outcome) { code = outcome.failureCode; });
  KV_CHECK_EQ(code, "INVALID_ARGUMENT");
  KV_CHECK_EQ(daemon.grantNow(id, 2, 1).importedCount, 1U);
}

}  // namespace kvspan::test
