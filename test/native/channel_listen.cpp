// The socket's file, who may connect, and what a server says when it cannot serve.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "channel_support.hpp"

namespace kvspan::test {
namespace {

mode_t modeOf(const std::string& path) {
  struct stat found {};
  KV_CHECK_EQ(::lstat(path.c_str(), &found), 0);
  KV_CHECK(S_ISSOCK(found.st_mode));
  return found.st_mode & 07777;
}

bool exists(const std::string& path) {
  struct stat found {};
  return ::lstat(path.c_str(), &found) == 0;
}

std::unique_ptr<ChannelServer> listenAt(const std::string& path, mode_t mode = 0600) {
  ListenOptions options;
  options.path = path;
  options.mode = mode;
  return ChannelServer::listen(openHost(), options, {});
}

void leaveStaleSocket(const std::string& path, int type) {
  UniqueFd fd(::socket(AF_UNIX, type, 0));
  const sockaddr_un address = socketAddress(path);
  KV_CHECK_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

}  // namespace

KV_TEST("channel: the socket file has the mode asked for, whatever the umask") {
  TempDirectory directory;
  for (const mode_t mask : {0U, 022U, 077U, 0777U}) {
    const mode_t before = ::umask(mask);
    for (const mode_t mode : {0600U, 0660U, 0666U}) {
      const auto server = listenAt(directory.path("s"), mode);
      const mode_t found = modeOf(directory.path("s"));
      if (found != mode) ::umask(before);
      KV_CHECK_EQ(found, mode);
      const mode_t now = ::umask(mask);
      KV_CHECK_EQ(now, mask);
    }
    ::umask(before);
  }
}

KV_TEST("channel: a mode that is no permission is refused") {
  TempDirectory directory;
  KV_CHECK_THROWS(Code::InvalidArgument, listenAt(directory.path("s"), 01600));
  KV_CHECK(!exists(directory.path("s")));
}

KV_TEST("channel: a socket file left over is replaced and removed at the end") {
  TempDirectory directory;
  const std::string path = directory.path("s");
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    leaveStaleSocket(path, type);
    Daemon daemon(openHost(), [&](ListenOptions& options) { options.path = path; });
    Holder holder(openHost(), path);
    daemon.close();
    KV_CHECK(!exists(path));
  }
}

KV_TEST("channel: a file that is no socket is left alone") {
  TempDirectory directory;
  const std::string path = directory.path("precious");
  std::ofstream(path) << "data";
  KV_CHECK_THROWS(Code::InvalidArgument, listenAt(path));
  std::string content;
  std::ifstream(path) >> content;
  KV_CHECK_EQ(content, "data");
  KV_CHECK_EQ(::symlink(path.c_str(), directory.path("link").c_str()), 0);
  KV_CHECK_THROWS(Code::InvalidArgument, listenAt(directory.path("link")));
  KV_CHECK(exists(directory.path("link")));
}

KV_TEST("channel: a server that ends leaves its successor's file alone") {
  TempDirectory directory;
  const std::string path = directory.path("s");
  auto first = listenAt(path);
  auto second = listenAt(path);
  first->close();
  KV_CHECK(exists(path));
  second->close();
  KV_CHECK(!exists(path));
}

KV_TEST("channel: a path that cannot be is refused before anything is made") {
  KV_CHECK_THROWS(Code::InvalidArgument, listenAt("/tmp/" + std::string(103, 'x')));
  KV_CHECK_THROWS(Code::InvalidArgument, listenAt(""));
  KV_CHECK_THROWS(Code::InvalidArgument, listenAt(std::string("/tmp/a\0b", 8)));
  KV_CHECK_THROWS(Code::InvalidArgument, listenAt("/tmp/kvspan-no-such-directory/s"));
  TempDirectory directory;
  const std::string longest =
      directory.path(std::string(107 - directory.path("").size(), 'x'));
  KV_CHECK_EQ(longest.size(), 107U);
  Daemon daemon(openHost(), [&](ListenOptions& options) { options.path = longest; });
  Holder holder(openHost(), longest);
  KV_CHECK_THROWS(Code::InvalidArgument, Holder(openHost(), std::string(108, 'x')));
}

KV_TEST("channel: options out of range are refused") {
  ListenOptions options;
  options.path = "/tmp/kvspan-unused";
  options.connectionsMax = 0;
  KV_CHECK_THROWS(Code::InvalidArgument, ChannelServer::listen(openHost(), options, {}));
  options.connectionsMax = 1;
  options.helloTimeoutMs = 0;
  KV_CHECK_THROWS(Code::InvalidArgument, ChannelServer::listen(openHost(), options, {}));
}

KV_TEST("channel: connecting says who is not there") {
  TempDirectory directory;
  const std::string path = directory.path("s");
  KV_CHECK_THROWS(Code::DaemonUnavailable, Holder(openHost(), path));
  leaveStaleSocket(path, SOCK_SEQPACKET);
  KV_CHECK_THROWS(Code::DaemonUnavailable, Holder(openHost(), path));
  ::unlink(path.c_str());
  UniqueFd stream(::socket(AF_UNIX, SOCK_STREAM, 0));
  const sockaddr_un address = socketAddress(path);
  KV_CHECK_EQ(::bind(stream.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  KV_CHECK_EQ(::listen(stream.get(), 1), 0);
  KV_CHECK_THROWS(Code::Protocol, Holder(openHost(), path));
  try {
    Holder(openHost(), directory.path("nobody"));
  } catch (const Error& error) {
    KV_CHECK(std::string(error.what()).find(directory.path("nobody")) != std::string::npos);
  }
}

KV_TEST("channel: who may not open the socket is told so") {
  if (::geteuid() != 0) throw Skip("needs root, to become another user");
  Child child([](const std::string& path) {
    if (::setuid(65534) != 0) return 77;
    try {
      Holder holder(openHost(), path);
    } catch (const Error& error) {
      return error.code() == Code::PermissionDenied ? 0 : 1;
    }
    return 2;
  });
  Daemon daemon(openHost());
  child.start(daemon.path());
  KV_CHECK_EQ(child.wait(), 0);
  KV_CHECK_EQ(daemon.hellos(), 0U);
}

KV_TEST("channel: a connection without a hello is dropped in time, and never told of") {
  Daemon daemon(openHost(), [](ListenOptions& options) { options.helloTimeoutMs = 80; });
  const std::size_t fdsBefore = openFds();
  RawPeer silent(daemon.path());
  Holder good(openHost(), daemon.path());
  const auto start = std::chrono::steady_clock::now();
  silent.awaitHangUp();
  const auto waited = std::chrono::steady_clock::now() - start;
  KV_CHECK(waited > std::chrono::milliseconds(40) && waited < std::chrono::seconds(10));
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  // The one that said hello stays, however long it is quiet.
  KV_CHECK_EQ(daemon.grantNow(daemon.connection(), 1, 1).importedCount, 1U);
  KV_CHECK_EQ(daemon.hellos(), 1U);
  silent.close();
  good.releaseAll();
  // The good one's two ends and its pidfd.
  eventually("no descriptor left", [&] { return openFds() == fdsBefore + 3; });
}

KV_TEST("channel: a daemon that does not answer is a timeout") {
  Daemon daemon(openHost(), {}, false);
  KV_CHECK_THROWS(Code::DaemonUnavailable,
                  ChannelClient::connect(openHost(), daemon.path(), "x", 60, {}));
  KV_CHECK_THROWS(Code::InvalidArgument,
                  ChannelClient::connect(openHost(), daemon.path(), "x", 0, {}));
}

KV_TEST("channel: the connection past the limit is refused with a reason, the others work") {
  Daemon daemon(openHost(), [](ListenOptions& options) { options.connectionsMax = 3; });
  Holder first(openHost(), daemon.path());
  Holder second(openHost(), daemon.path());
  auto third = std::make_unique<RawPeer>(daemon.path());
  for (int i = 0; i < 20; ++i) {
    KV_CHECK_THROWS(Code::SessionLimit, Holder(openHost(), daemon.path()));
  }
  KV_CHECK_EQ(daemon.grantNow(daemon.connection(2), 1, 2).importedCount, 2U);
  // One that never said hello leaves its place at once.
  third.reset();
  eventually("room again", [&] {
    try {
      Holder fourth(openHost(), daemon.path());
      return true;
    } catch (const Error&) {
      return false;
    }
  });
}

}  // namespace kvspan::test
