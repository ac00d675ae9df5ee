// Memory between processes, and after their death.
#include <signal.h>

#include "device_contract.hpp"

namespace kvspan::contract {
namespace {

constexpr std::uint64_t kWord = sizeof(std::uint64_t);

Address importHere(Rig& rig, int fd, std::uint64_t pages) {
  const auto at = rig.reserve(pages);
  rig.map(at, rig.device().importHandle(fd, pages * rig.page()), pages, Access::ReadWrite);
  return at;
}

void checkSignal(Rig& rig, const std::string& misuse) {
  if (!rig.cpuAddressable()) {
    throw test::Skip("the CPU cannot touch this device's addresses, so no CPU fault can be seen");
  }
  KV_CHECK_EQ(Peer(rig.options()).dieOf(misuse), SIGSEGV);
}

}  // namespace

KV_CONTRACT("two processes see each other's writes") {
  Peer peer(rig.options());
  const auto created = rig.create(2);
  const auto at = rig.reserve(2);
  rig.map(at, created, 2, Access::ReadWrite);
  rig.put(at + rig.page(), 11);
  peer.import(rig.device().exportHandle(created).get(), 2 * rig.page());
  KV_CHECK_EQ(peer.get(0, rig.page()), 11u);
  peer.put(0, kWord, 12);
  KV_CHECK_EQ(rig.get(at + kWord), 12u);
  rig.put(at, 13);
  KV_CHECK_EQ(peer.get(0, 0), 13u);
  peer.finish();
}

KV_CONTRACT("an importer keeps the memory when the creator releases, unmaps and goes on") {
  Peer peer(rig.options());
  const auto created = rig.create(1);
  const auto at = rig.reserve(1);
  rig.map(at, created, 1, Access::ReadWrite);
  rig.put(at, 21);
  peer.import(rig.device().exportHandle(created).get(), rig.page());
  rig.device().unmap(at, rig.page());
  rig.device().release(created);
  rig.map(at, rig.create(1), 1, Access::ReadWrite);
  rig.put(at, 22);
  KV_CHECK_EQ(peer.get(0, 0), 21u);
  peer.release(0);
  KV_CHECK_EQ(peer.get(0, 0), 21u);
}

KV_CONTRACT("memory outlives a creator that ends in good order") {
  Peer peer(rig.options());
  const auto fd = peer.create(4 * rig.page(), 31);
  const auto at = importHere(rig, fd.get(), 4);
  peer.finish();
  for (std::uint64_t i = 0; i < 4; ++i) KV_CHECK_EQ(rig.get(at + i * rig.page()), 31 + i);
  rig.put(at, 5);
  KV_CHECK_EQ(rig.get(at), 5u);
}

KV_CONTRACT("memory outlives a creator that is killed") {
  Peer peer(rig.options());
  const auto fd = peer.create(4 * rig.page(), 41);
  const auto at = importHere(rig, fd.get(), 4);
  peer.kill();
  for (std::uint64_t i = 0; i < 4; ++i) KV_CHECK_EQ(rig.get(at + i * rig.page()), 41 + i);
  rig.put(at + 3 * rig.page(), 5);
  KV_CHECK_EQ(rig.get(at + 3 * rig.page()), 5u);
}

KV_CONTRACT("an open descriptor alone keeps the memory, and imports again and again") {
  Peer peer(rig.options());
  const auto fd = peer.create(2 * rig.page(), 51);
  peer.kill();
  for (std::uint64_t round = 0; round < 3; ++round) {
    const auto at = rig.reserve(2);
    const auto handle = rig.device().importHandle(fd.get(), 2 * rig.page());
    rig.map(at, handle, 2, Access::ReadWrite);
    KV_CHECK_EQ(rig.get(at), 51 + round);
    KV_CHECK_EQ(rig.get(at + rig.page()), 52u);
    rig.put(at, 52 + round);
    rig.device().unmap(at, 2 * rig.page());
    rig.device().release(handle);
  }
}

KV_CONTRACT("memory goes on from process to process by its descriptor, not by its import") {
  Peer first(rig.options());
  const auto fd = first.create(rig.page(), 61);
  Peer second(rig.options());
  second.import(fd.get(), rig.page());
  KV_CHECK_EQ(second.tryExport(0), std::string("INVALID_ARGUMENT"));
  KV_CHECK_EQ(first.tryExport(0), std::string(""));
  first.kill();
  Peer third(rig.options());
  third.import(fd.get(), rig.page());
  second.put(0, 0, 62);
  KV_CHECK_EQ(third.get(0, 0), 62u);
}

KV_CONTRACT("an importer that is killed does not harm the others") {
  const auto created = rig.create(1);
  const auto at = rig.reserve(1);
  rig.map(at, created, 1, Access::ReadWrite);
  const auto fd = rig.device().exportHandle(created);
  Peer victim(rig.options());
  Peer other(rig.options());
  victim.import(fd.get(), rig.page());
  other.import(fd.get(), rig.page());
  victim.put(0, 0, 71);
  victim.kill();
  KV_CHECK_EQ(rig.get(at), 71u);
  KV_CHECK_EQ(other.get(0, 0), 71u);
}

KV_CONTRACT("many handles travel, each keeping its own data") {
  constexpr std::uint64_t kHandles = 32;
  Peer peer(rig.options());
  const auto base = rig.reserve(kHandles);
  for (std::uint64_t i = 0; i < kHandles; ++i) {
    const auto handle = rig.create(1);
    rig.map(base + i * rig.page(), handle, 1, Access::ReadWrite);
    rig.put(base + i * rig.page(), 1000 + i);
    peer.import(rig.device().exportHandle(handle).get(), rig.page());
    rig.device().release(handle);
  }
  for (std::uint64_t i = 0; i < kHandles; ++i) {
    KV_CHECK_EQ(peer.get(static_cast<std::uint32_t>(i), 0), 1000 + i);
  }
}

KV_CONTRACT("reading unmapped addresses is a fault") { checkSignal(rig, "unmapped"); }
KV_CONTRACT("reading mapped memory before access is a fault") { checkSignal(rig, "no-access"); }
KV_CONTRACT("writing through a read-only mapping is a fault") { checkSignal(rig, "read-only"); }
KV_CONTRACT("reading after the unmap is a fault") { checkSignal(rig, "unmapped-again"); }

}  // namespace kvspan::contract
