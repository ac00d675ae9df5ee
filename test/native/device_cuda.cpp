// The cuda backend over the stand-in driver: opening, and what a missing driver comes to.
#include <dlfcn.h>

#include "base/error.hpp"
#include "device/cuda_api.hpp"
#include "device/device.hpp"
#include "harness.hpp"
#include "stand_in.hpp"

namespace kvspan {
namespace {

using test::standIn;
using test::Variable;

constexpr std::uint64_t kPage = 2ull << 20;

std::shared_ptr<Device> open(int ordinal = 0) { return openDevice({"cuda", ordinal, standIn()}); }

std::string unavailable(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    KV_CHECK_EQ(error.code(), Code::DeviceUnavailable);
    return error.what();
  }
  throw test::Failure("opened");
}

int standInCall(const char* name) {
  void* const library = ::dlopen(standIn().c_str(), RTLD_NOW);
  return reinterpret_cast<int (*)()>(::dlsym(library, name))();
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

KV_TEST("cuda device: says what the driver says") {
  const auto info = open()->info();
  KV_CHECK_EQ(info.name, std::string("stand-in"));
  KV_CHECK_EQ(info.uuid, std::string("GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"));
  KV_CHECK(has(info.driver, "CUDA 13.0"));
}

KV_TEST("cuda device: an owner makes no context, and what it passes on can be imported") {
  const auto retained = [] { return standInCall("standInRetained"); };
  const int before = retained();
  const auto owner = openDevice({"cuda", 0, standIn(), true});
  KV_CHECK(owner->info().freeBytes > 0);
  const Handle handle = owner->create(kPage);
  const UniqueFd fd = owner->exportHandle(handle);
  owner->release(handle);
  KV_CHECK_EQ(retained(), before);
  const auto user = open();
  KV_CHECK_EQ(retained(), before + 1);
  user->release(user->importHandle(fd.get(), kPage));
}

KV_TEST("cuda device: an owner that maps after all gets its context then") {
  const auto owner = openDevice({"cuda", 0, standIn(), true});
  const Address at = owner->reserve(kPage, 0);
  owner->map(at, owner->create(kPage), kPage);
  owner->access(at, kPage, Access::ReadWrite);
  const std::uint64_t word = 7;
  std::uint64_t read = 0;
  owner->copyIn(at, 8, &word, 8, 8, 1);
  owner->copyOut(&read, 8, at, 8, 8, 1);
  KV_CHECK_EQ(read, word);
}

KV_TEST("cuda device: a missing library is named, with what to do") {
  const auto text = unavailable([] { openDevice({"cuda", 0, "/nowhere/libcuda.so.1"}); });
  KV_CHECK(has(text, "/nowhere/libcuda.so.1") && has(text, "host backend"));
}

KV_TEST("cuda device: a library that is no driver is named, with what it lacks") {
  const auto text = unavailable([] { openDevice({"cuda", 0, "libm.so.6"}); });
  KV_CHECK(has(text, "libm.so.6") && has(text, "cuInit"));
}

KV_TEST("cuda device: an ordinal that does not exist is refused with how many there are") {
  KV_CHECK(has(unavailable([] { open(1); }), "shows 1"));
  KV_CHECK(has(unavailable([] { open(-1); }), "-1"));
}

KV_TEST("cuda device: a driver that sees no GPU is told from a missing one") {
  const Variable none("KVSPAN_STANDIN_LACKS", "device");
  KV_CHECK(has(unavailable([] { open(); }), "CUDA_ERROR_NO_DEVICE"));
}

KV_TEST("cuda device: a GPU without virtual memory or without shareable memory is refused") {
  {
    const Variable lacks("KVSPAN_STANDIN_LACKS", "vmm");
    KV_CHECK(has(unavailable([] { open(); }), "virtual memory management"));
  }
  const Variable lacks("KVSPAN_STANDIN_LACKS", "fd");
  KV_CHECK(has(unavailable([] { open(); }), "file descriptors"));
}

KV_TEST("cuda device: pages are 2 MiB whatever finer unit the driver has; a coarser one is refused") {
  {
    const Variable fine("KVSPAN_STANDIN_GRANULARITY", "65536");
    KV_CHECK_EQ(open()->granularity(), kPage);
    KV_CHECK_EQ(open()->info().granularityBytes, kPage);
  }
  const Variable coarse("KVSPAN_STANDIN_GRANULARITY", "33554432");
  KV_CHECK(has(unavailable([] { open(); }), "33554432"));
}

KV_TEST("cuda device: a full device says so with the call, the error and the size") {
  const Variable memory("KVSPAN_STANDIN_BYTES", "8388608");
  const auto device = open();
  const auto first = device->create(3 * kPage);
  try {
    device->create(2 * kPage);
    KV_CHECK(false);
  } catch (const Error& error) {
    KV_CHECK_EQ(error.code(), Code::DeviceExhausted);
    KV_CHECK_EQ(std::string(error.what()),
                std::string("cuMemCreate(4194304 bytes): CUDA_ERROR_OUT_OF_MEMORY"));
  }
  KV_CHECK_EQ(device->info().freeBytes, kPage);
  device->release(first);
  device->release(device->create(4 * kPage));
}

KV_TEST("cuda device: leaves the calling thread's context as it found it") {
  const auto& api = cuda::Api::load(standIn());
  cuda::CUcontext current = nullptr;
  const auto device = open();
  KV_CHECK_EQ(api.cuCtxGetCurrent(&current), cuda::kSuccess);
  KV_CHECK(current == nullptr);
  device->info();
  device->fence(0);
  device->release(device->create(kPage));
  KV_CHECK_EQ(api.cuCtxGetCurrent(&current), cuda::kSuccess);
  KV_CHECK(current == nullptr);
}

KV_TEST("cuda device: two devices of one process share memory through descriptors") {
  const auto one = open();
  const auto two = open();
  const auto fd = one->exportHandle(one->create(kPage));
  const auto handle = two->importHandle(fd.get(), kPage);
  const auto at = two->reserve(kPage, 0);
  two->map(at, handle, kPage);
  KV_CHECK_THROWS(Code::InvalidArgument, one->unmap(at, kPage));
  two->unmap(at, kPage);
}

KV_TEST("cuda device: when the driver has gone at exit calls fail, and closing is quiet") {
  auto device = open();
  const auto at = device->reserve(kPage, 0);
  const auto handle = device->create(kPage);
  device->map(at, handle, kPage);
  device->access(at, kPage, Access::ReadWrite);
  auto fence = device->fence(0);
  standInCall("standInEnd");
  KV_CHECK_THROWS(Code::DeviceFailed, device->create(kPage));
  KV_CHECK_THROWS(Code::DeviceFailed, device->unmap(at, kPage));
  KV_CHECK_THROWS(Code::DeviceFailed, fence->reached());
  // What the driver did not release is still the device's, to be tried again.
  KV_CHECK_THROWS(Code::DeviceFailed, device->release(handle));
  KV_CHECK_THROWS(Code::DeviceFailed, device->release(handle));
  const std::uint64_t word = 1;
  KV_CHECK_THROWS(Code::DeviceFailed, device->copyIn(at, 8, &word, 8, 8, 1));
  fence.reset();
  device.reset();
}

}  // namespace kvspan
