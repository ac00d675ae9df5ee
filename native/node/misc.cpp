// Host streams and the few calls of the operating system that Node does not offer.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/unique_fd.hpp"
#include "classes.hpp"
#include "device/host_stream.hpp"
#include "marshal.hpp"

namespace kvspan::node {
namespace {

constexpr std::uint32_t kFdCountMax = 1u << 20;
constexpr std::uint32_t kUmaskMax = 0777;

Error systemError(const std::string& what, int number) {
  const bool denied = number == EACCES || number == EPERM || number == EROFS;
  return Error(denied ? Code::PermissionDenied : Code::Internal,
               what + ": " + std::strerror(number));
}

Stream toStream(const Napi::CallbackInfo& info) { return toUint64(info[0], "stream", 1); }

}  // namespace

Napi::Value createHostStream(const Napi::CallbackInfo& info) {
  return fromUint64(info.Env(), kvspan::createHostStream());
}

Napi::Value hostStreamSubmit(const Napi::CallbackInfo& info) {
  kvspan::hostStreamSubmit(toStream(info));
  return info.Env().Undefined();
}

Napi::Value hostStreamComplete(const Napi::CallbackInfo& info) {
  kvspan::hostStreamComplete(toStream(info));
  return info.Env().Undefined();
}

Napi::Value growFdTable(const Napi::CallbackInfo& info) {
  const std::uint32_t count = toUint32(info[0], "count", 1, kFdCountMax);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const UniqueFd any(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!any) throw systemError("cannot open /dev/null", errno);
  // The highest number that the limit allows is good enough: the table never grows past it.
  const auto lowest = std::min<rlim_t>(count, limit.rlim_cur - 1);
  const UniqueFd high(::fcntl(any.get(), F_DUPFD_CLOEXEC, static_cast<int>(lowest)));
  if (!high && errno != EMFILE) throw systemError("cannot grow the descriptor table", errno);
  return info.Env().Undefined();
}

Napi::Value lockFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = toText(info[0], "path");
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) throw systemError("cannot open the lock file " + path, errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return env.Null();
    throw systemError("cannot lock " + path, errno);
  }
  // A plain number: a lock whose object is collected is kept until the process ends, since nobody
  // who wanted it gone let it go.
  auto held = std::make_shared<int>(fd.release());
  auto lock = Napi::Object::New(env);
  lock.Set("release", Napi::Function::New(env, [held](const Napi::CallbackInfo&) {
             UniqueFd(std::exchange(*held, -1)).reset();
           }));
  return lock;
}

Napi::Value setUmask(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), ::umask(toUint32(info[0], "mask", 0, kUmaskMax)));
}

}  // namespace kvspan::node
