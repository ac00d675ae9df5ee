// Life of the server, and its loop.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.hpp"
#include "channel/server_impl.hpp"
#include "channel/tags.hpp"

namespace kvspan {
namespace {

constexpr std::size_t kEventsAtOnce = 64;
constexpr std::uint32_t kConnectionsMax = 1U << 20;
// Small messages may have this part of the large ones' descriptors in flight, besides those.
constexpr std::uint32_t kSmallCreditPart = 8;

UniqueFd checked(int fd, const char* call) {
  if (fd < 0) throw Error(Code::Internal, std::string(call) + ": " + std::strerror(errno));
  return UniqueFd(fd);
}

void checkOptions(const ListenOptions& options) {
  if (options.connectionsMax == 0 || options.connectionsMax > kConnectionsMax) {
    throw Error::badField("connectionsMax", std::to_string(options.connectionsMax),
                          "1 to " + std::to_string(kConnectionsMax));
  }
  if (options.helloTimeoutMs == 0) throw Error::badField("helloTimeoutMs", "0", "at least 1");
}

}  // namespace

std::unique_ptr<ChannelServer> ChannelServer::listen(std::shared_ptr<Device> device,
                                                     ListenOptions options, ServerEvents events) {
  checkOptions(options);
  return std::make_unique<Server>(std::move(device), std::move(options), std::move(events));
}

Server::Server(std::shared_ptr<Device> device, ListenOptions options, ServerEvents events)
    : device_(std::move(device)),
      options_(std::move(options)),
      events_(std::move(events)),
      listener_(options_.path, options_.mode),
      epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      timer_(checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
                     "timerfd_create")),
      wake_(checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      spare_(checked(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open /dev/null")),
      credit_(CreditLine::limitOfThisProcess()),
      smallCredit_(std::max(kInlineExtents, credit_.limit() / kSmallCreditPart)) {
  watch(listener_.fd(), tagOf(Watched::Listener, 0));
  watch(timer_.get(), tagOf(Watched::Timer, 0));
  watch(wake_.get(), tagOf(Watched::Wake, 0));
  loop_ = std::thread([this] { run(); });
}

void Server::run() {
  std::array<epoll_event, kEventsAtOnce> events;
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
      if (watchedBy(tag) == Watched::Wake) return closeAll();
      dispatch(tag);
    }
  }
}

// A tag holds a number, never a pointer: an event of a connection that this very round has ended
// finds nothing.
void Server::dispatch(std::uint64_t tag) {
  switch (watchedBy(tag)) {
    case Watched::Listener:
      return acceptOne();
    case Watched::Timer:
      return onTimer();
    default:
      break;
  }
  ConnectionPtr connection;
  {
    const Lock lock(mutex_);
    connection = find(connectionOf(tag));
  }
  if (!connection) return;
  if (watchedBy(tag) == Watched::Process) return onProcessExit(connection);
  onReadable(connection);
}

void Server::onTimer() {
  std::uint64_t expirations = 0;
  if (::read(timer_.get(), &expirations, sizeof expirations) < 0) return;
  std::vector<std::pair<ConnectionPtr, std::string>> late;
  {
    const Lock lock(mutex_);
    armed_.reset();
    const auto now = ChannelClock::now();
    std::optional<ChannelClock::time_point> next;
    for (const auto& [id, connection] : connections_) {
      if (connection->gone || !connection->deadline) continue;
      if (*connection->deadline <= now) {
        late.emplace_back(connection, connection->phase == Phase::Connected
                                          ? "said no hello in time"
                                          : "did not acknowledge extents in time");
      } else if (!next || *connection->deadline < *next) {
        next = connection->deadline;
      }
    }
    if (next) armTimer(*next);
  }
  for (const auto& [connection, reason] : late) endConnection(connection, reason);
}

// The timer is never put off or stopped: a deadline that was met lets it fire once for nothing,
// which is cheaper than a system call for every message.
void Server::armTimer(ChannelClock::time_point deadline) {
  if (armed_ && *armed_ <= deadline) return;
  armed_ = deadline;
  const auto since = deadline.time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  itimerspec when{};
  when.it_value.tv_sec = seconds.count();
  when.it_value.tv_nsec = std::chrono::nanoseconds(since - seconds).count();
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void Server::watch(int fd, std::uint64_t tag) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    throw Error(Code::Internal, std::string("epoll_ctl: ") + std::strerror(errno));
  }
}

void Server::unwatch(int fd) const noexcept {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

ConnectionPtr Server::find(ConnectionId id) const {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second;
}

// The loop sees the hang-up and does the rest.
void Server::shutDown(Connection& connection, const std::string& reason) {
  if (connection.gone) return;
  if (connection.closeReason.empty()) connection.closeReason = reason;
  ::shutdown(connection.socket->get(), SHUT_RDWR);
}

void Server::closeAll() {
  std::vector<ConnectionPtr> all;
  {
    const Lock lock(mutex_);
    for (const auto& [id, connection] : connections_) all.push_back(connection);
  }
  for (const auto& connection : all) endConnection(connection, "the daemon is closing");
}

void Server::close() {
  const std::lock_guard closing(closing_);
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  hurry_ = true;
  if (!loop_.joinable()) return;
  const std::uint64_t one = 1;
  while (::write(wake_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  loop_.join();
  {
    // No connection is left to send to, so who is still inside `grant` is about to leave.
    Lock lock(mutex_);
    callersLeft_.wait(lock, [this] { return callers_ == 0; });
  }
  worker_.finish();
  listener_.close();
  const Lock lock(mutex_);
  connections_.clear();
}

}  // namespace kvspan
