// What happens seldom: fences that fail or share a stream's number, amounts near the ends of their
// types, callbacks that throw, answers that come late.
#include <atomic>
#include <limits>
#include <stdexcept>
#include <thread>

#include "span/fence_list.hpp"
#include "span_support.hpp"

using namespace kvspan;
using namespace kvspan::test;

namespace {

struct Point {
  bool reached = false;
  bool fails = false;
};

class PointFence final : public Fence {
 public:
  explicit PointFence(const Point& point) : point_(point) {}
  bool reached() override {
    if (point_.fails) throw Error(Code::DeviceFailed, "cannot be asked");
    return point_.reached;
  }

 private:
  const Point& point_;
};

void add(FenceList& list, const Point& point) { list.add(std::make_unique<PointFence>(point)); }

constexpr auto kAll = std::numeric_limits<std::uint64_t>::max();

}  // namespace

KV_TEST("fences: a later one stands for itself only, whatever the number of its stream") {
  Point first, second;
  FenceList list;
  add(list, first);
  add(list, second);
  second.reached = true;
  KV_CHECK(!list.allReached());
  first.reached = true;
  KV_CHECK(list.allReached());
  KV_CHECK(list.empty());
}

KV_TEST("fences: one that cannot be asked leaves the others as they were") {
  Point gone, pending, failing;
  FenceList list;
  add(list, gone);
  add(list, pending);
  add(list, failing);
  gone.reached = failing.fails = true;
  KV_CHECK_THROWS(Code::DeviceFailed, list.allReached());
  KV_CHECK_THROWS(Code::DeviceFailed, list.allReached());
  Point last;
  add(list, last);
  failing.fails = false;
  pending.reached = failing.reached = true;
  KV_CHECK(!list.allReached());
  last.reached = true;
  KV_CHECK(list.allReached());
}

KV_TEST("span: asked for more than there can be, a session gives back all that it has") {
  Rig rig;
  rig.add(single(4));  // and none is left in the magazine
  Engine engine(rig.cache(planOf(3, 4, 16), kNoLookahead));
  engine.allocate(16);
  engine.allocate(48);
  engine.free(1);
  KV_CHECK_EQ(rig.session->giveBack(kAll), 3 * kPage);
  KV_CHECK_EQ(rig.session->giveBack(kAll), 0u);
  KV_CHECK_EQ(rig.audit->mappings(), 1u);
  rig.checkBooks();
}

KV_TEST("span: marks beyond all addresses are refused") {
  const auto device = openDevice({"host", 0, ""});
  KV_CHECK_THROWS(Code::InvalidArgument, Session::create(device, {kAll, kAll}, {}));
  KV_CHECK_THROWS(Code::InvalidArgument, Session::create(device, {0, kWaterBytesMax + 1}, {}));
}

KV_TEST("mapper: a wish that its callback failed to pass on is made again") {
  std::atomic<int> told{0};
  RigOptions options{4, 0};
  options.onNeed = [&](const OrderCounts&) {
    if (++told == 1) throw std::runtime_error("no way to the daemon");
  };
  Rig rig(options);
  rig.cache(planOf(2, 4, 16), kNoLookahead);
  KV_CHECK(eventually([&] { return told >= 2; }));
  KV_CHECK_EQ(told.load(), 2);
}

KV_TEST("mapper: what was given back while a wish was open is not wished for at once") {
  Rig rig({4, 0});
  rig.add(single(3));
  auto cache = rig.cache(planOf(2, 4, 16), kNoLookahead);
  KV_CHECK(eventually([&] { return rig.needs().size() == 1; }));
  const auto start = std::chrono::steady_clock::now();
  KV_CHECK_EQ(rig.session->giveBack(3 * kPage), 3 * kPage);
  rig.session->refillDone(0);
  KV_CHECK(eventually([&] { return rig.needs().size() == 2; }));
  KV_CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(100));
}
