// The answer in float64, for some rows of one KV head of one request. GPU time is dear, and this is
// most of what the tests do: so K and V are converted once for all rows, and the loops are such that a
// compiler makes vectors of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "problem.hpp"

namespace kvspan::kerneltest {

// One query of one query head.
struct ReferenceRow {
  const std::uint16_t* query = nullptr;
  std::int32_t position = 0;  // it sees the tokens up to this one
  double slope = 0;
  double* out = nullptr;        // [headDim], zero before: the answer
  double* magnitude = nullptr;  // [headDim], zero before: the same of |V|, the scale of its error
};

class Reference {
 public:
  // `k` and `v`: the first `tokens` rows of the head, `rowStride` elements apart.
  Reference(const Spec& spec, const std::uint16_t* k, const std::uint16_t* v, std::int32_t tokens,
            std::size_t rowStride);
  void attend(const ReferenceRow& row);

 private:
  void score(const ReferenceRow& row, std::int32_t first);
  void weigh(const ReferenceRow& row, std::int32_t first) const;

  const Spec& spec_;
  const std::size_t dim_;
  std::vector<double> k_;
  std::vector<double> v_;
  std::vector<double> query_;
  std::vector<double> weights_;
};

}  // namespace kvspan::kerneltest
