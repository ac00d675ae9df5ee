#include "channel/credit.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace kvspan {
namespace {

constexpr std::uint32_t kLimitMin = 8;

}  // namespace

std::uint32_t CreditLine::limitOfThisProcess() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return kLimitMin;
  // On the host backend an extent in flight has two open here: the handle's and the exported one.
  const auto quarter = std::min<rlim_t>(files.rlim_cur / 4, kDescriptorsInFlightMax);
  return std::max(static_cast<std::uint32_t>(quarter), kLimitMin);
}

bool CreditLine::take(const ConnectionPtr& connection, std::uint32_t count) {
  if (connection->credit >= count) return true;
  if (queue_.empty() && free_ >= count) {
    free_ -= count;
    connection->credit = count;
    return true;
  }
  connection->creditWanted = count;
  connection->pump = Pump::AwaitingCredit;
  queue_.push_back(connection);
  return false;
}

std::vector<ConnectionPtr> CreditLine::giveBack(const ConnectionPtr& connection,
                                                std::uint32_t kept) {
  free_ += connection->credit - kept;
  connection->credit = kept;
  std::vector<ConnectionPtr> served;
  while (!queue_.empty()) {
    const ConnectionPtr next = queue_.front();
    if (next->pump == Pump::AwaitingCredit) {
      if (free_ < next->creditWanted) break;
      free_ -= next->creditWanted;
      next->credit = next->creditWanted;
      next->pump = Pump::Owned;
      served.push_back(next);
    }
    queue_.pop_front();
  }
  return served;
}

}  // namespace kvspan
