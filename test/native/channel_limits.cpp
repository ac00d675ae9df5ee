// Full descriptor tables, descriptors in flight, and servers that close under load.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "channel/credit.hpp"
#include "channel_support.hpp"

namespace kvspan::test {
namespace {

void limitFiles(rlim_t count) {
  const rlimit limit{count, count};
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) throw Failure("setrlimit failed");
}

// The type check of the undefined-behaviour sanitizer opens a pipe to look at an object, and takes
// a good one for a bad one if it cannot.
void skipIfChecksNeedDescriptors() {
#ifdef __SANITIZE_ADDRESS__
  throw Skip("an error is thrown while no descriptor is left, which the sanitizer cannot check");
#endif
}

// Imports without keeping a descriptor, as the cuda backend does.
class Thrifty : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  Handle importHandle(int fd, std::uint64_t) override { return static_cast<Handle>(fd) + 1; }
  void release(Handle) override {}
};

}  // namespace

KV_TEST("channel: descriptors that the file table has no room for are a short answer") {
  Child child([](const std::string& path) {
    Holder holder(std::make_shared<Thrifty>(openHost()), path);
    const std::size_t fdsBefore = openFds() - 1;  // less the one that counted
    limitFiles(fdsBefore + 20);
    Child::ready();
    const auto granted = holder.awaitGranted();
    const bool cut = !granted.failure.empty() && granted.imported == holder.extents().size();
    return cut && openFds() - 1 == fdsBefore ? static_cast<int>(granted.imported) : 200;
  });
  const auto device = std::make_shared<HandleCount>(openHost());
  Daemon daemon(device);
  child.start(daemon.path());
  const ConnectionId id = daemon.connection();
  child.awaitReady();
  const auto outcome = daemon.grantNow(id, 1, 100);
  KV_CHECK(outcome.failed);
  KV_CHECK_EQ(outcome.failureCode, "DEVICE_FAILED");
  // About twenty: the limit is on numbers, and there may be gaps among those in use.
  KV_CHECK(outcome.importedCount >= 20 && outcome.importedCount < 30);
  KV_CHECK_EQ(child.wait(), static_cast<int>(outcome.importedCount));
  eventually("no handle", [&] { return device->live() == 0; });
}

KV_TEST("channel: a client whose file table is full answers short and leaks nothing") {
  skipIfChecksNeedDescriptors();
  Child child([](const std::string& path) {
    const auto device = openHost();
    Holder holder(device, path);
    const std::size_t fdsBefore = openFds();
    limitFiles(fdsBefore + 20);
    Child::ready();
    const auto granted = holder.awaitGranted();
    if (granted.failure.empty() || granted.imported >= 100) return 1;
    if (granted.imported != holder.extents().size()) return 2;
    holder.releaseAll();
    if (openFds() != fdsBefore) return 3;
    Child::ready();
    // With room again the same connection works.
    const auto second = holder.awaitGranted(2);
    return second.imported == 2 && second.failure.empty() ? 0 : 4;
  });
  const auto device = std::make_shared<HandleCount>(openHost());
  Daemon daemon(device);
  child.start(daemon.path());
  const ConnectionId id = daemon.connection();
  // The child lowers its limit once it is connected.
  child.awaitReady();
  const auto outcome = daemon.grantNow(id, 1, 100);
  KV_CHECK(outcome.failed);
  KV_CHECK_EQ(outcome.failureCode, "DEVICE_FAILED");
  KV_CHECK(outcome.importedCount < 100);
  child.awaitReady();
  KV_CHECK_EQ(daemon.grantNow(id, 2, 2).importedCount, 2U);
  KV_CHECK_EQ(child.wait(), 0);
  daemon.awaitExited(id);
  KV_CHECK_EQ(device->live(), 0);
}

