#include "channel/identity.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/error.hpp"

namespace kvspan {
namespace {

// Linux 6.5, asm-generic/socket.h; older headers lack the name.
constexpr int kSoPeerPidfd = 77;

[[noreturn]] void throwGone(pid_t pid) {
  throw Error(Code::DaemonUnavailable,
              "the connecting process " + std::to_string(pid) + " has exited already");
}

UniqueFd openPidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

bool hungUp(int socket) {
  pollfd state{socket, 0, 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace

// A number can be given to another process once its owner is gone. So the two are compared after
// the pidfd holds the number: the owner still has its end of the socket open, and the process
// under the number runs as the user who connected.
UniqueFd pidfdByNumber(int socket, pid_t pid, uid_t uid) {
  UniqueFd pidfd = openPidfd(pid);
  if (!pidfd && errno == ESRCH) throwGone(pid);
  if (!pidfd) {
    throw Error(Code::PermissionDenied, "pidfd_open of process " + std::to_string(pid) + ": " +
                                            std::strerror(errno));
  }
  struct stat entry {};
  const std::string directory = "/proc/" + std::to_string(pid);
  const bool visible = ::stat(directory.c_str(), &entry) == 0;
  // A process that may not be dumped shows as root's, whoever runs it.
  if (hungUp(socket) || (visible && entry.st_uid != uid && entry.st_uid != 0)) throwGone(pid);
  return pidfd;
}

void killProcess(int pidfd, pid_t pid) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0 || errno == ESRCH) return;
  throw Error(Code::PermissionDenied,
              "process " + std::to_string(pid) + " cannot be killed: " + std::strerror(errno));
}

PeerProcess identifyPeer(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    throw Error(Code::PermissionDenied,
                std::string("the peer's identity cannot be read: ") + std::strerror(errno));
  }
  if (credentials.pid <= 0) {
    throw Error(Code::PermissionDenied,
                "the daemon cannot see the connecting process, which runs outside the daemon's pid "
                "namespace, and could not tell when it exits: run both in one pid namespace");
  }
  PeerProcess peer{credentials.pid, credentials.uid, credentials.gid, UniqueFd()};
  int number = -1;
  size = sizeof number;
  if (::getsockopt(socket, SOL_SOCKET, kSoPeerPidfd, &number, &size) == 0) {
    peer.pidfd.reset(number);
  } else if (errno == ENOPROTOOPT) {
    peer.pidfd = pidfdByNumber(socket, peer.pid, peer.uid);
  } else if (errno == EMFILE || errno == ENFILE) {
    throw Error(Code::SessionLimit, "the daemon has no file descriptor left for the connection");
  } else {
    throwGone(peer.pid);
  }
  return peer;
}

}  // namespace kvspan
