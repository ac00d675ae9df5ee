#include "reference.hpp"

#include <cmath>

namespace kvspan::kerneltest {
namespace {

std::vector<double> converted(Dtype dtype, const std::uint16_t* from, std::size_t rows,
                              std::size_t dim, std::size_t rowStride) {
  std::vector<double> all(rows * dim);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t d = 0; d < dim; ++d) {
      all[row * dim + d] = double{toFloat(dtype, from[row * rowStride + d])};
    }
  }
  return all;
}

// Head dimensions are multiples of 64: eight sums at a time, which do not wait for each other.
double dot(const double* a, const double* b, std::size_t dim) {
  double sums[8] = {};
  for (std::size_t d = 0; d < dim; d += 8) {
    for (std::size_t i = 0; i < 8; ++i) sums[i] += a[d + i] * b[d + i];
  }
  double sum = 0;
  for (const auto one : sums) sum += one;
  return sum;
}

}  // namespace

Reference::Reference(const Spec& spec, const std::uint16_t* k, const std::uint16_t* v,
                     std::int32_t tokens, std::size_t rowStride)
    : spec_(spec), dim_(spec.shape.headDim) {
  const auto rows = static_cast<std::size_t>(tokens);
  k_ = converted(spec.shape.dtype, k, rows, dim_, rowStride);
  v_ = converted(spec.shape.dtype, v, rows, dim_, rowStride);
}

void Reference::attend(const ReferenceRow& row) {
  const auto window = static_cast<std::int32_t>(spec_.options.window);
  const std::int32_t first = window == 0 ? 0 : std::max(0, row.position + 1 - window);
  if (row.position < first) return;
  query_ = converted(spec_.shape.dtype, row.query, 1, dim_, dim_);
  score(row, first);
  weigh(row, first);
}

// Leaves the weights of the tokens from `first` on, which add up to 1.
void Reference::score(const ReferenceRow& row, std::int32_t first) {
  const auto& options = spec_.options;
  weights_.clear();
  for (std::int32_t t = first; t <= row.position; ++t) {
    double score = options.scale * dot(query_.data(), &k_[static_cast<std::size_t>(t) * dim_], dim_);
    if (options.softCap > 0) score = options.softCap * std::tanh(score / options.softCap);
    weights_.push_back(score + row.slope * (t - row.position));
  }
  const double highest = std::ranges::max(weights_);
  double sum = 0;
  for (auto& weight : weights_) sum += weight = std::exp(weight - highest);
  for (auto& weight : weights_) weight /= sum;
}

void Reference::weigh(const ReferenceRow& row, std::int32_t first) const {
  double* const __restrict out = row.out;
  double* const __restrict magnitude = row.magnitude;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const double weight = weights_[i];
    const double* const v = &v_[(static_cast<std::size_t>(first) + i) * dim_];
    for (std::size_t d = 0; d < dim_; ++d) {
      const double product = weight * v[d];
      out[d] += product;
      magnitude[d] += std::abs(product);
    }
  }
}

}  // namespace kvspan::kerneltest
