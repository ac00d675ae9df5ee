#include "problem.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "reference.hpp"
#include "test/native/harness.hpp"

namespace kvspan::kerneltest {
namespace {

constexpr std::uint32_t kLayers = 3;  // of a token-major cache; the middle one is used
constexpr std::uint32_t kSpareUnits = 2;
constexpr std::uint32_t kGap = 5;  // tokens behind the longest request of a slot
// An entry of a table that no kernel may follow: it leads far outside of all memory.
constexpr std::int32_t kNowhere = 0x7fffffff;
constexpr std::size_t kReferenceRows = 64;  // for which K and V are converted once

}  // namespace

std::string describe(const Spec& spec) {
  const char* const orders[] = {"dense", "token-major", "head-major"};
  return spec.shape.suffix() + " " + std::to_string(spec.shape.queryHeads) + "/" +
         std::to_string(spec.shape.kvHeads) + " page " + std::to_string(spec.pageTokens) + " " +
         orders[static_cast<int>(spec.order)];
}

double alibiSlope(std::uint32_t head) { return 1.0 / (4 << head % 8); }

DeviceArray slopeArray(std::uint32_t heads) {
  std::vector<float> slopes;
  for (std::uint32_t head = 0; head < heads; ++head) {
    slopes.push_back(static_cast<float>(alibiSlope(head)));
  }
  return arrayOf(slopes);
}

DeviceArray::DeviceArray(std::uint64_t bytes)
    : buffer_(std::make_unique<attention::GpuBuffer>(rig().gpu, bytes)) {}

Problem::Problem(const Spec& spec) : spec_(spec), drawn_(spec.lengths) {
  std::mt19937 random(spec.seed);
  queryStarts_.push_back(0);
  for (std::size_t r = 0; r < requests(); ++r) {
    queryStarts_.push_back(queryStarts_.back() + queriesOf(r));
  }
  drawRows(random);
  layOut(random);
  placeQueries(random);
}

std::int32_t Problem::queriesOf(std::size_t request) const {
  return spec_.queries.empty() ? 1 : spec_.queries[request];
}

namespace {

// Nearly normal, and fast: the sum of a random word's bytes.
float draw(std::mt19937& random) {
  const auto word = static_cast<std::uint32_t>(random());
  const auto sum = (word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24);
  return (static_cast<float>(sum) - 510.0f) / 148.0f;
}

}  // namespace

// Each request from a seed of its own, so that they can be drawn at once.
void Problem::drawRows(std::mt19937& random) {
  const auto seed = static_cast<std::uint32_t>(random());
  for (auto& side : rows_) side.resize(requests());
  inParallel(2 * std::size_t{requests()}, [&](std::size_t i) {
    std::mt19937 own(seed + static_cast<std::uint32_t>(i));
    const std::size_t request = i / 2;
    std::vector<std::uint16_t> rows(static_cast<std::size_t>(drawn_[request]) *
                                    spec_.shape.kvHeads * spec_.shape.headDim);
    for (auto& element : rows) element = toBits(spec_.shape.dtype, draw(own));
    rows_[i % 2][request] = std::move(rows);
  });
}

// Where the units (slots or pages) lie: in random order, with some that nobody uses; or packed.
// Returns how many there are.
std::uint32_t Problem::placeUnits(std::mt19937& random) {
  const auto unitsOf = [&](std::int32_t length) -> std::uint32_t {
    if (spec_.pageTokens == 0) return spec_.packed ? static_cast<std::uint32_t>(length) + kGap : 1;
    return (static_cast<std::uint32_t>(length) + spec_.pageTokens - 1) / spec_.pageTokens;
  };
  std::uint32_t units = 0;
  for (const auto length : drawn_) units += unitsOf(length);
  if (spec_.packed) {
    std::int32_t at = 0;
    for (const auto length : drawn_) {
      slots_.push_back(at);
      at += static_cast<std::int32_t>(unitsOf(length));
    }
    return units;
  }
  units += kSpareUnits;
  std::vector<std::int32_t> order(units);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::shuffle(order, random);
  if (spec_.pageTokens == 0) {
    slots_.assign(order.begin(), order.end() - kSpareUnits);
    return units;
  }
  table_.assign(requests() * std::size_t{tableEntries_}, kNowhere);
  auto next = order.begin();
  for (std::size_t r = 0; r < requests(); ++r) {
    const auto count = unitsOf(drawn_[r]);
    std::copy_n(next, count, table_.begin() + static_cast<std::ptrdiff_t>(r * tableEntries_));
    next += count;
  }
  return units;
}

// NaN wherever no row lies.
void Problem::layOut(std::mt19937& random) {
  const auto& shape = spec_.shape;
  const std::uint64_t row = shape.headDim;
  const std::uint64_t token = row * shape.kvHeads;
  const std::int32_t longest = drawn_.empty() ? 1 : std::max(1, std::ranges::max(drawn_));
  const bool paged = spec_.pageTokens != 0;
  unitTokens_ = paged          ? spec_.pageTokens
                : spec_.packed ? 1
                               : static_cast<std::uint32_t>(longest) + kGap;
  tableEntries_ = (static_cast<std::uint32_t>(longest) + unitTokens_ - 1) / unitTokens_ + 1;
  const std::uint32_t units = placeUnits(random);
  unitElements_ = unitTokens_ * token;
  if (spec_.order == Order::TokenMajor) {
    tokenStride_ = token * 2 * kLayers;
    unitElements_ *= 2 * kLayers;
    headStride_ = row;
    base_[0] = 2 * token;
    base_[1] = 3 * token;
  } else {
    tokenStride_ = spec_.order == Order::Dense ? token : row;
    headStride_ = spec_.order == Order::Dense ? row : row * unitTokens_;
    base_[1] = units * unitElements_;
  }
  image_.assign(units * unitElements_ * (spec_.order == Order::TokenMajor ? 1 : 2), kNan);
  inParallel(2 * std::size_t{requests()}, [&](std::size_t i) { fillImage(i % 2 == 1, i / 2); });
  cache_ = std::make_unique<DeviceArray>(image_.size() * 2);
  cache_->put(image_);
  placeTensors();
}

void Problem::fillImage(bool value, std::size_t request) {
  for (std::int32_t t = 0; t < drawn_[request]; ++t) {
    for (std::uint32_t head = 0; head < spec_.shape.kvHeads; ++head) {
      std::copy_n(row(value, request, t, head), spec_.shape.headDim,
                  image_.data() + rowAt(value, request, t, head));
    }
  }
}

void Problem::placeTensors() {
  slotArray_ = std::make_unique<DeviceArray>(arrayOf(slots_));
  tableArray_ = std::make_unique<DeviceArray>(arrayOf(table_));
  const auto tensor = [&](int value) {
    return attention::TensorArguments{.address = cache_->address() + base_[value] * 2,
                                      .slotStrideBytes = unitElements_ * 2,
                                      .pageStrideBytes = unitElements_ * 2,
                                      .tokenStrideBytes = tokenStride_ * 2,
                                      .headStrideBytes = headStride_ * 2};
  };
  kv_ = {.pageTokens = spec_.pageTokens,
         .k = tensor(0),
         .v = tensor(1),
         .slots = slotArray_->address(),
         .blockTable = tableArray_->address(),
         .blockTableEntries = tableEntries_};
}

void Problem::placeQueries(std::mt19937& random) {
  queries_.resize(std::size_t(queryCount()) * spec_.shape.queryHeads * spec_.shape.headDim);
  for (auto& element : queries_) {
    element = spec_.zeroQueries ? 0 : toBits(spec_.shape.dtype, draw(random));
  }
  queryArray_ = std::make_unique<DeviceArray>(arrayOf(queries_));
  outArray_ = std::make_unique<DeviceArray>(std::max<std::size_t>(16, queries_.size() * 2));
  poisonOut();
}

std::uint64_t Problem::rowAt(bool value, std::size_t request, std::int32_t token,
                             std::uint32_t head) const {
  const auto t = static_cast<std::uint32_t>(token);
  const auto unit = spec_.pageTokens == 0
                        ? slots_[request]
                        : table_[request * tableEntries_ + t / unitTokens_];
  const std::uint32_t within = spec_.pageTokens == 0 ? t : t % unitTokens_;
  return base_[value] + static_cast<std::uint64_t>(unit) * unitElements_ + within * tokenStride_ +
         head * headStride_;
}

const std::uint16_t* Problem::row(bool value, std::size_t request, std::int32_t token,
                                  std::uint32_t head) const {
  return rows_[value][request].data() +
         (std::size_t(token) * spec_.shape.kvHeads + head) * spec_.shape.headDim;
}

attention::AttentionArguments Problem::attention() const {
  const auto rowBytes = spec_.shape.rowBytes();
  const auto rows = [&](const DeviceArray& array) {
    return attention::RowArguments{array.address(), std::uint64_t{rowBytes} * spec_.shape.queryHeads,
                                   rowBytes};
  };
  return {.kv = kv_, .queries = rows(*queryArray_), .out = rows(*outArray_), .options = spec_.options};
}

attention::PlanCapacity Problem::capacity() const {
  const auto longest = drawn_.empty() ? 1 : std::max(1, std::ranges::max(drawn_));
  return {.requestsMax = requests() + 1,
          .tokensMax = static_cast<std::uint32_t>(longest),
          .queriesMax = static_cast<std::uint32_t>(std::max(1, queryCount())),
          .window = spec_.options.window};
}

void Problem::poisonOut() const {
  outArray_->put(std::vector<std::uint16_t>(queries_.size(), kNan));
}

// The rows of a KV head of a request are its queries x the query heads of the group.
struct Problem::ReferenceWork {
  std::size_t request;
  std::uint32_t kvHead;
  std::size_t firstRow;
};

std::vector<Problem::ReferenceWork> Problem::referenceWorks() const {
  std::vector<ReferenceWork> works;
  for (std::size_t r = 0; r < requests(); ++r) {
    const auto rows = static_cast<std::size_t>(queriesOf(r)) * spec_.shape.group();
    for (std::uint32_t head = 0; head < spec_.shape.kvHeads; ++head) {
      for (std::size_t first = 0; first < rows; first += kReferenceRows) {
        works.push_back({r, head, first});
      }
    }
  }
  return works;
}

void Problem::refer(const ReferenceWork& work, std::vector<double>& want) const {
  const auto& shape = spec_.shape;
  const auto& [request, kvHead, firstRow] = work;
  const std::int32_t length = spec_.lengths[request];
  const std::int32_t queries = queriesOf(request);
  const std::size_t rows = static_cast<std::size_t>(queries) * shape.group();
  Reference reference(spec_, row(false, request, 0, kvHead), row(true, request, 0, kvHead), length,
                      std::size_t{shape.kvHeads} * shape.headDim);
  for (std::size_t i = firstRow; i < std::min(rows, firstRow + kReferenceRows); ++i) {
    const auto query = static_cast<std::int32_t>(i / shape.group());
    const auto head = kvHead * shape.group() + static_cast<std::uint32_t>(i % shape.group());
    const auto at = elementOf(request, query, head);
    reference.attend({.query = queries_.data() + at,
                      .position = length - queries + query,
                      .slope = spec_.options.alibiSlopes != 0 ? alibiSlope(head) : 0.0,
                      .out = want.data() + at,
                      .magnitude = want.data() + queries_.size() + at});
  }
}

// [query, head, dim] of the answer, then of its magnitude. The reference takes far longer than the
// kernel: all processors share it, and two kernels that have the same answer.
const std::vector<double>& Problem::wanted() const {
  if (!want_.empty()) return want_;
  toFloat(Dtype::Fp16, 0);
  want_.assign(2 * queries_.size(), 0.0);
  const auto works = referenceWorks();
  inParallel(works.size(), [&](std::size_t i) { refer(works[i], want_); });
  return want_;
}

std::size_t Problem::elementOf(std::size_t request, std::int32_t query, std::uint32_t head) const {
  const auto row = static_cast<std::size_t>(queryStarts_[request] + query);
  return (row * spec_.shape.queryHeads + head) * spec_.shape.headDim;
}

// The result is rounded, and so are the weights, unless they are all 1. The bounds are those
// roundings, twice over.
std::string Problem::compare(std::size_t request, std::int32_t query, std::uint32_t head,
                             const std::vector<std::uint16_t>& out) const {
  const auto& shape = spec_.shape;
  const double rounding = shape.dtype == Dtype::Bf16 ? 1.0 / 256 : 1.0 / 2048;
  const double weights = spec_.zeroQueries ? 1e-5 : rounding;
  const auto first = elementOf(request, query, head);
  const double* const want = want_.data() + first;
  const double* const magnitude = want + queries_.size();
  for (std::uint32_t d = 0; d < shape.headDim; ++d) {
    const double got = toFloat(shape.dtype, out[first + d]);
    const double bound = 2 * rounding * std::abs(want[d]) + weights * magnitude[d] + 1e-6;
    if (std::abs(got - want[d]) <= bound) continue;
    return "request " + std::to_string(request) + " of length " +
           std::to_string(spec_.lengths[request]) + ", query " + std::to_string(query) + ", head " +
           std::to_string(head) + ", dim " + std::to_string(d) + ": " + std::to_string(got) +
           " instead of " + std::to_string(want[d]) + ", bound " + std::to_string(bound);
  }
  return "";
}

void Problem::checkOut(const std::string& what) const {
  const auto out = outArray_->get<std::uint16_t>();
  wanted();
  for (std::size_t request = 0; request < requests(); ++request) {
    for (std::int32_t query = 0; query < queriesOf(request); ++query) {
      for (std::uint32_t head = 0; head < spec_.shape.queryHeads; ++head) {
        const auto failure = compare(request, query, head, out);
        if (failure.empty()) continue;
        throw test::Failure(what + " (" + describe(spec_) + "): " + failure);
      }
    }
  }
}

void runDecode(const Spec& spec) {
  const Problem problem(spec);
  const auto plan =
      std::make_shared<attention::DecodePlanBuffer>(rig().gpu, spec.shape, problem.capacity());
  plan->update(spec.lengths, rig().stream);
  attention::KernelBatch batch(rig().library);
  batch.addDecode(problem.attention(), plan);
  batch.launch(rig().stream);
  rig().gpu->synchronize(rig().stream);
  problem.checkOut("decode");
}

void runPrefill(const Spec& spec) {
  const Problem problem(spec);
  const auto plan =
      std::make_shared<attention::PrefillPlanBuffer>(rig().gpu, spec.shape, problem.capacity());
  plan->update(problem.queryStarts(), spec.lengths, rig().stream);
  using attention::PrefillVariant;
  const bool two = rig().gpu->facts().computeMajor == 9 && spec.shape.headDim <= 128;
  for (const auto variant : {PrefillVariant::Portable, PrefillVariant::Hopper}) {
    if (variant == PrefillVariant::Hopper && !two) continue;
    auto arguments = problem.attention();
    arguments.variant = variant;
    attention::KernelBatch batch(rig().library);
    batch.addPrefill(arguments, plan);
    problem.poisonOut();
    batch.launch(rig().stream);
    rig().gpu->synchronize(rig().stream);
    problem.checkOut(variant == PrefillVariant::Hopper ? "prefill for Hopper" : "prefill");
  }
}

std::vector<std::int32_t> edgeLengths() {
  if (rig().small) return {0, 1, 16, 65, 257};
  return {0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 2049};
}

std::vector<Spec> allLayouts(const Spec& spec) {
  std::vector<Spec> all;
  for (const auto dtype : {Dtype::Bf16, Dtype::Fp16}) {
    for (const std::uint32_t headDim : {64, 128, 256}) {
      for (const std::uint32_t page : {0, 1, 16, 64, 256}) {
        for (const auto order : {Order::Dense, Order::TokenMajor, Order::HeadMajor}) {
          if (rig().small && (order == Order::HeadMajor || dtype == Dtype::Fp16)) continue;
          // Strides are no matter of the type: fp16 has each of them with some head dimension.
          const bool turn = static_cast<std::uint32_t>(order) == (headDim / 64 + page) % 3;
          if (dtype == Dtype::Fp16 && !turn) continue;
          Spec one = spec;
          one.shape.dtype = dtype;
          one.shape.headDim = headDim;
          one.pageTokens = page;
          one.order = order;
          one.seed = spec.seed + static_cast<std::uint32_t>(all.size());
          all.push_back(one);
        }
      }
    }
  }
  return all;
}

}  // namespace kvspan::kerneltest