KV_TEST("channel: a daemon with few descriptors sends smaller messages") {
  Child child([](const std::string&) {
    limitFiles(100);
    if (CreditLine::limitOfThisProcess() != 25) return 1;
    const auto device = std::make_shared<HandleCount>(openHost());
    Daemon daemon(device);
    RawPeer peer(daemon.path());
    peer.enter();
    std::atomic<bool> done{false};
    GrantOutcome outcome;
    daemon.grant(daemon.connection(), 1, 60, [&](GrantOutcome one) {
      outcome = std::move(one);
      done = true;
    });
    for (const std::uint32_t wanted : {25U, 25U, 10U}) {
      std::vector<char> bytes;
      const Received received = peer.receive(bytes);
      if (received.fds.size() != wanted) return 2;
      wire::Extents header;
      std::memcpy(&header, bytes.data(), sizeof header);
      auto ack = wire::make<wire::Ack>(wire::Type::Ack);
      ack.grantId = header.grantId;
      ack.first = header.first;
      ack.imported = header.count;
      peer.send(&ack, sizeof ack);
    }
    eventually("done", [&] { return done.load(); });
    return outcome.importedCount == 60 && !outcome.failed ? 0 : 3;
  });
  child.start("-");
  KV_CHECK_EQ(child.wait(), 0);
}

KV_TEST("channel: clients that are silent on large grants hold up nobody's small one") {
  const auto device = openHost();
  Daemon daemon(device);
  std::vector<std::unique_ptr<RawPeer>> silent;
  std::atomic<std::uint32_t> done{0};
  // One more than the descriptors in flight are enough for: it stands in the queue.
  for (std::uint32_t i = 1; i <= CreditLine::limitOfThisProcess() / wire::kFdsPerMessage + 1; ++i) {
    silent.push_back(std::make_unique<RawPeer>(daemon.path()));
    silent.back()->enter();
    daemon.grant(daemon.connection(i), i, wire::kFdsPerMessage,
                 [&](const GrantOutcome&) { ++done; });
  }
  Holder holder(openHost(), daemon.path());
  const ConnectionId id = daemon.connection(silent.size() + 1);
  KV_CHECK_EQ(daemon.grantNow(id, 99, 1, kPatienceMs, 100000).importedCount, 1U);
  KV_CHECK_EQ(done.load(), 0U);
  const std::size_t waiting = silent.size();
  silent.clear();
  eventually("the others' outcomes", [&] { return done == waiting; });
}

KV_TEST("channel: connections that no descriptor is left for are turned away, not spun on") {
  skipIfChecksNeedDescriptors();
  Child child([](const std::string&) {
    Daemon daemon(openHost());
    Holder good(openHost(), daemon.path());
    const ConnectionId id = daemon.connection();
    RawPeer late(daemon.path());
    UniqueFd waiting = newSocket(false);
    const sockaddr_un address = socketAddress(daemon.path());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = openFds() - 1;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    if (::connect(waiting.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return 1;
    }
    char bytes[1024];
    if (!waitReadable(waiting.get(), kPatienceMs)) return 2;
    const Received received = receiveMessage(waiting.get(), bytes, sizeof bytes, TakeFds::No);
    const bool told = received.status == ReceiveStatus::Message &&
                      wire::typeOf(bytes) == wire::Type::Refused;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    return told && daemon.grantNow(id, 1, 2).importedCount == 2 ? 0 : 3;
  });
  child.start("-");
  KV_CHECK_EQ(child.wait(), 0);
}

KV_TEST("channel: a user's limit on descriptors in flight delays a grant, or fails it") {
  if (::geteuid() != 0) throw Skip("needs root, to become a user with a limit");
  Child child([](const std::string&) {
    // Large enough for the daemon, small enough to be filled by what lies in `hog`.
    limitFiles(120);
    // A user that nothing else here runs as: the kernel counts per user.
    if (::setuid(61234) != 0) return 77;
    Daemon daemon(openHost());
    Holder holder(openHost(), daemon.path());
    const ConnectionId id = daemon.connection();
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) return 1;
    UniqueFd sending(ends[0]);
    UniqueFd receiving(ends[1]);
    std::vector<UniqueFd> few;
    for (int i = 0; i < 10; ++i) few.emplace_back(::open("/dev/null", O_RDONLY));
    int sent = 0;
    while (sent < 100 && sendMessage(sending.get(), {{"x", 1}}, few) == SendStatus::Sent) ++sent;
    if (sent >= 100) return 78;
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      char byte;
      for (int i = 0; i < sent; ++i) receiveMessage(receiving.get(), &byte, 1, TakeFds::Yes);
    });
    const auto start = std::chrono::steady_clock::now();
    const auto delayed = daemon.grantNow(id, 1, 4);
    const auto waited = std::chrono::steady_clock::now() - start;
    later.join();
    if (delayed.failed || delayed.importedCount != 4) return 2;
    if (waited < std::chrono::milliseconds(100)) return 3;
    // Never drained: the grant fails, the connection lives.
    while (sendMessage(sending.get(), {{"x", 1}}, few) == SendStatus::Sent) {
    }
    const auto failed = daemon.grantNow(id, 2, 4);
    if (!failed.failed || failed.importedCount != 0) return 4;
    receiving.reset();
    return daemon.grantNow(id, 3, 4).importedCount == 4 ? 0 : 5;
  });
  child.start("-");
  const int status = child.wait();
  if (status == 78) throw Skip("this kernel does not limit descriptors in flight");
  KV_CHECK_EQ(status, 0);
}

