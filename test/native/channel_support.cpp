#include "channel_support.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <future>
#include <thread>

namespace kvspan::test {

std::size_t openFds() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

void eventually(const char* what, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) throw Failure(std::string("never: ") + what);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TempDirectory::TempDirectory() {
  char name[] = "/tmp/kvspan-channel-XXXXXX";
  if (::mkdtemp(name) == nullptr) throw Failure("mkdtemp failed");
  directory_ = name;
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

Handle HandleCount::create(std::uint64_t bytes) {
  const Handle handle = ForwardingDevice::create(bytes);
  ++live_;
  ++creates_;
  return handle;
}

Handle HandleCount::importHandle(int fd, std::uint64_t bytes) {
  const Handle handle = ForwardingDevice::importHandle(fd, bytes);
  ++live_;
  return handle;
}

void HandleCount::release(Handle handle) {
  ForwardingDevice::release(handle);
  --live_;
}

std::shared_ptr<Device> openHost() { return openDevice({"host", 0, ""}); }

Daemon::Daemon(std::shared_ptr<Device> device, std::function<void(ListenOptions&)> adjust,
               bool welcomes)
    : path_(directory_.path("extents.sock")) {
  ListenOptions options;
  options.path = path_;
  if (adjust) adjust(options);
  path_ = options.path;
  ServerEvents events;
  events.hello = [this, welcomes](ConnectionId id, const PeerIdentity& peer) {
    if (welcomes) {
      std::uint8_t token[32];
      for (std::size_t i = 0; i < sizeof token; ++i) token[i] = static_cast<std::uint8_t>(i + id);
      ready_.wait(nullptr);
      ready_.load()->welcome(id, 1000 + id, token, "/service.sock");
    }
    // Last: whoever waits for it may grant to it at once.
    const std::lock_guard lock(mutex_);
    seen_[id].peer = peer;
    ++seen_[id].hellos;
    newest_ = id;
  };
  events.closed = [this](ConnectionId id, const std::string& reason) {
    const std::lock_guard lock(mutex_);
    ++seen_[id].closed;
    seen_[id].reason = reason;
  };
  events.exited = [this](ConnectionId id) {
    const std::lock_guard lock(mutex_);
    auto& seen = seen_[id];
    ++seen.exited;
    if (seen.closed == 0) seen.exitedBeforeClosed = true;
  };
  server_ = ChannelServer::listen(std::move(device), options, events);
  ready_ = server_.get();
  ready_.notify_all();
}

ConnectionId Daemon::connection(std::size_t count) {
  eventually("a hello", [&] { return hellos() >= count; });
  const std::lock_guard lock(mutex_);
  return newest_;
}

ConnectionId Daemon::connectionOf(pid_t pid) {
  ConnectionId found = 0;
  eventually("its hello", [&] {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, seen] : seen_) {
      if (seen.peer.pid == pid) found = id;
    }
    return found != 0;
  });
  return found;
}

Daemon::Seen Daemon::seen(ConnectionId id) {
  const std::lock_guard lock(mutex_);
  return seen_[id];
}

std::size_t Daemon::hellos() {
  const std::lock_guard lock(mutex_);
  // Whoever asks about a connection that never was leaves an entry without one.
  return static_cast<std::size_t>(std::count_if(
      seen_.begin(), seen_.end(), [](const auto& entry) { return entry.second.hellos > 0; }));
}

void Daemon::awaitClosed(ConnectionId id) {
  eventually("closed", [&] { return seen(id).closed > 0; });
}

void Daemon::awaitExited(ConnectionId id) {
  eventually("exited", [&] { return seen(id).exited > 0; });
}

void Daemon::close() {
  if (server_) server_->close();
}

void Daemon::grant(ConnectionId id, std::uint64_t grantId, std::uint32_t count,
                   std::function<void(GrantOutcome)> done, std::uint32_t ackTimeoutMs,
                   std::uint64_t firstId) {
  std::vector<GrantItem> items;
  for (std::uint32_t i = 0; i < count; ++i) items.push_back({firstId + i, kPage});
  server_->grant(id, grantId, std::move(items), ackTimeoutMs,
                 [this, id, done = std::move(done)](GrantOutcome outcome) {
                   {
                     const std::lock_guard lock(mutex_);
                     if (seen_[id].exited > 0) ++outcomesAfterExit_;
                   }
                   done(std::move(outcome));
                 });
}

GrantOutcome Daemon::grantNow(ConnectionId id, std::uint64_t grantId, std::uint32_t count,
                              std::uint32_t ackTimeoutMs, std::uint64_t firstId) {
  const auto outcome = std::make_shared<std::promise<GrantOutcome>>();
  auto future = outcome->get_future();
  grant(id, grantId, count, [outcome](GrantOutcome one) { outcome->set_value(std::move(one)); },
        ackTimeoutMs, firstId);
  if (future.wait_for(std::chrono::milliseconds(2 * kPatienceMs)) != std::future_status::ready) {
    throw Failure("a grant without an outcome");
  }
  return future.get();
}

