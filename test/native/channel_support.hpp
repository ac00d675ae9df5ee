// What the channel's tests share: a daemon of the shape that the real one has, clients that keep
// what they get, child processes, and counts of what must not leak.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "channel/client.hpp"
#include "channel/messages.hpp"
#include "channel/server.hpp"
#include "channel/socket.hpp"
#include "device/device.hpp"
#include "device/forwarding_device.hpp"
#include "harness.hpp"

namespace kvspan::test {

inline constexpr std::uint64_t kPage = 2ULL << 20;
inline constexpr std::uint32_t kPatienceMs = 20000;

// Open descriptors of this process.
std::size_t openFds();
// Waits until the condition holds; fails the test after kPatienceMs.
void eventually(const char* what, const std::function<bool()>& condition);

// A directory of its own, removed at the end.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

 private:
  std::string directory_;
};

// Counts the handles that are held.
class HandleCount : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  Handle create(std::uint64_t bytes) override;
  Handle importHandle(int fd, std::uint64_t bytes) override;
  void release(Handle handle) override;
  long live() const { return live_; }
  long creates() const { return creates_; }

 private:
  std::atomic<long> live_{0};
  std::atomic<long> creates_{0};
};

std::shared_ptr<Device> openHost();

// A server that welcomes everybody (or leaves it to the test) and writes down what happens.
class Daemon {
 public:
  struct Seen {
    PeerIdentity peer;
    int hellos = 0, closed = 0, exited = 0;
    bool exitedBeforeClosed = false;
    std::string reason;
  };

  explicit Daemon(std::shared_ptr<Device> device, std::function<void(ListenOptions&)> adjust = {},
                  bool welcomes = true);
  ~Daemon() { close(); }

  const std::string& path() const { return path_; }
  ChannelServer& server() { return *server_; }
  // The newest connection that said hello, once there are `count`.
  ConnectionId connection(std::size_t count = 1);
  // That of a process, once it has said hello.
  ConnectionId connectionOf(pid_t pid);
  Seen seen(ConnectionId id);
  std::size_t hellos();
  void awaitClosed(ConnectionId id);
  void awaitExited(ConnectionId id);
  void close();

  // Grants `count` extents of a page with the ids firstId, firstId + 1, ...
  void grant(ConnectionId id, std::uint64_t grantId, std::uint32_t count,
             std::function<void(GrantOutcome)> done, std::uint32_t ackTimeoutMs = kPatienceMs,
             std::uint64_t firstId = 1);
  // The same, and waits for its outcome.
  GrantOutcome grantNow(ConnectionId id, std::uint64_t grantId, std::uint32_t count,
                        std::uint32_t ackTimeoutMs = kPatienceMs, std::uint64_t firstId = 1);
  std::size_t outcomesAfterExit();

 private:
  TempDirectory directory_;
  std::string path_;
  std::mutex mutex_;
  std::map<ConnectionId, Seen> seen_;
  ConnectionId newest_ = 0;
  std::size_t outcomesAfterExit_ = 0;
  std::unique_ptr<ChannelServer> server_;
  // The server as its own threads may see it, which run before `listen` has returned.
  std::atomic<ChannelServer*> ready_{nullptr};
};

// A client that keeps its extents and releases them at the end.
class Holder {
 public:
  Holder(std::shared_ptr<Device> device, const std::string& path,
         const std::string& name = "holder");
  ~Holder();

  struct Granted {
    std::uint64_t id;
    std::uint32_t imported;
    std::string failure;
  };
  ChannelClient& client() { return *client_; }
  std::vector<Extent> extents();
  Granted awaitGranted(std::size_t nth = 1);
  std::string awaitClosed();
  void releaseAll();

 private:
  std::shared_ptr<Device> device_;
  std::mutex mutex_;
  std::vector<Extent> extents_;
  std::vector<Granted> granted_;
  std::vector<std::string> closed_;
  std::unique_ptr<ChannelClient> client_;
};

// A peer that speaks the protocol by hand, and so can break it.
class RawPeer {
 public:
  explicit RawPeer(const std::string& path);
  void send(const void* data, std::size_t bytes, const std::vector<UniqueFd>& fds = {});
  void hello(const std::string& name = "raw");
  // Receives one message; Closed once the server has hung up. Fails the test after kPatienceMs.
  Received receive(std::vector<char>& bytes);
  // Says hello and takes the welcome.
  void enter();
  void awaitHangUp();
  int fd() const { return socket_.get(); }
  void close() { socket_.reset(); }

 private:
  UniqueFd socket_;
};

// A child process, forked while this one has a single thread, that waits for `start`.
class Child {
 public:
  // Runs `body(path)`; the child's exit status is what it returns.
  explicit Child(const std::function<int(const std::string&)>& body);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void start(const std::string& path);
  // For `body`: tells the parent that it has come this far; each call is one awaitReady().
  static void ready();
  void awaitReady();
  pid_t pid() const { return pid_; }
  void kill();
  // Reaps it. Its exit status, or 128 + the signal that ended it.
  int wait();

 private:
  static int readyFd_;
  pid_t pid_ = -1;
  UniqueFd pipe_;
  UniqueFd heard_;
};

}  // namespace kvspan::test
