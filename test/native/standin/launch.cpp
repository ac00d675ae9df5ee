// Modules, launches and graphs. A launch is checked as a driver checks it, takes its place in the
// stream, and computes nothing.
#include <atomic>
#include <cstring>

#include "abi.hpp"

namespace standin {
namespace {

constexpr int kSharedBytesMax = 8;  // MAX_DYNAMIC_SHARED_SIZE_BYTES
constexpr int kSharedBytesDefault = 48 * 1024;
constexpr int kSharedBytesOptIn = 227 * 1024;
constexpr unsigned kThreadsMax = 1024;
constexpr unsigned kGridMax = 0x7fffffff;
constexpr const char* kPrefix = "kvspan_";

std::atomic<int> modules{0};
std::atomic<int> launches{0};

struct Function {
  int sharedBytes = kSharedBytesDefault;
};

struct Module {
  Function function;  // of whatever name: with the same leave for all
};

}  // namespace
}  // namespace standin

using namespace standin;

// For tests: modules that are loaded, and launches so far.
STANDIN_API standInModules() { return modules; }
STANDIN_API standInLaunches() { return launches; }

STANDIN_API cuModuleLoadData(void** module, const void* image) {
  if (const int result = needContext()) return result;
  if (image == nullptr) return InvalidValue;
  if (lacks("binary")) return NoBinaryForGpu;
  if (lacks("ptx")) return UnsupportedPtxVersion;
  *module = new Module;
  ++modules;
  return Success;
}

STANDIN_API cuModuleUnload(void* module) {
  if (const int result = needContext()) return result;
  delete static_cast<Module*>(module);
  --modules;
  return Success;
}

STANDIN_API cuModuleGetFunction(void** function, void* module, const char* name) {
  if (const int result = needContext()) return result;
  if (lacks("kernel") || std::strncmp(name, kPrefix, std::strlen(kPrefix)) != 0) return NotFound;
  *function = &static_cast<Module*>(module)->function;
  return Success;
}

STANDIN_API cuFuncSetAttribute(void* function, int attribute, int value) {
  if (const int result = needContext()) return result;
  if (attribute != kSharedBytesMax || value < 0 || value > kSharedBytesOptIn) return InvalidValue;
  auto& shared = static_cast<Function*>(function)->sharedBytes;
  shared = value > shared ? value : shared;
  return Success;
}

STANDIN_API cuLaunchKernel(void* function, unsigned gridX, unsigned gridY, unsigned gridZ,
                           unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes,
                           void* stream, void** parameters, void** extra) {
  if (const int result = needContext()) return result;
  if (function == nullptr || parameters == nullptr || extra != nullptr) return InvalidValue;
  if (gridX == 0 || gridX > kGridMax || gridY != 1 || gridZ != 1) return InvalidValue;
  if (blockX == 0 || blockX > kThreadsMax || blockY != 1 || blockZ != 1) return InvalidValue;
  const auto allowed = static_cast<unsigned>(static_cast<Function*>(function)->sharedBytes);
  if (sharedBytes > allowed) return InvalidValue;
  ++launches;
  submit(stream, [] {});
  return Success;
}

STANDIN_API cuGraphInstantiateWithFlags(void** executable, void*, unsigned long long flags) {
  if (const int result = needContext()) return result;
  if (flags != 0) return InvalidValue;
  *executable = new int;
  return Success;
}

STANDIN_API cuGraphLaunch(void* executable, void* stream) {
  if (const int result = needContext()) return result;
  if (executable == nullptr) return InvalidValue;
  submit(stream, [] {});
  return Success;
}

STANDIN_API cuGraphExecDestroy(void* executable) {
  if (const int result = needContext()) return result;
  delete static_cast<int*>(executable);
  return Success;
}

STANDIN_API cuGraphDestroy(void*) { return needContext(); }
