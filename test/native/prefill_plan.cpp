// The prefill kernels' plan: every row once, longest first, never more than the capacity says.
#include "kernels/cuda/host/prefill_plan.hpp"

#include <cstdint>
#include <map>
#include <random>

#include "harness.hpp"
#include "kernels/cuda/prefill_shape.hpp"

namespace kvspan::test {
namespace {

using namespace kvspan::attention;

struct Drawn {
  std::vector<std::int32_t> lengths;
  std::vector<std::int32_t> queryStarts{0};
  std::int32_t group = 4;
  std::int32_t tileRows = 128;
  std::int32_t window = 0;

  void add(std::int32_t queries, std::int32_t past) {
    lengths.push_back(queries + past);
    queryStarts.push_back(queryStarts.back() + queries);
  }
  std::int32_t queries(std::size_t request) const {
    return queryStarts[request + 1] - queryStarts[request];
  }
  PrefillBatch batch() const { return {lengths, queryStarts, group, tileRows, window}; }
};

// Tokens that the tile's rows see, counted one by one.
std::int64_t tokensSeen(const Drawn& drawn, const PrefillTile& tile) {
  const auto past = drawn.lengths[tile.request] - drawn.queries(tile.request);
  const auto rows = drawn.queries(tile.request) * drawn.group;
  const auto last = std::min(tile.firstRow + drawn.tileRows, rows) - 1;
  std::int64_t seen = 0;
  for (std::int32_t token = 0; token <= past + last / drawn.group; ++token) {
    const auto first = past + tile.firstRow / drawn.group;
    seen += drawn.window == 0 || token > first - drawn.window;
  }
  return seen;
}

void checkPlan(const Drawn& drawn) {
  const auto tiles = planPrefill(drawn.batch());
  std::map<std::pair<std::int32_t, std::int32_t>, int> found;
  std::int64_t before = INT64_MAX;
  for (const auto& tile : tiles) {
    ++found[{tile.request, tile.firstRow}];
    const auto seen = tokensSeen(drawn, tile);
    KV_CHECK(seen <= before);
    before = seen;
  }
  std::size_t expected = 0;
  for (std::size_t request = 0; request < drawn.lengths.size(); ++request) {
    const auto rows = drawn.queries(request) * drawn.group;
    for (std::int32_t first = 0; first < rows; first += drawn.tileRows, ++expected) {
      KV_CHECK_EQ((found[{static_cast<std::int32_t>(request), first}]), 1);
    }
  }
  KV_CHECK_EQ(tiles.size(), expected);
  KV_CHECK(static_cast<std::int64_t>(tiles.size()) <=
        prefillTilesMax(drawn.queryStarts.back(),
                        static_cast<std::int64_t>(drawn.lengths.size()), drawn.group,
                        drawn.tileRows));
}

KV_TEST("prefill plan: every row of every request once, those that see most first") {
  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    Drawn drawn;
    drawn.group = 1 + static_cast<std::int32_t>(random() % 9);
    drawn.tileRows = random() % 2 ? 128 : 64;
    drawn.window = random() % 2 ? 0 : 1 + static_cast<std::int32_t>(random() % 300);
    for (auto requests = random() % 12; requests > 0; --requests) {
      const std::int32_t sizes[] = {0, 1, 16, 31, 32, 33, 64, 128, 129, 500};
      drawn.add(sizes[random() % 10], sizes[random() % 10]);
    }
    checkPlan(drawn);
  }
}

KV_TEST("prefill plan: the capacity is reached by requests that each waste almost a tile") {
  Drawn drawn;
  drawn.group = 1;
  for (int i = 0; i < 7; ++i) drawn.add(129, 0);
  KV_CHECK_EQ(planPrefill(drawn.batch()).size(), 14u);
  KV_CHECK_EQ(prefillTilesMax(7 * 129, 7, 1, 128), 14);
}

std::string fieldAtFault(const Drawn& drawn) {
  try {
    planPrefill(drawn.batch());
  } catch (const Error& error) {
    return error.field();
  }
  return "none";
}

KV_TEST("prefill plan: lengths that no batch can have are refused by name") {
  Drawn drawn;
  drawn.add(5, 3);
  drawn.add(2, 0);
  KV_CHECK_EQ(fieldAtFault(drawn), std::string("none"));
  Drawn shorter = drawn;
  shorter.lengths[1] = 1;
  KV_CHECK_EQ(fieldAtFault(shorter), std::string("lengths[1]"));
  Drawn backwards = drawn;
  backwards.queryStarts[2] = 4;
  KV_CHECK_EQ(fieldAtFault(backwards), std::string("queryStarts[1]"));
  Drawn missing = drawn;
  missing.queryStarts.pop_back();
  KV_CHECK_EQ(fieldAtFault(missing), std::string("queryStarts"));
  Drawn window = drawn;
  window.window = -1;
  KV_CHECK_EQ(fieldAtFault(window), std::string("window"));
}

KV_TEST("prefill plan: as many rows as 32 bits count to the end of the last tile, and no more") {
  const std::int32_t most = (INT32_MAX - 1024) / 1024;
  const auto planned = [&](std::int32_t queries) {
    const std::vector<std::int32_t> lengths{queries}, starts{0, queries};
    return planPrefill({lengths, starts, 1024, 1024, 0}).size();
  };
  KV_CHECK_EQ(planned(most), static_cast<std::size_t>(most));
  KV_CHECK_THROWS(Code::InvalidArgument, planned(most + 1));
}

KV_TEST("prefill launch: Hopper's kernels where they exist, the others elsewhere") {
  KV_CHECK_EQ(std::string(prefillLaunch(128, 10, 8, 9, 132).kernel), std::string("prefill_sm90"));
  KV_CHECK_EQ(prefillLaunch(128, 10, 8, 9, 132).blocks, 80);
  KV_CHECK_EQ(prefillLaunch(128, 1000, 8, 9, 132).blocks, 132);
  KV_CHECK_EQ(std::string(prefillLaunch(256, 10, 8, 9, 132).kernel), std::string("prefill"));
  KV_CHECK_EQ(std::string(prefillLaunch(128, 10, 8, 8, 108).kernel), std::string("prefill"));
  KV_CHECK_EQ(prefillLaunch(128, 10, 8, 10, 148).blocks, 80);
  // What a block of each may have: 163 KiB on sm_80, 227 KiB on Hopper.
  for (const int headDim : {64, 128, 256}) KV_CHECK(prefillSharedBytes(headDim) <= 163 * 1024);
  for (const int headDim : {64, 128}) KV_CHECK(hopperPrefillSharedBytes(headDim) <= 227 * 1024);
}

KV_TEST("prefill launch: a scale that is not above zero needs the kernel with options") {
  KV_CHECK(!prefillReadsOptions({0.1f, 0, 0, nullptr}));
  KV_CHECK(prefillReadsOptions({0.0f, 0, 0, nullptr}));
  KV_CHECK(prefillReadsOptions({-0.1f, 0, 0, nullptr}));
  KV_CHECK(prefillReadsOptions({0.1f, 5, 0, nullptr}));
  KV_CHECK(prefillReadsOptions({0.1f, 0, 9, nullptr}));
}

}  // namespace
}  // namespace kvspan::test
