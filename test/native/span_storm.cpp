// The storm over the stand-in driver: copies stand for kernels. They run on the stream's own thread,
// so one whose span was unmapped too early really faults.
#include <chrono>
#include <cstring>

#include "cuda_stream.hpp"
#include "stand_in.hpp"
#include "storm.hpp"

using namespace kvspan;
using namespace kvspan::test;

namespace {

constexpr std::uint32_t kTokensPerPage = 64;
constexpr std::uint64_t kPagesPerSlot = 4;
constexpr std::uint32_t kSlots = 3;
constexpr std::uint64_t kPoolPages = 40;
constexpr std::uint32_t kRounds = 12;
constexpr std::chrono::microseconds kDally{500};

// Writes a request's rows, dallies, and reads them again; each a piece of work that waits its turn.
class CopyWork final : public StormWork {
 public:
  explicit CopyWork(const Cache& cache)
      : base_(cache.base()), plan_(cache.plan()), stream_(standIn()) {}

  Stream stream() const override { return stream_.stream(); }

  void submit(const std::vector<StormRequest>& requests, std::uint32_t seed) override {
    copies_.clear();
    for (const auto& one : requests) copies_.push_back(drawn(one, seed));
    stream_.dally(kDally);
    for (auto& copy : copies_) stream_.copyIn(copy.at, copy.rows.data(), copy.rows.size());
    stream_.dally(kDally);
    for (auto& copy : copies_) stream_.copyOut(copy.back.data(), copy.at, copy.back.size());
  }

  void verify() override {
    stream_.synchronize();
    for (const auto& copy : copies_) KV_CHECK(copy.rows == copy.back);
  }

 private:
  struct Copy {
    Address at = 0;
    std::vector<std::uint8_t> rows, back;
  };

  Copy drawn(const StormRequest& request, std::uint32_t seed) const {
    Copy copy;
    copy.at = base_ + request.slot * plan_.slotStrideBytes;
    copy.rows.resize(request.length * plan_.rowBytes);
    copy.back.resize(copy.rows.size());
    // A row is one byte over and over: drawing each would take a sanitizer most of the test's time.
    for (std::uint32_t token = 0; token < request.length; ++token) {
      std::memset(copy.rows.data() + token * plan_.rowBytes, static_cast<int>((seed + token) & 255),
                  plan_.rowBytes);
    }
    return copy;
  }

  const Address base_;
  const CachePlan plan_;
  CudaStream stream_;
  std::vector<Copy> copies_;
};

void weather(Rig::From from) {
  RigOptions options;
  options.device = {"cuda", 0, standIn()};
  Rig rig(options);
  std::vector<StormEngine> engines;
  for (int i = 0; i < 2; ++i) {
    const auto cache = rig.cache(planOf(kSlots, kPagesPerSlot, kTokensPerPage), kNoLookahead);
    engines.push_back({cache, std::make_unique<CopyWork>(*cache)});
  }
  Storm storm(rig, kPoolPages, from);
  rideOut(storm, engines, kRounds);
  rig.checkBooks();
  engines.clear();
}

}  // namespace

KV_TEST("storm on cuda: work that is pending keeps its spans while all else is taken back") {
  weather(Rig::From::Created);
}

KV_TEST("storm on cuda: the same with extents that another has created and let go") {
  weather(Rig::From::Imported);
}
