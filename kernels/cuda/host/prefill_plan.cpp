#include "prefill_plan.hpp"

#include <algorithm>
#include <string>

#include "base/error.hpp"

namespace kvspan::attention {
namespace {

struct Weighed {
  PrefillTile tile;
  std::int32_t tokens;
};

void checkShape(const PrefillBatch& batch) {
  if (batch.queryStarts.size() != batch.lengths.size() + 1) {
    throw Error::badField("queryStarts", std::to_string(batch.queryStarts.size()) + " entries",
                          std::to_string(batch.lengths.size() + 1) + ", one more than lengths");
  }
  if (batch.group < 1) {
    throw Error::badField("group", std::to_string(batch.group), "1 or more");
  }
  if (batch.tileRows < 1) {
    throw Error::badField("tileRows", std::to_string(batch.tileRows), "1 or more");
  }
  if (batch.window < 0) {
    throw Error::badField("window", std::to_string(batch.window), "0 or more");
  }
  if (batch.queryStarts.front() != 0) {
    throw Error::badField("queryStarts[0]", std::to_string(batch.queryStarts.front()), "0");
  }
}

// The queries of a request, checked.
std::int32_t queriesOf(const PrefillBatch& batch, std::size_t request) {
  const std::int64_t queries = static_cast<std::int64_t>(batch.queryStarts[request + 1]) -
                               batch.queryStarts[request];
  const std::string at = "[" + std::to_string(request) + "]";
  // Rows are counted in 32 bits, those of a last tile that has none too.
  const std::int64_t most = (INT32_MAX - batch.tileRows) / batch.group;
  if (queries < 0 || queries > most) {
    throw Error::badField("queryStarts" + at, std::to_string(queries) + " queries",
                          "0 .. " + std::to_string(most));
  }
  if (batch.lengths[request] < queries) {
    throw Error::badField("lengths" + at, std::to_string(batch.lengths[request]),
                          "at least its queries, " + std::to_string(queries));
  }
  return static_cast<std::int32_t>(queries);
}

// Tokens from the first that the tile's first row sees to the last that its last row sees.
std::int32_t tokensSeen(const PrefillBatch& batch, std::int32_t past, std::int32_t firstRow,
                        std::int32_t lastRow) {
  const std::int32_t end = past + lastRow / batch.group + 1;
  if (batch.window == 0) return end;
  return end - std::max(0, past + firstRow / batch.group - batch.window + 1);
}

}  // namespace

std::int64_t prefillTilesMax(std::int64_t queries, std::int64_t requests, std::int32_t group,
                             std::int32_t tileRows) {
  // Each request wastes less than a tile, and one with a query has at least a tile.
  return queries * group / tileRows + std::min(queries, requests);
}

std::vector<PrefillTile> planPrefill(const PrefillBatch& batch) {
  checkShape(batch);
  std::vector<Weighed> weighed;
  for (std::size_t request = 0; request < batch.lengths.size(); ++request) {
    const std::int32_t queries = queriesOf(batch, request);
    const std::int32_t rows = queries * batch.group;
    const std::int32_t past = batch.lengths[request] - queries;
    for (std::int64_t first = 0; first < rows; first += batch.tileRows) {
      const auto firstRow = static_cast<std::int32_t>(first);
      const auto lastRow = static_cast<std::int32_t>(
          std::min<std::int64_t>(first + batch.tileRows, rows) - 1);
      weighed.push_back({{static_cast<std::int32_t>(request), firstRow},
                         tokensSeen(batch, past, firstRow, lastRow)});
    }
  }
  std::stable_sort(weighed.begin(), weighed.end(),
                   [](const Weighed& a, const Weighed& b) { return a.tokens > b.tokens; });
  std::vector<PrefillTile> tiles(weighed.size());
  std::transform(weighed.begin(), weighed.end(), tiles.begin(),
                 [](const Weighed& w) { return w.tile; });
  return tiles;
}

}  // namespace kvspan::attention
