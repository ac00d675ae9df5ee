// What a captured graph and repeated launches rely on.
#include "problem.hpp"
#include "test/native/harness.hpp"

namespace kvspan::kerneltest {
namespace {

std::vector<std::int32_t> shorter(const std::vector<std::int32_t>& lengths, int by) {
  std::vector<std::int32_t> less;
  for (const auto length : lengths) less.push_back(std::max(0, length - by * (length / 7 + 1)));
  return less;
}

KV_TEST("graph: a captured decode replays with the lengths of the latest plan") {
  Spec spec;
  spec.lengths = {5000, 0, 100, 1, 2000, 64};
  for (const std::uint32_t page : {0, 16}) {
    spec.pageTokens = page;
    Problem problem(spec);
    const auto plan =
        std::make_shared<attention::DecodePlanBuffer>(rig().gpu, spec.shape, problem.capacity());
    attention::KernelBatch batch(rig().library);
    batch.addDecode(problem.attention(), plan);
    batch.capture();
    for (int by = 0; by < 6; ++by) {
      problem.shorten(shorter(spec.lengths, by));
      problem.poisonOut();
      plan->update(problem.spec().lengths, rig().stream);
      batch.launch(rig().stream);
      rig().gpu->synchronize(rig().stream);
      problem.checkOut("replay " + std::to_string(by));
    }
  }
}

KV_TEST("graph: a captured prefill replays with the chunks of the latest plan") {
  Spec spec;
  spec.lengths = {600, 300, 64};
  spec.queries = {200, 300, 1};
  Problem problem(spec);
  const auto plan =
      std::make_shared<attention::PrefillPlanBuffer>(rig().gpu, spec.shape, problem.capacity());
  attention::KernelBatch batch(rig().library);
  batch.addPrefill(problem.attention(), plan);
  batch.capture();
  for (const auto& lengths : {spec.lengths, {500, 300, 30}, {200, 300, 1}}) {
    problem.shorten(lengths);
    problem.poisonOut();
    plan->update(problem.queryStarts(), lengths, rig().stream);
    batch.launch(rig().stream);
    rig().gpu->synchronize(rig().stream);
    problem.checkOut("replay");
  }
}

KV_TEST("graph: a plan that was never updated has nothing to do") {
  Spec spec;
  spec.lengths = {100};
  const Problem problem(spec);
  attention::KernelBatch batch(rig().library);
  batch.addDecode(problem.attention(), std::make_shared<attention::DecodePlanBuffer>(
                                           rig().gpu, spec.shape, problem.capacity()));
  batch.addPrefill(problem.attention(), std::make_shared<attention::PrefillPlanBuffer>(
                                            rig().gpu, spec.shape, problem.capacity()));
  batch.launch(rig().stream);
  rig().gpu->synchronize(rig().stream);
}

KV_TEST("graph: many decodes in a row, each leaving its counters as it found them") {
  Spec spec;
  spec.lengths = {3000, 1000, 10};
  const Problem problem(spec);
  const auto plan =
      std::make_shared<attention::DecodePlanBuffer>(rig().gpu, spec.shape, problem.capacity());
  plan->update(spec.lengths, rig().stream);
  attention::KernelBatch batch(rig().library);
  for (int i = 0; i < 50; ++i) batch.addDecode(problem.attention(), plan);
  batch.launch(rig().stream);
  problem.poisonOut();
  batch.launch(rig().stream);
  rig().gpu->synchronize(rig().stream);
  problem.checkOut("after 100 launches");
}

KV_TEST("time: as many runs as asked for, each of them longer than nothing") {
  const DeviceArray buffer(64 << 20);
  attention::KernelBatch batch(rig().library);
  batch.addFill(buffer.address(), 64 << 20, 1);
  batch.addRead(buffer.address(), 64 << 20);
  const auto times = batch.time({.stream = rig().stream, .warmups = 1, .runs = 5});
  KV_CHECK_EQ(times.size(), 5u);
  for (const auto us : times) KV_CHECK(us > 1.0);
}

}  // namespace
}  // namespace kvspan::kerneltest
