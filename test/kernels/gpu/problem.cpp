#include "problem.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <mutex>
#include <numeric>
#include <thread>

#include "test/native/harness.hpp"

namespace kvspan::kerneltest {
namespace {

constexpr std::uint32_t kLayers = 3;  // of a token-major cache; the middle one is used
constexpr std::uint32_t kSpareUnits = 2;

}  // namespace

std::string describe(const Spec& spec) {
  const char* const orders[] = {"dense", "token-major", "head-major"};
  return spec.shape.suffix() + " " + std::to_string(spec.shape.queryHeads) + "/" +
         std::to_string(spec.shape.kvHeads) + " page " + std::to_string(spec.pageTokens) + " " +
         orders[static_cast<int>(spec.order)];
}

namespace {

float halfToFloat(std::uint32_t bits) {
  const int exponent = bits >> 10 & 31;
  const float mantissa = static_cast<float>(bits & 1023);
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024.0f + mantissa, exponent - 25);
}

std::vector<float> halves() {
  std::vector<float> all;
  for (std::uint32_t bits = 0; bits < 1u << 16; ++bits) all.push_back(halfToFloat(bits));
  return all;
}

}  // namespace

float toFloat(Dtype dtype, std::uint16_t bits) {
  if (dtype == Dtype::Bf16) return std::bit_cast<float>(std::uint32_t{bits} << 16);
  static const std::vector<float> all = halves();
  return all[bits];
}

