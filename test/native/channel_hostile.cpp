// Peers that break the protocol, and daemons that do.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "channel_support.hpp"

namespace kvspan::test {
namespace {

wire::Extents readExtents(RawPeer& peer) {
  std::vector<char> bytes;
  const Received received = peer.receive(bytes);
  KV_CHECK(received.status == ReceiveStatus::Message);
  KV_CHECK(wire::typeOf(bytes.data()) == wire::Type::Extents);
  wire::Extents header;
  std::memcpy(&header, bytes.data(), sizeof header);
  KV_CHECK_EQ(received.fds.size(), header.count);
  return header;
}

wire::Ack ackOf(const wire::Extents& header, std::uint32_t imported) {
  auto ack = wire::make<wire::Ack>(wire::Type::Ack);
  ack.grantId = header.grantId;
  ack.first = header.first;
  ack.imported = imported;
  return ack;
}

// Sends one message after the welcome and expects to be thrown out for it, alone.
void expelledFor(const void* data, std::size_t bytes, const std::string& reason,
                 const std::vector<UniqueFd>& fds = {}) {
  Daemon daemon(openHost());
  Holder good(openHost(), daemon.path());
  const ConnectionId goodId = daemon.connection();
  RawPeer peer(daemon.path());
  peer.enter();
  const ConnectionId id = daemon.connection(2);
  peer.send(data, bytes, fds);
  peer.awaitHangUp();
  daemon.awaitClosed(id);
  KV_CHECK(daemon.seen(id).reason.find(reason) != std::string::npos);
  KV_CHECK_EQ(daemon.grantNow(goodId, 1, 3).importedCount, 3U);
}

std::vector<UniqueFd> someFds(std::size_t count) {
  std::vector<UniqueFd> fds;
  for (std::size_t i = 0; i < count; ++i) fds.emplace_back(::open("/dev/null", O_RDONLY));
  return fds;
}

}  // namespace

KV_TEST("channel: a message that is not one ends its connection only") {
  auto hello = wire::make<wire::Hello>(wire::Type::Hello);
  expelledFor("x", 1, "shorter than a header");
  expelledFor(&hello, sizeof hello, "a second hello");
  expelledFor(&hello, sizeof hello - 1, "whose header says");
  auto wrong = hello;
  wrong.header.magic ^= 1;
  expelledFor(&wrong, sizeof wrong, "magic");
  wrong = hello;
  wrong.header.version = 2;
  expelledFor(&wrong, sizeof wrong, "version 2");
  wrong = hello;
  wrong.header.type = 99;
  expelledFor(&wrong, sizeof wrong, "no client sends");
  wrong = hello;
  wrong.header.reserved = 1;
  expelledFor(&wrong, sizeof wrong, "header says");
  const std::vector<char> large(4096, 'x');
  expelledFor(large.data(), large.size(), "longer than any");
  auto ack = wire::make<wire::Ack>(wire::Type::Ack);
  expelledFor(&ack, sizeof ack, "an acknowledgement of nothing");
  const auto welcome = wire::make<wire::Welcome>(wire::Type::Welcome);
  expelledFor(&welcome, 40, "");
}

KV_TEST("channel: a client that sends descriptors is thrown out, and none is kept") {
  const std::size_t fdsBefore = openFds();
  auto ack = wire::make<wire::Ack>(wire::Type::Ack);
  expelledFor(&ack, sizeof ack, "sent file descriptors", someFds(1));
  expelledFor(&ack, sizeof ack, "sent file descriptors", someFds(200));
  KV_CHECK_EQ(openFds(), fdsBefore);
}

KV_TEST("channel: a hello with a bad name is no hello") {
  Daemon daemon(openHost());
  for (const char* name : {"tab\there", "high\xff"}) {
    RawPeer peer(daemon.path());
    auto hello = wire::make<wire::Hello>(wire::Type::Hello);
    std::memcpy(hello.name, name, std::strlen(name));
    peer.send(&hello, sizeof hello);
    peer.awaitHangUp();
  }
  RawPeer peer(daemon.path());
  auto hello = wire::make<wire::Hello>(wire::Type::Hello);
  hello.name[0] = 'a';
  hello.name[5] = 'b';
  peer.send(&hello, sizeof hello);
  peer.awaitHangUp();
  KV_CHECK_EQ(daemon.hellos(), 0U);
}

KV_TEST("channel: a wrong acknowledgement ends the grant; what was sent counts as held") {
  for (int kind = 0; kind < 3; ++kind) {
    const auto device = std::make_shared<HandleCount>(openHost());
    Daemon daemon(device);
    RawPeer peer(daemon.path());
    peer.enter();
    const ConnectionId id = daemon.connection();
    std::atomic<bool> done{false};
    GrantOutcome outcome;
    daemon.grant(id, 5, 300, [&](GrantOutcome one) {
      outcome = std::move(one);
      done = true;
    });
    const wire::Extents first = readExtents(peer);
    KV_CHECK_EQ(first.count, 240U);
    auto ack = ackOf(first, 240);
    peer.send(&ack, sizeof ack);
    const wire::Extents second = readExtents(peer);
    KV_CHECK_EQ(second.first, 240U);
    ack = ackOf(second, second.count);
    if (kind == 0) ack.grantId = 6;
    if (kind == 1) ack.first = 0;
    if (kind == 2) ack.imported = second.count + 1;
    peer.send(&ack, sizeof ack);
    eventually("an outcome", [&] { return done.load(); });
    KV_CHECK(outcome.failed);
    KV_CHECK_EQ(outcome.failureCode, "GRANT_CANCELLED");
    KV_CHECK_EQ(outcome.importedCount, 300U);
    KV_CHECK_EQ(device->live(), 0);
    daemon.awaitClosed(id);
  }
}

KV_TEST("channel: a client that never acknowledges is disconnected in time") {
  const auto device = std::make_shared<HandleCount>(openHost());
  Daemon daemon(device);
  RawPeer peer(daemon.path());
  peer.enter();
  const ConnectionId id = daemon.connection();
  // The third waits behind the first two and was never sent.
  std::atomic<int> done{0};
  GrantOutcome outcomes[3];
  for (std::size_t i = 0; i < 3; ++i) {
    daemon.grant(
        id, i + 1, 10,
        [&, i](GrantOutcome one) {
          outcomes[i] = std::move(one);
          ++done;
        },
        100);
  }
  eventually("the outcomes", [&] { return done == 3; });
  daemon.awaitClosed(id);
  KV_CHECK_EQ(daemon.seen(id).reason, "did not acknowledge extents in time");
  KV_CHECK_EQ(outcomes[0].importedCount, 10U);
  KV_CHECK_EQ(outcomes[1].importedCount, 0U);
  KV_CHECK_EQ(outcomes[2].importedCount, 0U);
  KV_CHECK(outcomes[0].failed && outcomes[1].failed && outcomes[2].failed);
  KV_CHECK_EQ(device->live(), 0);
}

KV_TEST("channel: a client that closes in the middle of a grant ends it") {
  for (const std::uint32_t count : {10U, 900U}) {
    const auto device = std::make_shared<HandleCount>(openHost());
    Daemon daemon(device);
    const std::size_t fdsBefore = openFds();
    RawPeer peer(daemon.path());
    peer.enter();
    const ConnectionId id = daemon.connection();
    std::atomic<bool> done{false};
    GrantOutcome outcome;
    daemon.grant(id, 5, count, [&](GrantOutcome one) {
      outcome = std::move(one);
      done = true;
    });
    readExtents(peer);
    peer.close();
    eventually("an outcome", [&] { return done.load(); });
    KV_CHECK(outcome.failed);
    KV_CHECK_EQ(outcome.importedCount, std::min(count, wire::kFdsPerMessage));
    KV_CHECK_EQ(device->live(), 0);
    daemon.awaitClosed(id);
    // This process lives, so the server keeps its pidfd.
    eventually("no descriptor left", [&] { return openFds() == fdsBefore + 1; });
  }
}

KV_TEST("channel: 2,000 garbage connections hurt nobody") {
  const auto device = std::make_shared<HandleCount>(openHost());
  Daemon daemon(device);
  const std::size_t fdsIdle = openFds();
  Holder good(openHost(), daemon.path());
  const ConnectionId id = daemon.connection();
  std::atomic<bool> stop{false};
  std::atomic<std::uint32_t> grants{0};
  std::thread working([&] {
    for (std::uint64_t grantId = 1; !stop; ++grantId) {
      if (daemon.grantNow(id, grantId, 2).importedCount != 2) return;
      ++grants;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  std::mt19937 random(1);
  std::vector<char> bytes(300);
  for (int i = 0; i < 2000; ++i) {
    RawPeer peer(daemon.path());
    const auto kind = random() % 5;
    for (auto& byte : bytes) byte = static_cast<char>(random());
    if (kind == 0) continue;  // connects and vanishes
    if (kind == 1) peer.send(bytes.data(), random() % bytes.size());
    if (kind == 2) {  // a good header and rubbish behind it
      auto hello = wire::make<wire::Hello>(wire::Type::Hello);
      hello.header.type = static_cast<std::uint16_t>(random() % 7);
      std::memcpy(bytes.data(), &hello.header, sizeof hello.header);
      peer.send(bytes.data(), sizeof hello);
    }
    if (kind == 3) peer.send(bytes.data(), 1 + random() % 100, someFds(1 + random() % 5));
    if (kind == 4) {  // a session, then rubbish
      peer.hello();
      peer.send(bytes.data(), 32);
    }
  }
  const std::uint32_t sofar = grants;
  eventually("the good client goes on", [&] { return grants > sofar + 5; });
  stop = true;
  working.join();
  good.releaseAll();
  eventually("no handle", [&] { return device->live() == 0; });
  // Of those that got a session the server keeps a pidfd: this process lives on.
  eventually("no socket left", [&] { return openFds() <= fdsIdle + 2 + daemon.hellos(); });
}

namespace {

// A daemon that answers the hello and then sends what the test says.
class Liar {
 public:
  Liar() : path_(directory_.path("liar.sock")), listener_(newSocket(false)) {
    const sockaddr_un address = socketAddress(path_);
    KV_CHECK_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address),
                       sizeof address), 0);
    KV_CHECK_EQ(::listen(listener_.get(), 8), 0);
  }
  const std::string& path() const { return path_; }
  // Answers one client with `answer`, then sends the rest.
  void serve(std::function<void(int)> body) {
    thread_ = std::thread([this, body] {
      UniqueFd peer(::accept(listener_.get(), nullptr, nullptr));
      char hello[128];
      receiveMessage(peer.get(), hello, sizeof hello, TakeFds::No);
      body(peer.get());
      char rest[128];
      while (receiveMessage(peer.get(), rest, sizeof rest, TakeFds::No).status ==
             ReceiveStatus::Message) {
      }
    });
  }
  void join() { thread_.join(); }

 private:
  TempDirectory directory_;
  std::string path_;
  UniqueFd listener_;
  std::thread thread_;
};

wire::Welcome someWelcome() {
  auto welcome = wire::make<wire::Welcome>(wire::Type::Welcome);
  welcome.servicePath[0] = '/';
  return welcome;
}

struct Lie {
  const char* what;
  std::uint32_t first, count, total;
  std::size_t fds;
  std::uint64_t bytes;
};

}  // namespace

KV_TEST("channel: a lying daemon ends the connection, never the client") {
  const std::size_t fdsBefore = openFds();
  const Lie lies[] = {
      {"fewer descriptors", 0, 2, 2, 1, kPage},   {"more descriptors", 0, 2, 2, 3, kPage},
      {"out of order", 1, 1, 2, 1, kPage},        {"more than the grant", 0, 2, 1, 2, kPage},
      {"no whole pages", 0, 1, 1, 1, kPage + 1},  {"no bytes", 0, 1, 1, 1, 0},
      {"an end of nothing", 0, 0, 0, 0, 0},       {"2^63 bytes", 0, 1, 1, 1, 1ULL << 63},
      {"wrapping", 0xffffffff, 2, 1, 2, kPage},
  };
  for (const Lie& lie : lies) {
    Liar liar;
    liar.serve([&](int peer) {
      const auto welcome = someWelcome();
      sendMessage(peer, &welcome, sizeof welcome);
      const std::vector<wire::ExtentEntry> entries(lie.count, wire::ExtentEntry{1, lie.bytes});
      auto header = wire::make<wire::Extents>(wire::Type::Extents,
                                              entries.size() * sizeof(wire::ExtentEntry));
      header.grantId = 1;
      header.first = lie.first;
      header.count = lie.count;
      header.total = lie.total;
      sendMessage(peer,
                  {{&header, sizeof header},
                   {entries.data(), entries.size() * sizeof(wire::ExtentEntry)}},
                  someFds(lie.fds));
    });
    Holder holder(openHost(), liar.path());
    const std::string reason = holder.awaitClosed();
    if (reason.find("broke the protocol") == std::string::npos) {
      throw Failure(std::string(lie.what) + ": " + reason);
    }
    KV_CHECK(holder.extents().empty());
    liar.join();
  }
  KV_CHECK_EQ(openFds(), fdsBefore);
}

KV_TEST("channel: descriptors that are no memory are a short answer") {
  Liar liar;
  std::atomic<std::uint32_t> imported{99};
  liar.serve([&](int peer) {
    const auto welcome = someWelcome();
    sendMessage(peer, &welcome, sizeof welcome);
    const wire::ExtentEntry entry{1, kPage};
    auto header = wire::make<wire::Extents>(wire::Type::Extents, sizeof entry);
    header.grantId = 1;
    header.count = header.total = 1;
    sendMessage(peer, {{&header, sizeof header}, {&entry, sizeof entry}}, someFds(1));
    wire::Ack ack{};
    receiveMessage(peer, &ack, sizeof ack, TakeFds::No);
    imported = ack.imported;
  });
  {
    Holder holder(openHost(), liar.path());
    KV_CHECK_EQ(holder.awaitGranted().imported, 0U);
  }
  liar.join();
  KV_CHECK_EQ(imported.load(), 0U);
}

KV_TEST("channel: random messages from a daemon never end the client's process") {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    Liar liar;
    std::vector<char> bytes(random() % 5000);
    for (auto& byte : bytes) byte = static_cast<char>(random());
    if (round % 2 == 0 && bytes.size() >= sizeof(wire::Header)) {
      const wire::Header header{wire::kMagic, wire::kVersion,
                                static_cast<std::uint16_t>(random() % 6),
                                static_cast<std::uint32_t>(bytes.size()), 0};
      std::memcpy(bytes.data(), &header, sizeof header);
    }
    liar.serve([&](int peer) {
      const auto welcome = someWelcome();
      sendMessage(peer, &welcome, sizeof welcome);
      sendMessage(peer, bytes.data(), bytes.size());
      ::shutdown(peer, SHUT_RDWR);
    });
    {
      Holder holder(openHost(), liar.path());
      KV_CHECK(!holder.awaitClosed().empty());
    }
    liar.join();
  }
}

KV_TEST("channel: an answer that is no welcome, or none, is an error of connect") {
  for (int kind = 0; kind < 4; ++kind) {
    Liar liar;
    liar.serve([&](int peer) {
      auto welcome = someWelcome();
      if (kind == 0) welcome.servicePath[0] = 0;
      if (kind == 1) welcome.header.version = 9;
      if (kind == 2) sendMessage(peer, &welcome, 30);
      if (kind < 2) sendMessage(peer, &welcome, sizeof welcome);
      if (kind == 3) ::shutdown(peer, SHUT_RDWR);
    });
    KV_CHECK_THROWS(kind == 3 ? Code::DaemonUnavailable : Code::Protocol,
                    Holder(openHost(), liar.path()));
    liar.join();
  }
}

}  // namespace kvspan::test
