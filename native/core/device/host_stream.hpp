// Streams of the host backend: work in order, begun and ended by hand. What a CUstream is to the
// `cuda` backend, for tests and for engines that compute on other threads.
#pragma once

#include <cstdint>
#include <memory>

#include "device/device.hpp"

namespace kvspan {

Stream createHostStream();
void destroyHostStream(Stream stream);
// One more piece of work was submitted / the oldest outstanding piece has completed.
void hostStreamSubmit(Stream stream);
void hostStreamComplete(Stream stream);

// Reached when as many pieces have completed as were submitted until now, or the stream has been
// destroyed. Stream 0 has no work and is always reached. Throws InvalidArgument for a stream that
// is unknown or destroyed.
std::unique_ptr<Fence> hostFence(Stream stream);

}  // namespace kvspan
