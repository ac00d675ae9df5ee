// Handles: creation, release, export and import, in every state that a handle can be in.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "device_contract.hpp"

namespace kvspan::contract {
namespace {

constexpr int kOrderMax = 9;
constexpr Handle kNoSuchHandle = 0x7fffffff0123;

// One page imported into the process that created it.
Handle importedPage(Rig& rig) {
  const auto created = rig.create(1);
  const auto fd = rig.device().exportHandle(created);
  const auto imported = rig.device().importHandle(fd.get(), rig.page());
  rig.device().release(created);
  return imported;
}

std::string outcome(const std::function<void()>& body) {
  try {
    body();
    return "";
  } catch (const Error& error) {
    return codeName(error.code());
  }
}

}  // namespace

KV_CONTRACT("a device says what it is") {
  const auto info = rig.device().info();
  KV_CHECK_EQ(info.backend, rig.options().backend);
  KV_CHECK_EQ(info.ordinal, rig.options().ordinal);
  KV_CHECK(!info.name.empty() && !info.driver.empty());
  KV_CHECK_EQ(info.granularityBytes, rig.page());
  KV_CHECK_EQ(rig.page(), std::uint64_t{2} << 20);
  KV_CHECK(info.freeBytes > 0 && info.freeBytes <= info.totalBytes);
}

KV_CONTRACT("a handle has a positive number of whole pages") {
  for (const auto bytes : {std::uint64_t{0}, std::uint64_t{1}, rig.page() - 1, rig.page() + 1,
                           ~std::uint64_t{0}}) {
    KV_REFUSED(rig.device().create(bytes));
  }
}

KV_CONTRACT("handles of every order from one page to 512 can be had") {
  for (int order = 0; order <= kOrderMax; ++order) {
    const auto pages = std::uint64_t{1} << order;
    const auto at = rig.reserve(pages);
    const auto handle = rig.create(pages);
    rig.map(at, handle, pages);
    rig.device().unmap(at, pages * rig.page());
    rig.device().release(handle);
    rig.device().unreserve(at, pages * rig.page());
  }
}

KV_CONTRACT("more than the device has is refused as exhausted, and the next creation works") {
  const auto total = rig.device().info().totalBytes / rig.page() * rig.page();
  KV_CHECK_THROWS(Code::DeviceExhausted, rig.device().create(2 * total));
  rig.device().release(rig.create(1));
}

KV_CONTRACT("a handle is released once") {
  const auto handle = rig.create(1);
  rig.device().release(handle);
  KV_REFUSED(rig.device().release(handle));
}

KV_CONTRACT("handle matrix: what each call says to a handle in each state") {
  const auto page = rig.page();
  auto& device = rig.device();
  struct State {
    const char* name;
    std::function<Handle()> make;
    bool known, exportable;
  };
  const std::vector<State> states{
      {"zero", [] { return Handle{0}; }, false, false},
      {"never created", [] { return kNoSuchHandle; }, false, false},
      {"created", [&] { return rig.create(1); }, true, true},
      {"exported", [&] {
         const auto handle = rig.create(1);
         device.exportHandle(handle);
         return handle;
       }, true, true},
      {"mapped", [&] {
         const auto handle = rig.create(1);
         rig.map(rig.reserve(1), handle, 1);
         return handle;
       }, true, true},
      {"unmapped again", [&] {
         const auto handle = rig.create(1);
         const auto at = rig.reserve(1);
         rig.map(at, handle, 1, Access::ReadWrite);
         device.unmap(at, page);
         return handle;
       }, true, true},
      {"released", [&] {
         const auto handle = rig.create(1);
         device.release(handle);
         return handle;
       }, false, false},
      {"released while mapped", [&] {
         const auto handle = rig.create(1);
         rig.map(rig.reserve(1), handle, 1);
         device.release(handle);
         return handle;
       }, false, false},
      {"imported", [&] { return importedPage(rig); }, true, false},
      {"imported and released", [&] {
         const auto handle = importedPage(rig);
         device.release(handle);
         return handle;
       }, false, false},
  };
  struct Operation {
    const char* name;
    std::function<void(Handle)> run;
    bool needsExportable;
  };
  const std::vector<Operation> operations{
      {"map", [&](Handle handle) { rig.map(rig.reserve(1), handle, 1); }, false},
      {"map as two pages", [&](Handle handle) { rig.map(rig.reserve(2), handle, 2); }, false},
      {"export", [&](Handle handle) { device.exportHandle(handle); }, true},
      {"release", [&](Handle handle) { device.release(handle); }, false},
  };
  for (const auto& state : states) {
    for (const auto& operation : operations) {
      const bool whole = std::string(operation.name) != "map as two pages";
      const bool allowed = whole && (operation.needsExportable ? state.exportable : state.known);
      const auto handle = state.make();
      const auto got = outcome([&] { operation.run(handle); });
      const std::string where = std::string(state.name) + " x " + operation.name + ": ";
      KV_CHECK_EQ(where + got, where + (allowed ? "" : "INVALID_ARGUMENT"));
    }
  }
}

KV_CONTRACT("memory lives on in its mapping after its handle is released") {
  const auto at = rig.reserve(1);
  const auto handle = rig.create(1);
  rig.map(at, handle, 1, Access::ReadWrite);
  rig.put(at, 77);
  rig.device().release(handle);
  KV_CHECK_EQ(rig.get(at), 77u);
  rig.put(at, 78);
  KV_CHECK_EQ(rig.get(at), 78u);
  rig.device().unmap(at, rig.page());
}

KV_CONTRACT("each export is a descriptor of its own that closes on exec") {
  const auto handle = rig.create(1);
  auto first = rig.device().exportHandle(handle);
  const auto second = rig.device().exportHandle(handle);
  KV_CHECK(first.get() != second.get());
  KV_CHECK((::fcntl(second.get(), F_GETFD) & FD_CLOEXEC) != 0);
  first.reset();
  const auto imported = rig.device().importHandle(second.get(), rig.page());
  rig.device().release(imported);
}

KV_CONTRACT("an import borrows the descriptor and survives its closing and the creator's release") {
  const auto at = rig.reserve(1);
  const auto created = rig.create(1);
  rig.map(at, created, 1, Access::ReadWrite);
  rig.put(at, 5);
  auto fd = rig.device().exportHandle(created);
  const auto imported = rig.device().importHandle(fd.get(), rig.page());
  KV_CHECK(::fcntl(fd.get(), F_GETFD) >= 0);
  fd.reset();
  rig.device().release(created);
  rig.device().unmap(at, rig.page());
  rig.map(at, imported, 1, Access::ReadWrite);
  KV_CHECK_EQ(rig.get(at), 5u);
}

KV_CONTRACT("two imports of one descriptor are released once each") {
  const auto created = rig.create(1);
  const auto fd = rig.device().exportHandle(created);
  const auto one = rig.device().importHandle(fd.get(), rig.page());
  const auto two = rig.device().importHandle(fd.get(), rig.page());
  rig.device().release(one);
  rig.map(rig.reserve(1), two, 1, Access::ReadWrite);
  rig.device().release(two);
  rig.device().release(created);
  KV_REFUSED(rig.device().release(two));
}

KV_CONTRACT("a descriptor that is not device memory is refused") {
  const auto refused = [&](int fd) { KV_REFUSED(rig.device().importHandle(fd, rig.page())); };
  refused(-1);
  const int closed = ::dup(0);
  ::close(closed);
  refused(closed);
  refused(UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)).get());
  refused(UniqueFd(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)).get());
  int ends[2];
  KV_CHECK_EQ(::pipe2(ends, O_CLOEXEC), 0);
  refused(UniqueFd(ends[0]).get());
  refused(UniqueFd(ends[1]).get());
  KV_CHECK_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  refused(UniqueFd(ends[0]).get());
  refused(UniqueFd(ends[1]).get());
  char name[] = "/tmp/kvspan-contract-XXXXXX";
  const UniqueFd file(::mkstemp(name));
  ::unlink(name);
  KV_CHECK_EQ(::ftruncate(file.get(), static_cast<off_t>(rig.page())), 0);
  refused(file.get());
}