std::size_t Daemon::outcomesAfterExit() {
  const std::lock_guard lock(mutex_);
  return outcomesAfterExit_;
}

Holder::Holder(std::shared_ptr<Device> device, const std::string& path, const std::string& name)
    : device_(device) {
  ClientEvents events;
  events.extents = [this](std::vector<Extent> extents) {
    const std::lock_guard lock(mutex_);
    extents_.insert(extents_.end(), extents.begin(), extents.end());
  };
  events.granted = [this](std::uint64_t id, std::uint32_t imported, const std::string& failure) {
    const std::lock_guard lock(mutex_);
    granted_.push_back({id, imported, failure});
  };
  events.closed = [this](const std::string& reason) {
    const std::lock_guard lock(mutex_);
    closed_.push_back(reason);
  };
  client_ = ChannelClient::connect(std::move(device), path, name, kPatienceMs, std::move(events));
}

Holder::~Holder() {
  client_.reset();
  releaseAll();
}

std::vector<Extent> Holder::extents() {
  const std::lock_guard lock(mutex_);
  return extents_;
}

Holder::Granted Holder::awaitGranted(std::size_t nth) {
  eventually("granted", [&] {
    const std::lock_guard lock(mutex_);
    return granted_.size() >= nth;
  });
  const std::lock_guard lock(mutex_);
  return granted_[nth - 1];
}

std::string Holder::awaitClosed() {
  eventually("the client's closed", [&] {
    const std::lock_guard lock(mutex_);
    return !closed_.empty();
  });
  const std::lock_guard lock(mutex_);
  KV_CHECK_EQ(closed_.size(), 1U);
  return closed_[0];
}

void Holder::releaseAll() {
  const std::lock_guard lock(mutex_);
  for (const auto& extent : extents_) device_->release(extent.handle);
  extents_.clear();
}

RawPeer::RawPeer(const std::string& path) : socket_(newSocket(false)) {
  const sockaddr_un address = socketAddress(path);
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw Failure("connect failed: " + std::to_string(errno));
  }
}

void RawPeer::send(const void* data, std::size_t bytes, const std::vector<UniqueFd>& fds) {
  sendMessage(socket_.get(), {{data, bytes}}, fds);
}

void RawPeer::hello(const std::string& name) {
  auto hello = wire::make<wire::Hello>(wire::Type::Hello);
  wire::putText(hello.name, sizeof hello.name, name);
  send(&hello, sizeof hello);
}

Received RawPeer::receive(std::vector<char>& bytes) {
  if (!waitReadable(socket_.get(), kPatienceMs)) throw Failure("nothing was received");
  bytes.resize(8192);
  Received received =
      receiveMessage(socket_.get(), bytes.data(), bytes.size(), TakeFds::Yes);
  bytes.resize(received.bytes);
  return received;
}

void RawPeer::enter() {
  hello();
  std::vector<char> bytes;
  KV_CHECK(receive(bytes).status == ReceiveStatus::Message);
  KV_CHECK(wire::typeOf(bytes.data()) == wire::Type::Welcome);
}

void RawPeer::awaitHangUp() {
  for (int i = 0; i < 100; ++i) {
    std::vector<char> bytes;
    if (receive(bytes).status == ReceiveStatus::Closed) return;
  }
  throw Failure("the server did not hang up");
}

int Child::readyFd_ = -1;

Child::Child(const std::function<int(const std::string&)>& body) {
  int ends[2];
  int told[2];
  if (::pipe(ends) != 0 || ::pipe2(told, O_CLOEXEC) != 0) throw Failure("pipe failed");
  UniqueFd reading(ends[0]);
  UniqueFd telling(told[1]);
  pipe_.reset(ends[1]);
  heard_.reset(told[0]);
  pid_ = ::fork();
  if (pid_ != 0) return;
  pipe_.reset();
  heard_.reset();
  readyFd_ = telling.get();
  char path[128] = {};
  int status = 99;
  if (::read(reading.get(), path, sizeof path - 1) > 0) {
    try {
      status = body(path);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
      status = 98;
    }
  }
  ::_exit(status);
}

Child::~Child() {
  if (pid_ > 0 && pipe_) {
    pipe_.reset();
    kill();
    wait();
  }
}

void Child::start(const std::string& path) {
  if (::write(pipe_.get(), path.data(), path.size()) < 0) throw Failure("write failed");
}

void Child::ready() {
  if (::write(readyFd_, "r", 1) != 1) throw Failure("the parent has gone");
}

void Child::awaitReady() {
  char byte;
  if (::read(heard_.get(), &byte, 1) != 1) throw Failure("the child ended before it was ready");
}

void Child::kill() { ::kill(pid_, SIGKILL); }

int Child::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pipe_.reset();
  heard_.reset();
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace kvspan::test
