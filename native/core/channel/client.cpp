#include "channel/client.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "channel/inbox.hpp"
#include "channel/messages.hpp"
#include "channel/socket.hpp"

namespace kvspan {
namespace {

// A daemon that refuses a connection may close before it has read the hello; the refusal itself
// still lies in the queue behind the error.
Received receivePastReset(int socket, void* buffer, std::size_t capacity, TakeFds takeFds) {
  Received received = receiveMessage(socket, buffer, capacity, takeFds);
  if (received.status == ReceiveStatus::Failed && received.error == ECONNRESET) {
    received = receiveMessage(socket, buffer, capacity, takeFds);
  }
  return received;
}

[[noreturn]] void throwConnect(int error, const std::string& path) {
  const std::string sentence = "connect to " + path + ": " + std::strerror(error);
  switch (error) {
    case EACCES:
    case EPERM:
      throw Error(Code::PermissionDenied, sentence);
    case EPROTOTYPE:
      throw Error(Code::Protocol, sentence + " (not an extent channel)");
    case ENOENT:
    case ECONNREFUSED:
      throw Error(Code::DaemonUnavailable, sentence + " (no daemon listens there)");
    case EAGAIN:
      throw Error(Code::DaemonUnavailable, sentence + " (the daemon does not answer)");
    default:
      throw Error(Code::DaemonUnavailable, sentence);
  }
}

UniqueFd connectTo(const std::string& path, std::uint32_t timeoutMs) {
  const sockaddr_un address = socketAddress(path);
  UniqueFd fd = newSocket(false);
  // A full queue of connections makes `connect` wait as long as a send may.
  const timeval patience{timeoutMs / 1000, static_cast<suseconds_t>(timeoutMs % 1000) * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int result = -1;
  do {
    result = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (result != 0 && errno == EINTR);
  if (result != 0) throwConnect(errno, path);
  return fd;
}

void sayHello(int socket, const std::string& name) {
  auto hello = wire::make<wire::Hello>(wire::Type::Hello);
  wire::putText(hello.name, sizeof hello.name, name);
  // If it cannot be sent the daemon's refusal tells why.
  sendMessage(socket, &hello, sizeof hello);
}

std::optional<Error> refusalIn(const void* data, std::size_t bytes) {
  wire::Refused refused;
  if (!wire::read(refused, wire::Type::Refused, data, bytes).empty()) return std::nullopt;
  return Error(codeFromName(wire::getText(refused.code, sizeof refused.code)),
               wire::getText(refused.text, sizeof refused.text));
}

ClientWelcome readWelcome(const void* data, std::size_t bytes) {
  if (const auto refusal = refusalIn(data, bytes)) throw *refusal;
  wire::Welcome message;
  std::string wrong = wire::read(message, wire::Type::Welcome, data, bytes);
  const std::size_t length = ::strnlen(message.servicePath, sizeof message.servicePath);
  if (wrong.empty() && (length == 0 || length == sizeof message.servicePath)) {
    wrong = "a welcome without the path of the service";
  }
  if (!wrong.empty()) throw Error(Code::Protocol, "the daemon broke the protocol: " + wrong);
  ClientWelcome welcome;
  welcome.sessionId = message.sessionId;
  std::memcpy(welcome.token, message.token, sizeof welcome.token);
  welcome.servicePath.assign(message.servicePath, length);
  return welcome;
}

ClientWelcome awaitWelcome(int socket, const std::string& path, std::uint32_t timeoutMs) {
  if (!waitReadable(socket, timeoutMs)) {
    throw Error(Code::DaemonUnavailable, "the daemon at " + path + " did not answer within " +
                                             std::to_string(timeoutMs) + " ms");
  }
  std::array<char, sizeof(wire::Refused) + 1> buffer;
  const Received received =
      receivePastReset(socket, buffer.data(), buffer.size(), TakeFds::No);
  if (received.status != ReceiveStatus::Message) {
    throw Error(Code::DaemonUnavailable,
                "the daemon at " + path + " closed the connection without an answer");
  }
  if (received.fdsLost || received.truncated) {
    throw Error(Code::Protocol, "the daemon broke the protocol: its answer is no welcome");
  }
  return readWelcome(buffer.data(), received.bytes);
}

// What the receiving thread and the client share; the thread may outlive the client, if a callback
// closes it.
struct Link {
  Link(UniqueFd fd, std::shared_ptr<Device> device, ClientEvents events)
      : socket(std::move(fd)), closed(events.closed), inbox(std::move(device), std::move(events)) {}

  const UniqueFd socket;
  const std::function<void(const std::string&)> closed;
  Inbox inbox;
  std::atomic<bool> closing{false};
};

// Handles one message. Returns why the connection is over; empty: it is not.
std::string receiveOne(Link& link) {
  std::array<char, kExtentsBytesMax> buffer;
  Received received =
      receivePastReset(link.socket.get(), buffer.data(), buffer.size(), TakeFds::Yes);
  if (received.status == ReceiveStatus::Closed) return "the daemon closed the connection";
  if (received.status != ReceiveStatus::Message) {
    return std::string("the connection failed: ") + std::strerror(received.error);
  }
  if (received.truncated) return "the daemon broke the protocol: a message too long";
  if (const auto refusal = refusalIn(buffer.data(), received.bytes)) {
    return std::string("the daemon ended the connection: ") + refusal->what();
  }
  const auto ack = link.inbox.take(buffer.data(), received.bytes, std::move(received.fds),
                                   received.fdsLost);
  if (ack && sendMessage(link.socket.get(), &*ack, sizeof *ack) != SendStatus::Sent) {
    return "the daemon closed the connection";
  }
  link.inbox.answered();
  return "";
}

void receiveAll(const std::shared_ptr<Link>& link) {
  std::string reason;
  while (reason.empty()) {
    try {
      reason = receiveOne(*link);
    } catch (const std::exception& error) {
      reason = error.what();
      if (reason.empty()) reason = "the connection failed";
    }
  }
  ::shutdown(link->socket.get(), SHUT_RDWR);
  if (link->closing || !link->closed) return;
  try {
    link->closed(reason);
  } catch (...) {
    // The thread ends here in any case, and the process must not end with it.
  }
}

class Client final : public ChannelClient {
 public:
  Client(std::shared_ptr<Link> link, ClientWelcome welcome)
      : link_(std::move(link)),
        welcome_(std::move(welcome)),
        thread_([link = link_] { receiveAll(link); }) {}
  ~Client() override { close(); }

  const ClientWelcome& welcome() const override { return welcome_; }

  void close() override {
    link_->closing = true;
    // Wakes the thread. The descriptor itself is closed when the thread has let go of it.
    ::shutdown(link_->socket.get(), SHUT_RDWR);
    if (!thread_.joinable()) return;
    if (thread_.get_id() == std::this_thread::get_id()) return thread_.detach();
    thread_.join();
  }

 private:
  const std::shared_ptr<Link> link_;
  const ClientWelcome welcome_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ChannelClient> ChannelClient::connect(std::shared_ptr<Device> device,
                                                      const std::string& path,
                                                      const std::string& name,
                                                      std::uint32_t timeoutMs,
                                                      ClientEvents events) {
  if (timeoutMs == 0) throw Error::badField("timeoutMs", "0", "at least 1");
  const auto start = std::chrono::steady_clock::now();
  UniqueFd socket = connectTo(path, timeoutMs);
  sayHello(socket.get(), name);
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(
                         std::chrono::steady_clock::now() - start).count();
  const auto left = spent < timeoutMs ? timeoutMs - static_cast<std::uint32_t>(spent) : 0;
  ClientWelcome welcome = awaitWelcome(socket.get(), path, left);
  auto link = std::make_shared<Link>(std::move(socket), std::move(device), std::move(events));
  return std::make_unique<Client>(std::move(link), std::move(welcome));
}

}  // namespace kvspan