KV_CONTRACT("an import of the wrong size maps nowhere") {
  const auto fd = rig.device().exportHandle(rig.create(2));
  for (const std::uint64_t pages : {1, 3, 4}) {
    KV_REFUSED(rig.map(rig.reserve(pages), rig.device().importHandle(fd.get(), pages * rig.page()),
                       pages));
  }
  KV_REFUSED(rig.device().importHandle(fd.get(), 0));
  KV_REFUSED(rig.device().importHandle(fd.get(), rig.page() + 1));
}

KV_CONTRACT("a refusal names its call, what was given and what is allowed") {
  const auto message = [](const std::function<void()>& body) -> std::string {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  const auto create = message([&] { rig.device().create(3); });
  KV_CHECK(has(create, "create") && has(create, "3") && has(create, "2097152"));
  const auto handle = rig.create(2);
  const auto map = message([&] { rig.map(rig.reserve(1), handle, 1); });
  KV_CHECK(has(map, "map") && has(map, "2097152") && has(map, "4194304"));
  const auto unmap = message([&] { rig.device().unmap(rig.reserve(1), rig.page()); });
  KV_CHECK(has(unmap, "unmap") && has(unmap, "2097152"));
  const auto total = rig.device().info().totalBytes / rig.page() * rig.page();
  const auto exhausted = message([&] { rig.device().create(2 * total); });
  KV_CHECK(has(exhausted, std::to_string(2 * total)));
}

}  // namespace kvspan::contract
