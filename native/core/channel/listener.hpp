// A listening socket and its file.
#pragma once

#include <sys/stat.h>

#include <string>

#include "base/unique_fd.hpp"

namespace kvspan {

class Listener {
 public:
  // Binds and listens, non-blocking. A socket file that is left over at `path` is replaced; a file
  // of any other kind is left alone and refused. The new file never has more permissions than
  // `mode`, not even for a moment. Throws InvalidArgument, PermissionDenied or Internal.
  Listener(std::string path, mode_t mode);
  ~Listener() { close(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int fd() const { return fd_.get(); }
  // Stops listening and removes the file, unless another has taken its place.
  void close() noexcept;

 private:
  void removeStale() const;
  void bind(mode_t mode);

  std::string path_;
  UniqueFd fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace kvspan
