#include "channel/socket.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.hpp"

namespace kvspan {
namespace {

constexpr std::size_t kPartsMax = 4;
constexpr std::int64_t kPollMsMax = 60'000;
constexpr std::size_t kControlBytes = CMSG_SPACE(kKernelFdsPerMessage * sizeof(int));

struct alignas(cmsghdr) ControlBuffer {
  std::array<char, kControlBytes> bytes;
};

// A message that was refused for one of these has not been sent, in no part. ETOOMANYREFS: the
// user's descriptors in flight, of all processes together, have reached RLIMIT_NOFILE.
bool mayPass(int error) {
  return error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == ETOOMANYREFS;
}

void attach(msghdr& message, ControlBuffer& control, const std::vector<UniqueFd>& fds) {
  const std::size_t payload = fds.size() * sizeof(int);
  message.msg_control = control.bytes.data();
  message.msg_controllen = CMSG_SPACE(payload);
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(payload);
  auto* to = CMSG_DATA(head);
  for (const auto& fd : fds) {
    const int number = fd.get();
    std::memcpy(to, &number, sizeof number);
    to += sizeof number;
  }
}

// `into` has room for every descriptor already, so nothing here can throw and leave one unowned.
void collect(msghdr& message, std::vector<UniqueFd>& into) noexcept {
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(head) + i * sizeof number, sizeof number);
      into.emplace_back(number);
    }
  }
}

SendStatus send(int socket, msghdr& message) noexcept {
  for (;;) {
    if (::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return SendStatus::Sent;
    if (errno == EINTR) continue;
    return mayPass(errno) ? SendStatus::Busy : SendStatus::Gone;
  }
}

}  // namespace

sockaddr_un socketAddress(const std::string& path) {
  sockaddr_un address{};
  constexpr std::size_t kPathBytesMax = sizeof address.sun_path - 1;
  if (path.empty() || path.size() > kPathBytesMax || path.find('\0') != std::string::npos) {
    throw Error::badField("path", std::to_string(path.size()) + " bytes (" + path + ")",
                          "1 to " + std::to_string(kPathBytesMax) +
                              " bytes without NUL, the limit of a Unix socket's path");
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UniqueFd newSocket(bool nonBlocking) {
  UniqueFd fd(
      ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (nonBlocking ? SOCK_NONBLOCK : 0), 0));
  if (!fd) throw Error(Code::Internal, std::string("socket: ") + std::strerror(errno));
  return fd;
}

SendStatus sendMessage(int socket, const std::vector<Part>& parts,
                       const std::vector<UniqueFd>& fds) noexcept {
  if (parts.size() > kPartsMax || fds.size() > kKernelFdsPerMessage) return SendStatus::Gone;
  std::array<iovec, kPartsMax> pieces{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    pieces[i] = {const_cast<void*>(parts[i].data), parts[i].bytes};
  }
  ControlBuffer control{};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = parts.size();
  if (!fds.empty()) attach(message, control, fds);
  return send(socket, message);
}

SendStatus sendMessage(int socket, const void* data, std::size_t bytes) noexcept {
  iovec piece{const_cast<void*>(data), bytes};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  return send(socket, message);
}

Received receiveMessage(int socket, void* buffer, std::size_t capacity, TakeFds takeFds) {
  Received received;
  ControlBuffer control;
  iovec piece{buffer, capacity};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (takeFds == TakeFds::Yes) {
    received.fds.reserve(kKernelFdsPerMessage);
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
  }
  ssize_t got = -1;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    received.error = errno;
    if (errno == EAGAIN) received.status = ReceiveStatus::Empty;
    return received;
  }
  if (takeFds == TakeFds::Yes) collect(message, received.fds);
  received.bytes = static_cast<std::size_t>(got);
  received.truncated = (message.msg_flags & MSG_TRUNC) != 0;
  received.fdsLost = (message.msg_flags & MSG_CTRUNC) != 0;
  received.status = got == 0 ? ReceiveStatus::Closed : ReceiveStatus::Message;
  return received;
}

bool waitReadable(int socket, std::uint32_t timeoutMs) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeoutMs);
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd wanted{socket, POLLIN, 0};
    const auto wait = std::clamp<std::int64_t>(left, 0, kPollMsMax);
    const int ready = ::poll(&wanted, 1, static_cast<int>(wait));
    if (ready > 0) return true;
    if (ready == 0 && left <= 0) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

}  // namespace kvspan
