#include "span/magazine.hpp"

#include <algorithm>
#include <bit>
#include <unordered_set>

namespace kvspan {

int Magazine::orderOf(std::uint64_t bytes) const {
  if (bytes == 0 || bytes % pageBytes_ != 0) return -1;
  const Pages pages = bytes / pageBytes_;
  if (!std::has_single_bit(pages) || pages > kExtentPagesMax) return -1;
  return orderNotAbove(pages);
}

void Magazine::put(const Extent& extent) {
  const int order = orderOf(extent.bytes);
  byOrder_[order].push_back(extent);
  ++counts_[order];
  bytes_ += extent.bytes;
}

Extent Magazine::take(int order) {
  const Extent extent = byOrder_[order].back();
  byOrder_[order].pop_back();
  --counts_[order];
  bytes_ -= extent.bytes;
  return extent;
}

std::vector<Extent> Magazine::takeBytes(std::uint64_t bytes, std::uint64_t room) {
  std::vector<Extent> taken;
  taken.reserve(extents());
  std::uint64_t missing = bytes;
  std::uint64_t left = std::min(room, bytes_);
  while (missing > 0 && left >= pageBytes_) {
    const Pages most = left / pageBytes_;
    const Pages pages = std::min(pagesFor(missing, pageBytes_), most);
    const int order = availableOrder(counts_, orderNotAbove(pages), most);
    if (order < 0) break;
    const Extent extent = take(order);
    left -= extent.bytes;
    missing -= std::min(missing, extent.bytes);
    taken.push_back(extent);
  }
  return taken;
}

std::vector<Extent> Magazine::takeAbove(std::uint64_t high, std::uint64_t low) {
  std::vector<Extent> taken;
  taken.reserve(extents());
  while (bytes_ > high) {
    const Pages excess = pagesFor(bytes_ - high, pageBytes_);
    const Pages room = (bytes_ - std::min(bytes_, low)) / pageBytes_;
    if (room == 0) break;
    const int wanted = orderNotAbove(std::min(excess, room));
    const int order = availableOrder(counts_, wanted, room);
    if (order < 0) break;
    taken.push_back(take(order));
  }
  return taken;
}

std::vector<Extent> Magazine::takeIds(const std::vector<std::uint64_t>& ids) {
  const std::unordered_set<std::uint64_t> wanted(ids.begin(), ids.end());
  std::vector<Extent> taken;
  taken.reserve(ids.size());
  for (int order = 0; order <= kOrderMax; ++order) {
    auto& list = byOrder_[order];
    const auto kept = std::stable_partition(
        list.begin(), list.end(), [&](const Extent& one) { return !wanted.contains(one.id); });
    for (auto it = kept; it != list.end(); ++it) {
      taken.push_back(*it);
      bytes_ -= it->bytes;
    }
    list.erase(kept, list.end());
    counts_[order] = static_cast<std::uint32_t>(list.size());
  }
  return taken;
}

std::optional<std::uint64_t> Magazine::firstAbsent(const std::vector<std::uint64_t>& ids) const {
  std::unordered_set<std::uint64_t> here;
  here.reserve(extents());
  for (const auto& list : byOrder_) {
    for (const Extent& one : list) here.insert(one.id);
  }
  for (const std::uint64_t id : ids) {
    if (!here.contains(id)) return id;
  }
  return std::nullopt;
}

}  // namespace kvspan
