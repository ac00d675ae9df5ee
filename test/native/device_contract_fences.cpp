// Fences: points in a stream.
#include "device_contract.hpp"

namespace kvspan::contract {

KV_CONTRACT("a fence on an idle stream is reached") {
  const auto held = HeldStream::open(rig);
  KV_CHECK(reachedSoon(*rig.device().fence(held->stream())));
}

KV_CONTRACT("a fence on the default stream is reached once its work is done") {
  KV_CHECK(reachedSoon(*rig.device().fence(0)));
}

KV_CONTRACT("a fence is reached after the work before it, and not earlier") {
  const auto held = HeldStream::open(rig);
  held->submit();
  held->submit();
  const auto fence = rig.device().fence(held->stream());
  KV_CHECK(!fence->reached());
  held->complete();
  KV_CHECK(!fence->reached());
  held->complete();
  KV_CHECK(reachedSoon(*fence));
  KV_CHECK(fence->reached());
}

KV_CONTRACT("work submitted after a fence does not hold it") {
  const auto held = HeldStream::open(rig);
  held->submit();
  const auto first = rig.device().fence(held->stream());
  held->submit();
  const auto second = rig.device().fence(held->stream());
  held->complete();
  KV_CHECK(reachedSoon(*first));
  KV_CHECK(!second->reached());
  held->complete();
  KV_CHECK(reachedSoon(*second));
}

KV_CONTRACT("a fence waits for its own stream only") {
  const auto busy = HeldStream::open(rig);
  const auto idle = HeldStream::open(rig);
  busy->submit();
  const auto waiting = rig.device().fence(busy->stream());
  KV_CHECK(reachedSoon(*rig.device().fence(idle->stream())));
  KV_CHECK(!waiting->reached());
  busy->complete();
  KV_CHECK(reachedSoon(*waiting));
}

KV_CONTRACT("mapping, unmapping and copies do not wait for a stream's work") {
  const auto held = HeldStream::open(rig);
  held->submit();
  const auto fence = rig.device().fence(held->stream());
  const auto at = rig.mapped(1);
  rig.put(at, 3);
  KV_CHECK_EQ(rig.get(at), 3u);
  rig.device().unmap(at, rig.page());
  KV_CHECK(!fence->reached());
  held->complete();
  KV_CHECK(reachedSoon(*fence));
}

KV_CONTRACT("a fence can be dropped before it is reached, and outlives its device") {
  const auto held = HeldStream::open(rig);
  held->submit();
  rig.device().fence(held->stream()).reset();
  const auto fence = rig.device().fence(held->stream());
  rig.closeDevice();
  held->complete();
  KV_CHECK(reachedSoon(*fence));
}

}  // namespace kvspan::contract
