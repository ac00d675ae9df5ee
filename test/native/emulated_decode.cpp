// The decode kernel's own source, run on the CPU (emulated_cuda.hpp) against a float64 reference.
#include "emulated_cuda.hpp"

#include <random>

#include "harness.hpp"
#include "kernels/cuda/device/decode.cuh"
#include "kernels/cuda/host/decode_plan.hpp"

namespace kvspan::test {
namespace {

using namespace attention;

struct Batch {
  int kvHeads;
  int group;
  int blocks;
  std::vector<std::int32_t> lengths;
  ScoreOptions options{.scale = 0.2f, .softCap = 0, .window = 0, .alibiSlopes = nullptr};
};

constexpr std::uint16_t kNan = 0xffff;

template <int HeadDim, int Rows, int PageTokens>
class Emulated {
 public:
  explicit Emulated(const Batch& batch) : b_(batch), queryHeads_(batch.kvHeads * batch.group) {
    const int longest = std::ranges::max(b_.lengths);
    unitTokens_ = PageTokens == 0 ? longest + 3 : PageTokens;
    entries_ = longest / unitTokens_ + 2;
    const auto units = b_.lengths.size() * static_cast<std::size_t>(PageTokens == 0 ? 1 : entries_);
    for (std::size_t i = 0; i < units; ++i) ids_.push_back(static_cast<std::int32_t>(i));
    std::ranges::shuffle(ids_, random_);
    for (auto* side : {&k_, &v_}) {
      side->assign(units * unitTokens_ * b_.kvHeads * HeadDim, kNan);
      for (std::size_t r = 0; r < b_.lengths.size(); ++r) {
        for (int t = 0; t < b_.lengths[r]; ++t) {
          std::generate_n(side->begin() + rowAt(r, t, 0), b_.kvHeads * HeadDim, [&] { return draw(); });
        }
      }
    }
    queries_.resize(b_.lengths.size() * queryHeads_ * HeadDim);
    std::ranges::generate(queries_, [&] { return draw(); });
    out_.assign(queries_.size(), kNan);
  }

  void run() {
    const auto plan = planDecode({.blocks = static_cast<std::uint32_t>(b_.blocks),
                                  .kvHeads = static_cast<std::uint32_t>(b_.kvHeads),
                                  .group = static_cast<std::uint32_t>(b_.group),
                                  .requestsMax = static_cast<std::uint32_t>(b_.lengths.size()),
                                  .tokensMax = 1 << 20,
                                  .window = static_cast<std::uint32_t>(b_.options.window)},
                                 b_.lengths);
    const auto [items, starts] = plan.forDevice();
    std::vector<float> partials(2 * b_.blocks * decodePartFloats(HeadDim, Rows), NAN);
    std::vector<std::int32_t> arrivals(b_.blocks);
    const DecodePlanView view{items.data(), starts.data(), partials.data(), arrivals.data()};
    const auto params = paramsOf(view);
    // Shared memory holds whatever it held before.
    std::memset(shared, 0xff, sizeof shared);
    emulateGrid(b_.blocks, [&] { decode<Bf16, HeadDim, Rows, PageTokens>(params); });
    KV_CHECK(std::ranges::all_of(arrivals, [](int left) { return left == 0; }));
    check();
  }

 private:
  std::uint16_t draw() {
    const float value = (static_cast<float>(random_() % 2001) - 1000.0f) / 600.0f;
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
  }

  std::ptrdiff_t rowAt(std::size_t request, int token, int head) const {
    const auto unit = PageTokens == 0 ? ids_[request] : ids_[request * entries_ + token / unitTokens_];
    const std::ptrdiff_t row = std::ptrdiff_t{unit} * unitTokens_ + token % unitTokens_;
    return (row * b_.kvHeads + head) * HeadDim;
  }

  DecodeParams paramsOf(const DecodePlanView& view) {
    const std::int64_t token = b_.kvHeads * HeadDim;
    const KvTensor k{k_.data(), unitTokens_ * token, unitTokens_ * token, token, HeadDim};
    KvTensor v = k;
    v.base = v_.data();
    DecodeParams params{};
    params.kv = {k, v, ids_.data(), ids_.data(), entries_};
    params.queries = {queries_.data(), queryHeads_ * HeadDim, HeadDim};
    params.out = {out_.data(), queryHeads_ * HeadDim, HeadDim};
    params.options = b_.options;
    params.plan = view;
    params.queryHeads = queryHeads_;
    params.kvHeads = b_.kvHeads;
    return params;
  }

  double score(std::size_t request, int head, int token) const {
    double dot = 0;
    for (int d = 0; d < HeadDim; ++d) {
      dot += double{bf16(queries_[(request * queryHeads_ + head) * HeadDim + d])} *
             bf16(k_[rowAt(request, token, head / b_.group) + d]);
    }
    dot *= b_.options.scale;
    if (b_.options.softCap > 0) dot = b_.options.softCap * std::tanh(dot / b_.options.softCap);
    if (b_.options.alibiSlopes == nullptr) return dot;
    return dot + b_.options.alibiSlopes[head] * (token - (b_.lengths[request] - 1));
  }

  void check() const {
    for (std::size_t r = 0; r < b_.lengths.size(); ++r) {
      const int window = b_.options.window;
      const int first = window == 0 ? 0 : std::max(0, b_.lengths[r] - window);
      for (int head = 0; head < queryHeads_; ++head) {
        std::vector<double> want(HeadDim);
        double sum = 0;
        for (int t = first; t < b_.lengths[r]; ++t) {
          const double weight = std::exp(score(r, head, t));
          sum += weight;
          for (int d = 0; d < HeadDim; ++d) want[d] += weight * bf16(v_[rowAt(r, t, head / b_.group) + d]);
        }
        for (int d = 0; d < HeadDim; ++d) {
          const double got = bf16(out_[(r * queryHeads_ + head) * HeadDim + d]);
          KV_CHECK(std::abs(got - (sum == 0 ? 0 : want[d] / sum)) < 0.01);
        }
      }
    }
  }

  Batch b_;
  int queryHeads_;
  int unitTokens_ = 0;
  int entries_ = 0;
  std::mt19937 random_{3};
  std::vector<std::int32_t> ids_;  // the slots, or the block table
  std::vector<std::uint16_t> k_, v_, queries_, out_;
};

KV_TEST("emulated decode: contiguous, lengths of tiles' edges, units in one part and in several") {
  Emulated<128, 8, 0>({2, 4, 5, {100, 0, 1, 230, 64}}).run();
}

KV_TEST("emulated decode: pages of 16 in a shuffled table") {
  Emulated<128, 8, 16>({2, 3, 4, {100, 17, 300}}).run();
}

KV_TEST("emulated decode: pages of one token, a window") {
  Batch batch{2, 8, 4, {33, 150}};
  batch.options.window = 70;
  Emulated<64, 8, 1>(batch).run();
}

KV_TEST("emulated decode: more query heads than a unit holds, slopes") {
  Batch batch{1, 17, 4, {65, 129}};
  std::vector<float> slopes;
  for (int head = 0; head < 17; ++head) slopes.push_back(1.0f / static_cast<float>(8 << head % 4));
  batch.options.alibiSlopes = slopes.data();
  Emulated<64, 16, 64>(batch).run();
}

KV_TEST("emulated decode: 16 rows of a head dimension of 256, a soft cap") {
  Batch batch{1, 12, 2, {140}};
  batch.options.softCap = 2.0f;
  Emulated<256, 16, 0>(batch).run();
}

}  // namespace
}  // namespace kvspan::test
