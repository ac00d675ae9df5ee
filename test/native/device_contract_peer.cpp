// The other process of the two-process cases. It is started by fork and exec (a process that has
// initialised a driver must not go on in a forked child) and obeys commands over a socket.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstring>

#include "device_contract.hpp"

extern char** environ;

namespace kvspan::contract {

struct Peer::Request {
  char op = 0;
  char text[31] = {};
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
};

struct Peer::Reply {
  bool failed = false;
  char code[31] = {};
  char message[192] = {};
  std::uint64_t value = 0;
};

namespace {

constexpr int kSocketInPeer = 3;

template <typename T>
bool sendMessage(int socket, const T& message, int fd) {
  iovec part{const_cast<T*>(&message), sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    auto* const ancillary = CMSG_FIRSTHDR(&header);
    ancillary->cmsg_level = SOL_SOCKET;
    ancillary->cmsg_type = SCM_RIGHTS;
    ancillary->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(ancillary), &fd, sizeof fd);
  }
  return ::sendmsg(socket, &header, MSG_NOSIGNAL) == sizeof message;
}

template <typename T>
bool receiveMessage(int socket, T& message, UniqueFd& fd) {
  iovec part{&message, sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  if (::recvmsg(socket, &header, MSG_CMSG_CLOEXEC) != sizeof message) return false;
  if (const auto* const ancillary = CMSG_FIRSTHDR(&header)) {
    int received = -1;
    std::memcpy(&received, CMSG_DATA(ancillary), sizeof received);
    fd.reset(received);
  }
  return true;
}

struct Held {
  Handle handle = 0;
  Address at = 0;
  std::uint64_t bytes = 0;
};

Held mapHandle(Rig& rig, Handle handle, std::uint64_t bytes) {
  const auto at = rig.device().reserve(bytes, 0);
  rig.map(at, handle, bytes / rig.page(), Access::ReadWrite);
  return {handle, at, bytes};
}

[[noreturn]] void misuse(Rig& rig, const std::string& how) {
  ::signal(SIGSEGV, SIG_DFL);  // a sanitizer's handler would turn the signal into an exit
  auto at = rig.reserve(1);
  const auto handle = rig.create(1);
  if (how == "no-access") rig.map(at, handle, 1);
  if (how == "read-only") rig.map(at, handle, 1, Access::Read);
  if (how == "unmapped-again") {
    rig.map(at, handle, 1, Access::ReadWrite);
    *reinterpret_cast<volatile std::uint64_t*>(at) = 1;
    rig.device().unmap(at, rig.page());
  }
  auto* const word = reinterpret_cast<volatile std::uint64_t*>(at);
  if (how == "read-only") {
    if (*word == 0) *word = 1;
  } else {
    (void)*word;
  }
  ::_exit(0);
}

}  // namespace

int runPeer(const DeviceOptions& options, int socket) {
  using Request = Peer::Request;
  using Reply = Peer::Reply;
  Rig rig(options);
  std::vector<Held> held;
  Request request;
  for (UniqueFd fd; receiveMessage(socket, request, fd); fd.reset()) {
    Reply reply;
    UniqueFd out;
    try {
      switch (request.op) {
        case 'c':
          held.push_back(mapHandle(rig, rig.device().create(request.a), request.a));
          for (std::uint64_t i = 0; i * rig.page() < request.a; ++i) {
            rig.put(held.back().at + i * rig.page(), request.b + i);
          }
          out = rig.device().exportHandle(held.back().handle);
          break;
        case 'i':
          held.push_back(mapHandle(rig, rig.device().importHandle(fd.get(), request.a), request.a));
          break;
        case 'p': rig.put(held.at(request.a).at + request.b, request.c); break;
        case 'g': reply.value = rig.get(held.at(request.a).at + request.b); break;
        case 'e': rig.device().exportHandle(held.at(request.a).handle); break;
        case 'r': rig.device().release(held.at(request.a).handle); break;
        case 'm': misuse(rig, request.text);
        default: throw std::runtime_error("unknown command");
      }
    } catch (const std::exception& error) {
      reply.failed = true;
      const auto* const known = dynamic_cast<const Error*>(&error);
      std::strncpy(reply.code, known ? codeName(known->code()) : "?", sizeof reply.code - 1);
      std::strncpy(reply.message, error.what(), sizeof reply.message - 1);
    }
    if (!sendMessage(socket, reply, out.get())) return 1;
  }
  return 0;
}

Peer::Peer(const DeviceOptions& options) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    throw test::Failure("socketpair failed");
  }
  socket_.reset(ends[0]);
  // Not the number it gets in the child: a dup2 onto itself would leave it close-on-exec.
  const UniqueFd theirs(::fcntl(ends[1], F_DUPFD_CLOEXEC, kSocketInPeer + 1));
  ::close(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), kSocketInPeer);
  std::string ordinal = std::to_string(options.ordinal);
  std::string backend = options.backend;
  std::string library = options.library;
  char self[] = "/proc/self/exe";
  char peer[] = "--peer";
  char* const arguments[] = {self, peer, backend.data(), library.data(), ordinal.data(), nullptr};
  const int failed = ::posix_spawn(&pid_, self, &actions, nullptr, arguments, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw test::Failure(std::string("posix_spawn: ") + std::strerror(failed));
}

