#include "channel/listener.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.hpp"
#include "channel/socket.hpp"

namespace kvspan {
namespace {

constexpr int kBacklog = 512;
constexpr mode_t kModeMax = 0777;

std::string octal(mode_t mode) {
  char text[16];
  std::snprintf(text, sizeof text, "0%o", static_cast<unsigned>(mode));
  return text;
}

[[noreturn]] void throwErrno(const std::string& call, const std::string& path) {
  const int error = errno;
  const std::string sentence = call + " " + path + ": " + std::strerror(error);
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      throw Error(Code::PermissionDenied, sentence);
    case ENOENT:
    case ENOTDIR:
      throw Error::badField("path", path, "a path in a directory that exists");
    default:
      throw Error(Code::Internal, sentence);
  }
}

}  // namespace

Listener::Listener(std::string path, mode_t mode) : path_(std::move(path)) {
  if (mode > kModeMax) throw Error::badField("mode", octal(mode), "permission bits, 0 to 0777");
  socketAddress(path_);
  removeStale();
  bind(mode);
}

void Listener::removeStale() const {
  struct stat found {};
  if (::lstat(path_.c_str(), &found) != 0) return;
  if (!S_ISSOCK(found.st_mode)) {
    throw Error::badField("path", path_, "a path with no file, or with a socket left over");
  }
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) throwErrno("unlink", path_);
}

// The file gets the socket's own mode less the umask, so the socket is given `mode` before it has
// a file. That leaves the process's umask, which other threads use too, alone.
void Listener::bind(mode_t mode) {
  fd_ = newSocket(true);
  const sockaddr_un address = socketAddress(path_);
  if (::fchmod(fd_.get(), mode) != 0) throwErrno("fchmod", path_);
  if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throwErrno("bind", path_);
  }
  struct stat made {};
  if (::lstat(path_.c_str(), &made) != 0) throwErrno("stat", path_);
  device_ = made.st_dev;
  inode_ = made.st_ino;
  const bool failed = ((made.st_mode & kModeMax) != mode && ::chmod(path_.c_str(), mode) != 0) ||
                      ::listen(fd_.get(), kBacklog) != 0;
  if (!failed) return;
  const int error = errno;
  close();
  errno = error;
  throwErrno("listen", path_);
}

void Listener::close() noexcept {
  if (!fd_) return;
  fd_.reset();
  struct stat found {};
  if (inode_ == 0 || ::lstat(path_.c_str(), &found) != 0) return;
  if (found.st_dev == device_ && found.st_ino == inode_) ::unlink(path_.c_str());
}

}  // namespace kvspan