KV_TEST("channel: a server that closes under load finishes every grant and leaves nothing") {
  for (int round = 0; round < 10; ++round) {
    const auto device = std::make_shared<HandleCount>(openHost());
    const auto clientDevice = openHost();
    const std::size_t fdsBefore = openFds();
    std::atomic<int> started{0};
    std::atomic<int> done{0};
    {
      Daemon daemon(device);
      std::vector<std::unique_ptr<Holder>> holders;
      std::vector<ConnectionId> ids;
      for (std::size_t i = 1; i <= 4; ++i) {
        holders.push_back(std::make_unique<Holder>(clientDevice, daemon.path()));
        ids.push_back(daemon.connection(i));
      }
      std::vector<std::thread> threads;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        threads.emplace_back([&, i] {
          for (std::uint64_t grant = 1; grant <= 30; ++grant) {
            ++started;
            daemon.grant(ids[i], grant, grant % 7 == 0 ? 100 : 3,
                         [&](const GrantOutcome&) { ++done; });
          }
        });
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(round * 2));
      daemon.close();
      for (auto& thread : threads) thread.join();
      KV_CHECK_EQ(started.load(), 120);
      KV_CHECK_EQ(done.load(), 120);
      KV_CHECK_EQ(device->live(), 0);
      for (const auto id : ids) {
        KV_CHECK_EQ(daemon.seen(id).closed, 1);
        KV_CHECK_EQ(daemon.seen(id).exited, 0);
      }
      for (auto& holder : holders) holder->awaitClosed();
    }
    KV_CHECK_EQ(openFds(), fdsBefore);
  }
}

KV_TEST("channel: closing twice, or from several threads, closes once") {
  Daemon daemon(openHost());
  Holder holder(openHost(), daemon.path());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { daemon.close(); });
  for (auto& thread : threads) thread.join();
  daemon.close();
  KV_CHECK_EQ(daemon.seen(1).closed, 1);
  KV_CHECK_THROWS(Code::DaemonUnavailable, Holder(openHost(), daemon.path()));
}

KV_TEST("channel: disconnecting ends the grants, tells the client, and is idempotent") {
  const auto device = std::make_shared<HandleCount>(openHost());
  Daemon daemon(device);
  Holder holder(openHost(), daemon.path());
  const ConnectionId id = daemon.connection();
  std::atomic<int> done{0};
  for (std::uint64_t grant = 1; grant <= 20; ++grant) {
    daemon.grant(id, grant, 40, [&](const GrantOutcome&) { ++done; });
  }
  daemon.server().disconnect(id);
  daemon.server().disconnect(id);
  daemon.server().disconnect(12345);
  eventually("the outcomes", [&] { return done == 20; });
  daemon.awaitClosed(id);
  KV_CHECK_EQ(daemon.seen(id).reason, "disconnected by the daemon");
  holder.awaitClosed();
  eventually("no handle", [&] { return device->live() == 0; });
}

KV_TEST("channel: a client may close from its own callback") {
  Daemon daemon(openHost());
  const auto device = openHost();
  std::unique_ptr<ChannelClient> client;
  std::atomic<bool> ready{false};
  std::atomic<bool> called{false};
  ClientEvents events;
  events.extents = [&](std::vector<Extent> extents) {
    for (const auto& extent : extents) device->release(extent.handle);
  };
  events.granted = [&](std::uint64_t, std::uint32_t, const std::string&) {
    while (!ready) std::this_thread::yield();
    client->close();
    called = true;
  };
  client = ChannelClient::connect(device, daemon.path(), "self", kPatienceMs, events);
  ready = true;
  KV_CHECK_EQ(daemon.grantNow(daemon.connection(), 1, 1).importedCount, 1U);
  eventually("closed by itself", [&] { return called.load(); });
  daemon.awaitClosed(daemon.connection());
}

}  // namespace kvspan::test
