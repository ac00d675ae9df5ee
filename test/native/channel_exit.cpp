// Peers that die, and what must be told and given back.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "channel/identity.hpp"
#include "channel_support.hpp"

namespace kvspan::test {
namespace {

// Connects, holds what comes, and sleeps until it is killed.
int holdForEver(const std::string& path) {
  Holder holder(openHost(), path, "child");
  for (;;) ::pause();
}

}  // namespace

KV_TEST("channel: another process gets memory, and its credentials are the kernel's") {
  Child child([](const std::string& path) {
    Holder holder(openHost(), path, "child");
    const auto granted = holder.awaitGranted();
    return granted.imported == 300 && holder.extents().size() == 300 ? 0 : 1;
  });
  const auto device = std::make_shared<HandleCount>(openHost());
  Daemon daemon(device);
  child.start(daemon.path());
  const ConnectionId id = daemon.connection();
  const pid_t pid = child.pid();
  KV_CHECK_EQ(daemon.seen(id).peer.pid, pid);
  KV_CHECK_EQ(daemon.seen(id).peer.uid, ::getuid());
  KV_CHECK_EQ(daemon.seen(id).peer.name, "child");
  const auto outcome = daemon.grantNow(id, 9, 300);
  KV_CHECK_EQ(outcome.importedCount, 300U);
  KV_CHECK_EQ(child.wait(), 0);
  daemon.awaitExited(id);
  const auto seen = daemon.seen(id);
  KV_CHECK_EQ(seen.closed, 1);
  KV_CHECK_EQ(seen.exited, 1);
  KV_CHECK(!seen.exitedBeforeClosed);
  KV_CHECK_EQ(device->live(), 0);
}

KV_TEST("channel: the daemon kills the process of a connection, open or closed, and no other") {
  for (const bool closeFirst : {false, true}) {
    Child child([](const std::string& path) { return holdForEver(path); });
    Daemon daemon(openHost());
    child.start(daemon.path());
    const ConnectionId id = daemon.connection();
    // It has been welcomed, and sleeps.
    KV_CHECK_EQ(daemon.grantNow(id, 1, 1).importedCount, 1U);
    if (closeFirst) {
      daemon.server().disconnect(id);
      daemon.awaitClosed(id);
    }
    // Nobody's, and so nobody is killed.
    daemon.server().kill(id + 1);
    daemon.server().kill(id);
    KV_CHECK_EQ(child.wait(), 128 + SIGKILL);
    daemon.awaitExited(id);
    // Its number may be another's by now.
    daemon.server().kill(id);
  }
}

KV_TEST("channel: a client that disconnects but lives has not exited") {
  Child child([](const std::string& path) {
    { Holder holder(openHost(), path); }
    for (;;) ::pause();
    return 0;
  });
  Daemon daemon(openHost());
  child.start(daemon.path());
  const ConnectionId id = daemon.connection();
  daemon.awaitClosed(id);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  KV_CHECK_EQ(daemon.seen(id).exited, 0);
  child.kill();
  KV_CHECK_EQ(child.wait(), 128 + SIGKILL);
  daemon.awaitExited(id);
  KV_CHECK_EQ(daemon.seen(id).closed, 1);
}

KV_TEST("channel: the session ends with its process, though a child inherited the socket") {
  Child child([](const std::string& path) {
    RawPeer peer(path);
    peer.enter();
    if (::fork() == 0) {
      ::sleep(2);
      ::_exit(0);
    }
    return 0;
  });
  Daemon daemon(openHost());
  child.start(daemon.path());
  const ConnectionId id = daemon.connection();
  KV_CHECK_EQ(child.wait(), 0);
  daemon.awaitExited(id);
  KV_CHECK_EQ(daemon.seen(id).closed, 1);
  KV_CHECK_EQ(daemon.seen(id).reason, "the client's process has exited");
}

KV_TEST("channel: fifty clients killed at random moments leave nothing behind") {
  constexpr std::size_t kKills = 50;
  std::vector<std::unique_ptr<Child>> children;
  for (std::size_t i = 0; i < kKills; ++i) children.push_back(std::make_unique<Child>(holdForEver));
  const auto device = std::make_shared<HandleCount>(openHost());
  Daemon daemon(device);
  const std::size_t fdsBefore = openFds();
  std::mt19937 random(20261123);
  for (auto& child : children) {
    child->start(daemon.path());
    std::atomic<int> outcomes{0};
    int grants = 0;
    // Some are killed before they have connected.
    const bool early = random() % 8 == 0;
    ConnectionId id = 0;
    if (!early) {
      id = daemon.connectionOf(child->pid());
      for (; grants < 4; ++grants) {
        daemon.grant(id, static_cast<std::uint64_t>(grants) + 1, random() % 2 ? 4 : 300,
                     [&](const GrantOutcome&) { ++outcomes; });
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 12000));
    child->kill();
    KV_CHECK_EQ(child->wait(), 128 + SIGKILL);
    if (!early) {
      daemon.awaitExited(id);
      KV_CHECK_EQ(outcomes.load(), grants);
      const auto seen = daemon.seen(id);
      KV_CHECK_EQ(seen.closed, 1);
      KV_CHECK_EQ(seen.exited, 1);
      KV_CHECK(!seen.exitedBeforeClosed);
    }
  }
  KV_CHECK_EQ(daemon.outcomesAfterExit(), 0U);
  eventually("no handle", [&] { return device->live() == 0; });
  // Each child had two pipes from this process, closed since.
  eventually("no descriptor", [&] { return openFds() + 2 * kKills == fdsBefore; });
}

KV_TEST("channel: a process welcomed after it has died is still told as exited, once") {
  Child child([](const std::string& path) {
    RawPeer peer(path);
    peer.hello("mayfly");
    return 0;
  });
  Daemon daemon(openHost(), {}, false);
  child.start(daemon.path());
  const ConnectionId id = daemon.connection();
  KV_CHECK_EQ(child.wait(), 0);
  daemon.awaitClosed(id);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  KV_CHECK_EQ(daemon.seen(id).exited, 0);
  const std::uint8_t token[32] = {};
  daemon.server().welcome(id, 1, token, "/service.sock");
  daemon.awaitExited(id);
  KV_CHECK_EQ(daemon.seen(id).exited, 1);
  KV_CHECK_EQ(daemon.grantNow(id, 1, 1).failureCode, "GRANT_CANCELLED");
}

KV_TEST("channel: a client refused is told why, closed once, and never exited") {
  Child child([](const std::string& path) {
    try {
      Holder holder(openHost(), path);
    } catch (const Error& error) {
      const bool told = error.code() == Code::SessionLimit &&
                        std::string(error.what()) == "64 sessions, the limit";
      return told ? 0 : 1;
    }
    return 2;
  });
  Daemon daemon(openHost(), {}, false);
  child.start(daemon.path());
  const ConnectionId id = daemon.connection();
  daemon.server().refuse(id, "SESSION_LIMIT", "64 sessions, the limit");
  KV_CHECK_EQ(child.wait(), 0);
  daemon.awaitClosed(id);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  KV_CHECK_EQ(daemon.seen(id).closed, 1);
  KV_CHECK_EQ(daemon.seen(id).exited, 0);
}

KV_TEST("channel: without SO_PEERPIDFD a pidfd is found by number, and a dead peer is noticed") {
  int ends[2];
  KV_CHECK_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  UniqueFd pidfd = pidfdByNumber(ours.get(), ::getpid(), ::getuid());
  KV_CHECK(static_cast<bool>(pidfd));
  KV_CHECK(!waitReadable(pidfd.get(), 10));
  theirs.reset();
  KV_CHECK_THROWS(Code::DaemonUnavailable, pidfdByNumber(ours.get(), ::getpid(), ::getuid()));
}

KV_TEST("channel: a pid that another user's process has taken is not the peer's") {
  if (::geteuid() != 0) throw Skip("needs root, to become another user");
  constexpr uid_t kOther = 65534;
  int pipe[2];
  KV_CHECK_EQ(::pipe(pipe), 0);
  UniqueFd reading(pipe[0]);
  UniqueFd writing(pipe[1]);
  Child child([&](const std::string&) {
    // Without the second call its entry in /proc would be root's.
    if (::setuid(kOther) != 0 || ::prctl(PR_SET_DUMPABLE, 1) != 0) return 1;
    if (::write(writing.get(), "x", 1) != 1) return 2;
    for (;;) ::pause();
  });
  child.start("-");
  char byte;
  KV_CHECK_EQ(::read(reading.get(), &byte, 1), 1);
  int ends[2];
  KV_CHECK_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  KV_CHECK(static_cast<bool>(pidfdByNumber(ours.get(), child.pid(), kOther)));
  KV_CHECK_THROWS(Code::DaemonUnavailable, pidfdByNumber(ours.get(), child.pid(), kOther - 1));
}

KV_TEST("channel: a peer outside the daemon's pid namespace is refused with a reason") {
  if (::geteuid() != 0) throw Skip("needs root, to make a pid namespace");
  int ends[2];
  KV_CHECK_EQ(::pipe(ends), 0);
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  TempDirectory directory;
  const std::string socketPath = directory.path("inner.sock");
  Child child([&](const std::string&) {
    if (::unshare(CLONE_NEWPID) != 0) return 77;
    const pid_t inner = ::fork();
    if (inner != 0) {
      char byte;
      while (::read(ends[0], &byte, 1) > 0 && byte != 'q') {
      }
      ::kill(inner, SIGKILL);
      return 0;
    }
    Daemon daemon(openHost(), [&](ListenOptions& options) { options.path = socketPath; });
    for (;;) ::pause();
    return 0;
  });
  child.start("-");
  bool refused = false;
  eventually("an answer", [&] {
    try {
      Holder holder(openHost(), socketPath);
    } catch (const Error& error) {
      refused = error.code() == Code::PermissionDenied &&
                std::string(error.what()).find("pid namespace") != std::string::npos;
      return refused;
    }
    return true;
  });
  KV_CHECK(refused);
  KV_CHECK_EQ(::write(writing.get(), "q", 1), 1);
  KV_CHECK_EQ(child.wait(), 0);
}

}  // namespace kvspan::test
