// Capture of CUDA graphs, as far as it concerns others: while a graph is captured in the default mode
// calls that are not safe then are refused on every thread that has not said otherwise, and the
// capture is lost. Nothing is really captured.
#include <atomic>

#include "abi.hpp"

namespace standin {
namespace {

enum Mode { Global = 0, ThreadLocal = 1, Relaxed = 2 };

std::atomic<int> globalCaptures{0};
std::atomic<bool> lost{false};
thread_local int interaction = Global;
thread_local int ownCapture = -1;  // its mode; -1: none

bool forbidden() {
  if (interaction == Relaxed) return false;
  if (ownCapture == Global || ownCapture == ThreadLocal) return true;
  return interaction == Global && globalCaptures > 0;
}

}  // namespace

int needNoCapture() {
  if (const int result = needDriver()) return result;
  if (!forbidden()) return Success;
  lost = true;
  return CaptureUnsupported;
}

}  // namespace standin

using namespace standin;

STANDIN_API cuThreadExchangeStreamCaptureMode(int* mode) {
  if (const int result = needDriver()) return result;
  if (*mode < Global || *mode > Relaxed) return InvalidValue;
  const int former = interaction;
  interaction = *mode;
  *mode = former;
  return Success;
}

STANDIN_API cuStreamBeginCapture_v2(void* stream, int mode) {
  if (const int result = needContext()) return result;
  if (stream == nullptr || ownCapture >= 0 || mode < Global || mode > Relaxed) return InvalidValue;
  ownCapture = mode;
  if (mode == Global) ++globalCaptures;
  return Success;
}

STANDIN_API cuStreamEndCapture(void* stream, void** graph) {
  if (const int result = needContext()) return result;
  if (stream == nullptr || ownCapture < 0) return InvalidValue;
  if (ownCapture == Global) --globalCaptures;
  ownCapture = -1;
  *graph = nullptr;
  return lost.exchange(false) ? CaptureInvalidated : Success;
}
