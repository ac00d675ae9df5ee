// The rules as the driver itself keeps them, asked without the backend in between: the backend
// refuses misuse before the driver sees it, so the cases above cannot tell. What is expected here
// was measured on real drivers; the stand-in must answer the same.
#include <future>

#include "cuda_stream.hpp"
#include "device/cuda_api.hpp"
#include "device_contract.hpp"

namespace kvspan::contract {
namespace {

using cuda::kInvalidValue;
using cuda::kNotSupported;
using cuda::kSuccess;

const cuda::Api& driver(Rig& rig) {
  if (rig.options().backend != "cuda") throw test::Skip("this backend has no driver below it");
  return cuda::Api::load(rig.options().library);
}

}  // namespace

KV_CONTRACT("the driver maps a handle whole, at offset 0, or not at all") {
  const auto& api = driver(rig);
  const auto page = rig.page();
  const auto base = rig.reserve(8);
  const auto handle = rig.create(4);
  KV_CHECK_EQ(api.cuMemMap(base, 2 * page, 0, handle, 0), kNotSupported);
  KV_CHECK_EQ(api.cuMemMap(base, 2 * page, 2 * page, handle, 0), kNotSupported);
  KV_CHECK(api.cuMemMap(base, 8 * page, 0, handle, 0) != kSuccess);
  KV_CHECK_EQ(api.cuMemMap(base, 4 * page, 0, handle, 0), kSuccess);
  KV_CHECK_EQ(api.cuMemUnmap(base, 4 * page), kSuccess);
}

KV_CONTRACT("the driver refuses taken and unreserved addresses") {
  const auto& api = driver(rig);
  const auto page = rig.page();
  const auto base = rig.reserve(4);
  const auto handle = rig.create(2);
  const auto gone = rig.reserve(2);
  rig.device().unreserve(gone, 2 * page);
  KV_CHECK(api.cuMemMap(gone, 2 * page, 0, handle, 0) != kSuccess);
  KV_CHECK_EQ(api.cuMemMap(base, 2 * page, 0, handle, 0), kSuccess);
  KV_CHECK(api.cuMemMap(base + page, 2 * page, 0, handle, 0) != kSuccess);
  KV_CHECK_EQ(api.cuMemUnmap(base, 2 * page), kSuccess);
}

KV_CONTRACT("the driver unmaps whole mappings, many at once, and no part of one") {
  const auto& api = driver(rig);
  const auto page = rig.page();
  const auto base = rig.reserve(6);
  for (int i = 0; i < 3; ++i) {
    KV_CHECK_EQ(api.cuMemMap(base + i * 2 * page, 2 * page, 0, rig.create(2), 0), kSuccess);
  }
  KV_CHECK_EQ(api.cuMemUnmap(base, page), kInvalidValue);
  KV_CHECK_EQ(api.cuMemUnmap(base, 6 * page), kSuccess);
  // Where nothing is mapped the driver has nothing to object to: the backend's book does.
  KV_CHECK_EQ(api.cuMemUnmap(base, 2 * page), kSuccess);
}

KV_CONTRACT("the driver does not export an imported handle") {
  const auto& api = driver(rig);
  const auto fd = rig.device().exportHandle(rig.create(1));
  const auto imported = rig.device().importHandle(fd.get(), rig.page());
  int out = -1;
  KV_CHECK_EQ(api.cuMemExportToShareableHandle(&out, imported, cuda::kHandleTypePosixFd, 0),
              kInvalidValue);
}

KV_CONTRACT("what the backend calls does not break off the capture of a graph") {
  driver(rig);
  const auto held = HeldStream::open(rig);
  held->submit();
  const auto fence = rig.device().fence(held->stream());
  test::CudaStream capturing(rig.options().library);
  const auto everything = [&] {
    const auto at = rig.mapped(1);
    rig.put(at, 5);
    KV_CHECK_EQ(rig.get(at), 5u);
    KV_CHECK(!fence->reached());
    const auto fd = rig.device().exportHandle(rig.create(1));
    rig.device().release(rig.device().importHandle(fd.get(), rig.page()));
    rig.device().unmap(at, rig.page());
    rig.device().unreserve(at, rig.page());
  };
  // On the thread that captures, and on another, as a mapper's.
  capturing.beginCapture();
  everything();
  std::async(std::launch::async, everything).get();
  KV_CHECK_EQ(capturing.endCapture(), kSuccess);
  held->complete();
  KV_CHECK(reachedSoon(*fence));
}

}  // namespace kvspan::contract