Peer::~Peer() {
  if (pid_ >= 0) kill();
}

Peer::Reply Peer::call(const Request& request, int fd, UniqueFd* received) {
  Reply reply;
  UniqueFd none;
  if (!sendMessage(socket_.get(), request, fd) ||
      !receiveMessage(socket_.get(), reply, received ? *received : none)) {
    throw test::Failure("the peer died");
  }
  return reply;
}

UniqueFd Peer::create(std::uint64_t bytes, std::uint64_t value) {
  UniqueFd fd;
  const auto reply = call({.op = 'c', .a = bytes, .b = value}, -1, &fd);
  if (reply.failed) throw test::Failure(std::string("peer create: ") + reply.message);
  return fd;
}

void Peer::import(int fd, std::uint64_t bytes) {
  const auto reply = call({.op = 'i', .a = bytes}, fd, nullptr);
  if (reply.failed) throw test::Failure(std::string("peer import: ") + reply.message);
}

void Peer::put(std::uint32_t index, std::uint64_t offset, std::uint64_t value) {
  const auto reply = call({.op = 'p', .a = index, .b = offset, .c = value}, -1, nullptr);
  if (reply.failed) throw test::Failure(std::string("peer put: ") + reply.message);
}

std::uint64_t Peer::get(std::uint32_t index, std::uint64_t offset) {
  const auto reply = call({.op = 'g', .a = index, .b = offset}, -1, nullptr);
  if (reply.failed) throw test::Failure(std::string("peer get: ") + reply.message);
  return reply.value;
}

std::string Peer::tryExport(std::uint32_t index) {
  const auto reply = call({.op = 'e', .a = index}, -1, nullptr);
  return reply.failed ? reply.code : "";
}

void Peer::release(std::uint32_t index) {
  const auto reply = call({.op = 'r', .a = index}, -1, nullptr);
  if (reply.failed) throw test::Failure(std::string("peer release: ") + reply.message);
}

int Peer::wait() {
  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  return status;
}

int Peer::dieOf(const std::string& misuse) {
  Request request{.op = 'm'};
  std::strncpy(request.text, misuse.c_str(), sizeof request.text - 1);
  sendMessage(socket_.get(), request, -1);
  const int status = wait();
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void Peer::kill() {
  ::kill(pid_, SIGKILL);
  wait();
}

void Peer::finish() {
  socket_.reset();
  const int status = wait();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw test::Failure("the peer ended badly");
}

}  // namespace kvspan::contract
