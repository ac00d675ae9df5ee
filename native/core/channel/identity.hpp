// Who is at the other end of a socket, as the kernel says, and a pidfd that tells when it exits.
#pragma once

#include <sys/types.h>

#include "base/unique_fd.hpp"

namespace kvspan {

struct PeerProcess {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  UniqueFd pidfd;  // readable once the process has exited
};

// Throws PermissionDenied for a peer that this process cannot see (another pid namespace) and
// DaemonUnavailable for one that is gone already; the sentence is fit for the peer.
PeerProcess identifyPeer(int socket);

// SIGKILL through a pidfd; nothing if the process has exited. Throws PermissionDenied.
void killProcess(int pidfd, pid_t pid);

// The way of kernels before 6.5, which have no SO_PEERPIDFD; called by identifyPeer.
UniqueFd pidfdByNumber(int socket, pid_t pid, uid_t uid);

}  // namespace kvspan
