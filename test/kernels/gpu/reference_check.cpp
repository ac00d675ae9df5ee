// The reference against the formula as it is written down, one number after the other.
#include "reference.hpp"

#include <cmath>

#include "test/native/harness.hpp"

namespace kvspan::kerneltest {
namespace {

constexpr std::int32_t kTokens = 77;
constexpr std::size_t kStride = 192;  // of rows of 64

struct Drawn {
  std::vector<std::uint16_t> k, v, query;
};

Drawn drawn(Dtype dtype, std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto numbers = [&](std::size_t count) {
    std::vector<std::uint16_t> all(count);
    for (auto& one : all) one = toBits(dtype, static_cast<float>(random() % 4001) / 1000.0f - 2.0f);
    return all;
  };
  return {numbers(kTokens * kStride), numbers(kTokens * kStride), numbers(64)};
}

// softmax(scores) V of the tokens that are seen, dim by dim.
double plainly(const Spec& spec, const Drawn& from, std::int32_t position, double slope,
               std::size_t dim, bool magnitude) {
  const auto& o = spec.options;
  const auto number = [&](std::uint16_t bits) { return double{toFloat(spec.shape.dtype, bits)}; };
  double sum = 0, total = 0;
  for (std::int32_t t = 0; t <= position; ++t) {
    if (o.window != 0 && position - t >= static_cast<std::int32_t>(o.window)) continue;
    double score = 0;
    for (std::size_t d = 0; d < 64; ++d) {
      score += number(from.query[d]) * number(from.k[static_cast<std::size_t>(t) * kStride + d]);
    }
    score *= o.scale;
    if (o.softCap > 0) score = o.softCap * std::tanh(score / o.softCap);
    const double weight = std::exp(score - slope * (position - t));
    const double value = number(from.v[static_cast<std::size_t>(t) * kStride + dim]);
    sum += weight * (magnitude ? std::abs(value) : value);
    total += weight;
  }
  return total == 0 ? 0 : sum / total;
}

void checkReference(Dtype dtype, const attention::OptionArguments& options, double slope) {
  Spec spec;
  spec.shape = {dtype, 1, 1, 64};
  spec.options = options;
  const auto from = drawn(dtype, 5);
  Reference reference(spec, from.k.data(), from.v.data(), kTokens, kStride);
  for (const std::int32_t position : {-1, 0, 1, 40, kTokens - 1}) {
    std::vector<double> out(64), magnitude(64);
    reference.attend({from.query.data(), position, slope, out.data(), magnitude.data()});
    for (std::size_t d = 0; d < 64; ++d) {
      KV_CHECK(std::abs(out[d] - plainly(spec, from, position, slope, d, false)) < 1e-12);
      KV_CHECK(std::abs(magnitude[d] - plainly(spec, from, position, slope, d, true)) < 1e-12);
    }
  }
}

KV_TEST("reference: it is the formula, with each option and with all") {
  for (const auto dtype : {Dtype::Bf16, Dtype::Fp16}) {
    checkReference(dtype, {.scale = 0.3}, 0);
    checkReference(dtype, {.scale = -0.2, .softCap = 2.5}, 0);
    checkReference(dtype, {.scale = 0.3, .window = 1}, 0);
    checkReference(dtype, {.scale = 0.3, .window = 33}, 0.25);
    checkReference(dtype, {.scale = 0.2, .softCap = 30, .window = 70}, 0.0625);
  }
}

}  // namespace
}  // namespace kvspan::kerneltest
