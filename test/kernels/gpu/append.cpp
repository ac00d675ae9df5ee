#include "problem.hpp"
#include "test/native/harness.hpp"

namespace kvspan::kerneltest {
namespace {

// The new rows are those that the problem's own requests end with: appended over a cache in which
// they are missing, they must give the problem's cache, bit for bit and with nothing else touched.
struct Appended {
  std::vector<std::uint16_t> before;
  std::vector<std::uint16_t> rows[2];  // [row, head, dim]
};

Appended takeAway(const Problem& problem) {
  const auto& shape = problem.spec().shape;
  Appended result{.before = problem.image(), .rows = {}};
  for (std::size_t r = 0; r < problem.requests(); ++r) {
    const auto length = problem.spec().lengths[r];
    for (std::int32_t t = length - problem.queriesOf(r); t < length; ++t) {
      for (const bool value : {false, true}) {
        for (std::uint32_t head = 0; head < shape.kvHeads; ++head) {
          const auto* const row = problem.row(value, r, t, head);
          auto& rows = result.rows[value];
          rows.insert(rows.end(), row, row + shape.headDim);
          std::fill_n(result.before.data() + problem.rowAt(value, r, t, head), shape.headDim, kNan);
        }
      }
    }
  }
  return result;
}

void runAppend(const Spec& spec) {
  const Problem problem(spec);
  const auto appended = takeAway(problem);
  problem.cache().put(appended.before);
  const auto k = arrayOf(appended.rows[0]);
  const auto v = arrayOf(appended.rows[1]);
  const auto lengths = arrayOf(spec.lengths);
  const auto starts = arrayOf(problem.queryStarts());
  const std::uint64_t rowBytes = spec.shape.rowBytes();
  const bool oneEach = spec.queries.empty();
  attention::KernelBatch batch(rig().library);
  batch.addAppend({.shape = spec.shape,
                   .kv = problem.kv(),
                   .newK = {k.address(), rowBytes * spec.shape.kvHeads, rowBytes},
                   .newV = {v.address(), rowBytes * spec.shape.kvHeads, rowBytes},
                   .requests = problem.requests(),
                   // More than there are: a grid is as large as the capacity.
                   .rowsMax = static_cast<std::uint32_t>(problem.queryCount()) + 3,
                   .lengths = lengths.address(),
                   .rowStarts = oneEach ? 0 : starts.address()});
  batch.launch(rig().stream);
  rig().gpu->synchronize(rig().stream);
  const auto after = problem.cache().get<std::uint16_t>();
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (after[i] == problem.image()[i]) continue;
    throw test::Failure("append (" + describe(spec) + "): element " + std::to_string(i) + " is " +
                        std::to_string(after[i]) + " instead of " +
                        std::to_string(problem.image()[i]));
  }
}

KV_TEST("append: one row a request lands in its place and nowhere else") {
  Spec spec;
  spec.shape.kvHeads = spec.shape.queryHeads = 3;
  spec.lengths = {1, 2, 16, 17, 64, 65, 256, 257, 100};
  for (const auto& one : allLayouts(spec)) runAppend(one);
}

KV_TEST("append: chunks of rows land in their places and nowhere else") {
  Spec spec;
  spec.lengths = {0, 1, 5, 40, 64, 65, 300, 77};
  spec.queries = {0, 1, 5, 17, 64, 1, 130, 0};
  for (const auto& one : allLayouts(spec)) runAppend(one);
}

}  // namespace
}  // namespace kvspan::kerneltest
