// What memory holds, who may touch it, and copies.
#include <numeric>

#include "device_contract.hpp"

namespace kvspan::contract {
namespace {

constexpr std::uint64_t kWord = sizeof(std::uint64_t);

bool allZero(Rig& rig, Address at, std::uint64_t pages) {
  std::vector<std::uint64_t> words(pages * rig.page() / kWord, 1);
  rig.device().copyOut(words.data(), words.size() * kWord, at, words.size() * kWord,
                       words.size() * kWord, 1);
  for (const auto word : words) {
    if (word != 0) return false;
  }
  return true;
}

}  // namespace

KV_CONTRACT("fresh memory is zero, also where others have written before") {
  for (int round = 0; round < 4; ++round) {
    const auto at = rig.reserve(4);
    const auto handle = rig.create(4);
    rig.map(at, handle, 4, Access::ReadWrite);
    KV_CHECK(allZero(rig, at, 4));
    const std::vector<std::uint64_t> dirt(4 * rig.page() / kWord, ~std::uint64_t{0});
    rig.device().copyIn(at, 4 * rig.page(), dirt.data(), 4 * rig.page(), 4 * rig.page(), 1);
    KV_CHECK(!allZero(rig, at, 4));
    rig.device().unmap(at, 4 * rig.page());
    rig.device().release(handle);
    rig.device().unreserve(at, 4 * rig.page());
  }
}

KV_CONTRACT("data stays with the handle when it moves to other addresses") {
  const auto handle = rig.create(2);
  auto at = rig.reserve(8);
  rig.map(at, handle, 2, Access::ReadWrite);
  for (std::uint64_t move = 1; move <= 3; ++move) {
    rig.put(at, 100 + move);
    rig.put(at + 2 * rig.page() - kWord, 200 + move);
    rig.device().unmap(at, 2 * rig.page());
    at += 2 * rig.page();
    rig.map(at, handle, 2, Access::ReadWrite);
    KV_CHECK_EQ(rig.get(at), 100 + move);
    KV_CHECK_EQ(rig.get(at + 2 * rig.page() - kWord), 200 + move);
  }
}

KV_CONTRACT("one handle maps at several addresses, which see each other's writes") {
  const auto handle = rig.create(1);
  const auto base = rig.reserve(4);
  for (int i = 0; i < 4; ++i) rig.map(base + i * rig.page(), handle, 1, Access::ReadWrite);
  for (int i = 0; i < 4; ++i) rig.put(base + i * rig.page() + i * kWord, 10 + i);
  for (int i = 0; i < 4; ++i) {
    for (std::uint64_t word = 0; word < 4; ++word) {
      KV_CHECK_EQ(rig.get(base + i * rig.page() + word * kWord), 10 + word);
    }
  }
  rig.device().unmap(base + rig.page(), rig.page());
  KV_CHECK_EQ(rig.get(base), 10u);
  KV_CHECK_EQ(rig.get(base + 2 * rig.page()), 10u);
}

KV_CONTRACT("each alias has an access of its own: a read-only one reads and refuses writes") {
  const auto handle = rig.create(1);
  const auto base = rig.reserve(2);
  const auto reader = base + rig.page();
  rig.map(base, handle, 1, Access::ReadWrite);
  rig.map(reader, handle, 1, Access::Read);
  rig.put(base, 3);
  KV_CHECK_EQ(rig.get(reader), 3u);
  KV_CHECK(!rig.writable(reader) && rig.writable(base));
  KV_REFUSED(rig.put(reader, 4));
  KV_CHECK_EQ(rig.get(base), 3u);
  rig.device().access(reader, rig.page(), Access::ReadWrite);
  rig.put(reader, 5);
  KV_CHECK_EQ(rig.get(base), 5u);
}

KV_CONTRACT("memory cannot be touched before access, without it, and after the unmap") {
  const auto at = rig.reserve(1);
  KV_CHECK(!rig.readable(at));
  rig.map(at, rig.create(1), 1);
  KV_CHECK(!rig.readable(at));
  rig.device().access(at, rig.page(), Access::Read);
  KV_CHECK(rig.readable(at) && !rig.writable(at));
  rig.device().access(at, rig.page(), Access::ReadWrite);
  KV_CHECK(rig.writable(at) && rig.writable(at + rig.page() - kWord));
  rig.device().access(at, rig.page(), Access::None);
  KV_CHECK(!rig.readable(at));
  rig.device().access(at, rig.page(), Access::ReadWrite);
  rig.device().unmap(at, rig.page());
  KV_CHECK(!rig.readable(at));
}

KV_CONTRACT("closing access keeps the data") {
  const auto at = rig.mapped(1);
  rig.put(at, 6);
  rig.device().access(at, rig.page(), Access::None);
  rig.device().access(at, rig.page(), Access::Read);
  KV_CHECK_EQ(rig.get(at), 6u);
}

KV_CONTRACT("neighbouring handles are one contiguous range to a copy") {
  const auto page = rig.page();
  const auto base = rig.reserve(7);
  std::uint64_t next = 0;
  for (const std::uint64_t pages : {1, 2, 4}) {
    rig.map(base + next * page, rig.create(pages), pages, Access::ReadWrite);
    next += pages;
  }
  std::vector<std::uint64_t> out(7 * page / kWord), in(7 * page / kWord);
  std::iota(out.begin(), out.end(), 1);
  rig.device().copyIn(base, 7 * page, out.data(), 7 * page, 7 * page, 1);
  rig.device().copyOut(in.data(), 7 * page, base, 7 * page, 7 * page, 1);
  KV_CHECK(in == out);
  KV_CHECK_EQ(rig.get(base + 3 * page), 3 * page / kWord + 1);
}

KV_CONTRACT("a pitched copy touches its rows and nothing between them") {
  const auto at = rig.mapped(1);
  constexpr std::uint64_t kRows = 37, kWidth = 48, kPitch = 112, kHostPitch = 64, kOffset = 24;
  std::vector<unsigned char> rows(kRows * kHostPitch);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<unsigned char>(i * 7 + 1);
  rig.device().copyIn(at + kOffset, kPitch, rows.data(), kHostPitch, kWidth, kRows);
  std::vector<unsigned char> image(kRows * kPitch + kOffset);
  rig.device().copyOut(image.data(), image.size(), at, image.size(), image.size(), 1);
  for (std::size_t i = 0; i < image.size(); ++i) {
    const auto row = i < kOffset ? kRows : (i - kOffset) / kPitch;
    const auto column = i < kOffset ? 0 : (i - kOffset) % kPitch;
    const bool inside = row < kRows && column < kWidth;
    KV_CHECK_EQ(int{image[i]}, inside ? int{rows[row * kHostPitch + column]} : 0);
  }
  std::vector<unsigned char> back(kRows * kHostPitch, 9);
  rig.device().copyOut(back.data(), kHostPitch, at + kOffset, kPitch, kWidth, kRows);
  for (std::size_t i = 0; i < back.size(); ++i) {
    KV_CHECK_EQ(int{back[i]}, i % kHostPitch < kWidth ? int{rows[i]} : 9);
  }
}

KV_CONTRACT("a copy that leaves the mapped range is refused and writes nothing") {
  const auto page = rig.page();
  const auto base = rig.reserve(4);
  rig.map(base, rig.create(1), 1, Access::ReadWrite);
  rig.map(base + 2 * page, rig.create(1), 1, Access::ReadWrite);
  const std::vector<std::uint64_t> ones(4 * page / kWord, ~std::uint64_t{0});
  auto& device = rig.device();
  const auto refused = [&](Address at, std::uint64_t pitch, std::uint64_t width,
                           std::uint64_t rows) {
    KV_REFUSED(device.copyIn(at, pitch, ones.data(), width, width, rows));
  };
  refused(base, 2 * page, 2 * page, 1);
  refused(base + page - kWord, 2 * kWord, 2 * kWord, 1);
  refused(base - kWord, 2 * kWord, 2 * kWord, 1);
  refused(base, page, kWord, 2);           // the second row lies in the gap
  refused(base, kWord, 2 * kWord, 2);      // a pitch less than the width
  refused(base, ~std::uint64_t{0} / 2, kWord, 4);
  refused(~std::uint64_t{0} - 4, kWord, kWord, 1);
  KV_CHECK(allZero(rig, base, 1) && allZero(rig, base + 2 * page, 1));
  device.copyIn(base, 2 * page, ones.data(), kWord, kWord, 2);
  KV_CHECK_EQ(rig.get(base + 2 * page), ~std::uint64_t{0});
}

KV_CONTRACT("a pitched copy passes over memory that may not be touched") {
  const auto page = rig.page();
  const auto base = rig.reserve(3);
  rig.map(base, rig.create(1), 1, Access::ReadWrite);
  rig.device().map(base + page, rig.create(1), page);  // no access
  rig.map(base + 2 * page, rig.create(1), 1, Access::ReadWrite);
  const std::uint64_t in[2] = {3, 4};
  std::uint64_t out[2] = {};
  rig.device().copyIn(base, 2 * page, in, kWord, kWord, 2);
  rig.device().copyOut(out, kWord, base, 2 * page, kWord, 2);
  KV_CHECK(out[0] == 3 && out[1] == 4);
}

KV_CONTRACT("a copy of nothing does nothing, wherever") {
  std::uint64_t word = 5;
  rig.device().copyOut(&word, kWord, rig.reserve(1), kWord, 0, 1);
  rig.device().copyOut(&word, kWord, rig.reserve(1), kWord, kWord, 0);
  rig.device().copyIn(rig.reserve(1), kWord, &word, kWord, 0, 7);
  KV_CHECK_EQ(word, 5u);
}

KV_CONTRACT("a device that is closed takes its mappings and reservations along") {
  const auto at = rig.mapped(2);
  const auto probe = rig.options();
  rig.closeDevice();
  Rig next(probe);
  KV_CHECK_EQ(next.device().reserve(2 * next.page(), at), at);
  KV_CHECK(!next.readable(at));
}

}  // namespace kvspan::contract