// To nearest is not needed: any value that the type has will do as test data.
std::uint16_t toBits(Dtype dtype, float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  if (dtype == Dtype::Bf16) return static_cast<std::uint16_t>(word >> 16);
  const int exponent = static_cast<int>(word >> 23 & 255) - 127 + 15;
  const auto sign = static_cast<std::uint16_t>(word >> 16 & 0x8000);
  if (exponent <= 0) return sign;
  return static_cast<std::uint16_t>(sign | exponent << 10 | (word >> 13 & 1023));
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

void Problem::drawRows(std::mt19937& random) {
  for (auto& side : rows_) {
    for (const auto length : drawn_) {
      std::vector<std::uint16_t> rows(std::size_t(length) * spec_.shape.kvHeads *
                                      spec_.shape.headDim);
      for (auto& element : rows) element = toBits(spec_.shape.dtype, draw(random));
      side.push_back(std::move(rows));
    }
  }
}

// Slots and pages in random order, with some that nobody uses; NaN wherever no row lies.
void Problem::layOut(std::mt19937& random) {
  const auto& shape = spec_.shape;
  const std::uint64_t row = shape.headDim;
  const std::uint64_t token = row * shape.kvHeads;
  const std::int32_t longest = drawn_.empty() ? 1 : std::max(1, std::ranges::max(drawn_));
  const bool paged = spec_.pageTokens != 0;
  unitTokens_ = paged ? spec_.pageTokens : static_cast<std::uint32_t>(longest) + 5;
  tableEntries_ = (static_cast<std::uint32_t>(longest) + unitTokens_ - 1) / unitTokens_ + 1;
  const std::uint32_t units = (paged ? requests() * tableEntries_ : requests()) + kSpareUnits;
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
  std::vector<std::int32_t> order(units);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::shuffle(order, random);
  if (paged) table_.assign(order.begin(), order.end() - kSpareUnits);
  else slots_.assign(order.begin(), order.end() - kSpareUnits);
  image_.assign(units * unitElements_ * (spec_.order == Order::TokenMajor ? 1 : 2), kNan);
  for (int value = 0; value < 2; ++value) {
    for (std::size_t r = 0; r < requests(); ++r) {
      for (std::int32_t t = 0; t < drawn_[r]; ++t) {
        for (std::uint32_t head = 0; head < shape.kvHeads; ++head) {
          std::copy_n(this->row(value, r, t, head), row, image_.data() + rowAt(value, r, t, head));
        }
      }
    }
  }
  cache_ = std::make_unique<DeviceArray>(image_.size() * 2);
  cache_->put(image_);
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

std::vector<double> Problem::reference(std::size_t request, std::int32_t query,
                                       std::uint32_t head) const {
  const auto& shape = spec_.shape;
  const auto& options = spec_.options;
  const std::int32_t length = spec_.lengths[request];
  const std::int32_t position = length - queriesOf(request) + query;
  const std::int32_t first =
      options.window == 0 ? 0 : std::max(0, position + 1 - static_cast<int>(options.window));
  const auto dim = shape.headDim;
  const auto* const q =
      queries_.data() + (std::size_t(queryStarts_[request] + query) * shape.queryHeads + head) * dim;
  const auto kvHead = head / shape.group();
  std::vector<double> scores;
  for (std::int32_t t = first; t <= position; ++t) {
    const auto* const k = row(false, request, t, kvHead);
    double score = 0;
    for (std::uint32_t d = 0; d < dim; ++d) {
      score += double{toFloat(shape.dtype, q[d])} * toFloat(shape.dtype, k[d]);
    }
    score *= options.scale;
    if (options.softCap > 0) score = options.softCap * std::tanh(score / options.softCap);
    if (options.alibiSlopes != 0) score += alibiSlope(head) * (t - position);
    scores.push_back(score);
  }
  std::vector<double> out(2 * dim);  // the answer, and the same of |V|: the scale of its error
  if (scores.empty()) return out;
  const double highest = std::ranges::max(scores);
  double sum = 0;
  for (auto& score : scores) sum += score = std::exp(score - highest);
  for (std::int32_t t = first; t <= position; ++t) {
    const auto* const v = row(true, request, t, kvHead);
    const double weight = scores[static_cast<std::size_t>(t - first)] / sum;
    for (std::uint32_t d = 0; d < dim; ++d) {
      const double element = toFloat(shape.dtype, v[d]);
      out[d] += weight * element;
      out[dim + d] += weight * std::abs(element);
    }
  }
  return out;
}

// The result is rounded, and so are the weights, unless they are all 1. The bounds are those
// roundings, twice over.
std::string Problem::compare(std::size_t request, std::int32_t query, std::uint32_t head,
                             const std::vector<std::uint16_t>& out) const {
  const auto& shape = spec_.shape;
  const double rounding = shape.dtype == Dtype::Bf16 ? 1.0 / 256 : 1.0 / 2048;
  const double weights = spec_.zeroQueries ? 1e-5 : rounding;
  const auto want = reference(request, query, head);
  const auto first =
      (std::size_t(queryStarts_[request] + query) * shape.queryHeads + head) * shape.headDim;
  for (std::uint32_t d = 0; d < shape.headDim; ++d) {
    const double got = toFloat(shape.dtype, out[first + d]);
    const double bound =
        2 * rounding * std::abs(want[d]) + weights * want[shape.headDim + d] + 1e-6;
    if (std::abs(got - want[d]) <= bound) continue;
    return "request " + std::to_string(request) + " of length " +
           std::to_string(spec_.lengths[request]) + ", query " + std::to_string(query) + ", head " +
           std::to_string(head) + ", dim " + std::to_string(d) + ": " + std::to_string(got) +
           " instead of " + std::to_string(want[d]) + ", bound " + std::to_string(bound);
  }
  return "";
}

// The reference takes far longer than the kernel: all processors share it.
void Problem::checkOut(const std::string& what) const {
  const auto out = outArray_->get<std::uint16_t>();
  toFloat(Dtype::Fp16, 0);
  std::atomic<std::int32_t> next = 0;
  std::mutex mutex;
  std::string failure;
  const auto work = [&] {
    for (std::int32_t i = next++; i < queryCount(); i = next++) {
      const auto after = std::ranges::upper_bound(queryStarts_, i);
      const auto request = static_cast<std::size_t>(after - queryStarts_.begin()) - 1;
      for (std::uint32_t head = 0; head < spec_.shape.queryHeads; ++head) {
        const auto found = compare(request, i - queryStarts_[request], head, out);
        const std::lock_guard lock(mutex);
        if (!found.empty()) failure = found;
      }
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) threads.emplace_back(work);
  threads.clear();
  if (failure.empty()) return;
  throw test::Failure(what + " (" + describe(spec_) + "): " + failure);
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
