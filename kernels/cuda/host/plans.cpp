#include "kernels/cuda/host/plans.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "kernels/cuda/decode_shape.hpp"
#include "kernels/cuda/prefill_shape.hpp"

namespace kvspan::attention {
namespace {

constexpr std::uint64_t kAlignment = 256;
// The driver takes 1 KiB of each block's shared memory.
constexpr std::uint64_t kReservedSharedBytes = 1024;

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// As many blocks as run at once: each then has an equal share of the work.
std::uint32_t blocksOf(const Gpu& gpu, const DecodeLaunch& launch) {
  const auto fit = gpu.facts().sharedBytesPerMultiprocessor /
                   (static_cast<std::uint64_t>(launch.sharedBytes) + kReservedSharedBytes);
  const auto each = std::clamp<std::uint64_t>(
      fit, 1, static_cast<std::uint64_t>(launch.blocksPerMultiprocessor));
  return static_cast<std::uint32_t>(each) * static_cast<std::uint32_t>(gpu.facts().multiprocessors);
}

void checkPrefillCapacity(const PlanCapacity& capacity) {
  const auto require = [](const char* field, std::uint32_t value) {
    if (value >= 1 && value <= 1u << 30) return;
    throw Error::badField(field, std::to_string(value), "1 .. " + std::to_string(1u << 30));
  };
  require("requestsMax", capacity.requestsMax);
  require("queriesMax", capacity.queriesMax);
  require("tokensMax", capacity.tokensMax);
}

// One array for one upload.
class Staging {
 public:
  explicit Staging(std::uint64_t bytes) : bytes_(bytes) {}
  void put(std::uint64_t at, const void* from, std::uint64_t bytes) {
    if (bytes > 0) std::memcpy(bytes_.data() + at, from, bytes);
  }
  const void* data() const { return bytes_.data(); }
  std::uint64_t size() const { return bytes_.size(); }

 private:
  std::vector<char> bytes_;
};

}  // namespace

DecodePlanBuffer::DecodePlanBuffer(std::shared_ptr<Gpu> gpu, const Shape& shape,
                                   const PlanCapacity& capacity)
    : gpu_(std::move(gpu)), shape_(shape) {
  checkShape(shape_);
  planShape_ = {.blocks = 1,
                .kvHeads = shape.kvHeads,
                .group = shape.group(),
                .requestsMax = capacity.requestsMax,
                .tokensMax = capacity.tokensMax,
                .window = capacity.window};
  const auto rows = static_cast<int>(planShape_.rows());
  const auto headDim = static_cast<int>(shape.headDim);
  planShape_.blocks = blocksOf(*gpu_, decodeLaunch(headDim, rows));
  checkDecodePlanShape(planShape_);
  itemsAt_ = aligned((planShape_.blocks + 1) * sizeof(std::int32_t));
  const std::uint64_t itemsMax = planShape_.blocks + planShape_.itemsMax();
  arrays_ = std::make_unique<GpuBuffer>(gpu_, itemsAt_ + itemsMax * sizeof(DecodeItem));
  const auto partBytes = static_cast<std::uint64_t>(decodePartFloats(headDim, rows)) * sizeof(float);
  partials_ = std::make_unique<GpuBuffer>(gpu_, 2 * planShape_.blocks * partBytes);
  const std::vector<char> zeros(arrays_->bytes());
  arrivals_ = std::make_unique<GpuBuffer>(gpu_, planShape_.blocks * sizeof(std::int32_t));
  gpu_->copyIn(arrivals_->address(), zeros.data(), arrivals_->bytes());
  // An empty plan: a launch before the first update finds nothing to do.
  gpu_->copyIn(arrays_->address(), zeros.data(), zeros.size());
}

const DecodePlan& DecodePlanBuffer::update(std::span<const std::int32_t> lengths, Stream stream) {
  plan_ = planDecode(planShape_, lengths);
  const auto [items, starts] = plan_.forDevice();
  Staging staging(itemsAt_ + items.size() * sizeof(DecodeItem));
  staging.put(0, starts.data(), starts.size() * sizeof(std::int32_t));
  staging.put(itemsAt_, items.data(), items.size() * sizeof(DecodeItem));
  gpu_->upload(arrays_->address(), staging.data(), staging.size(), stream);
  return plan_;
}

DecodePlanView DecodePlanBuffer::view() const {
  return {.items = reinterpret_cast<const DecodeItem*>(arrays_->address() + itemsAt_),
          .blockStarts = reinterpret_cast<const std::int32_t*>(arrays_->address()),
          .partials = reinterpret_cast<float*>(partials_->address()),
          .arrivals = reinterpret_cast<std::int32_t*>(arrivals_->address())};
}

PrefillPlanBuffer::PrefillPlanBuffer(std::shared_ptr<Gpu> gpu, const Shape& shape,
                                     const PlanCapacity& capacity)
    : gpu_(std::move(gpu)), shape_(shape), capacity_(capacity) {
  checkShape(shape_);
  checkPrefillCapacity(capacity_);
  tilesMax_ = prefillTilesMax(capacity.queriesMax, capacity.requestsMax,
                              static_cast<std::int32_t>(shape.group()),
                              prefillTileRows(static_cast<int>(shape.headDim)));
  const std::uint64_t ints = 2 + 2 * std::uint64_t{capacity.requestsMax};
  arrays_ = std::make_unique<GpuBuffer>(
      gpu_, aligned(ints * 4) + static_cast<std::uint64_t>(tilesMax_) * sizeof(PrefillTile));
  const std::int32_t none = 0;
  gpu_->copyIn(arrays_->address(), &none, sizeof none);
}

void PrefillPlanBuffer::update(std::span<const std::int32_t> queryStarts,
                               std::span<const std::int32_t> lengths, Stream stream) {
  const auto most = [](const char* field, std::uint64_t given, std::uint64_t allowed) {
    if (given > allowed) {
      throw Error::badField(field, std::to_string(given), "at most " + std::to_string(allowed));
    }
  };
  most("lengths", lengths.size(), capacity_.requestsMax);
  const auto tiles = planPrefill({.lengths = lengths,
                                  .queryStarts = queryStarts,
                                  .group = static_cast<std::int32_t>(shape_.group()),
                                  .tileRows = prefillTileRows(static_cast<int>(shape_.headDim)),
                                  .window = static_cast<std::int32_t>(capacity_.window)});
  most("queryStarts", static_cast<std::uint64_t>(queryStarts.back()), capacity_.queriesMax);
  for (const auto length : lengths) {
    most("lengths", static_cast<std::uint64_t>(length), capacity_.tokensMax);
  }
  const std::uint64_t requests = capacity_.requestsMax;
  const std::uint64_t tilesAt = aligned((2 + 2 * requests) * 4);
  Staging staging(tilesAt + tiles.size() * sizeof(PrefillTile));
  const auto count = static_cast<std::int32_t>(tiles.size());
  staging.put(0, &count, sizeof count);
  staging.put(4, lengths.data(), lengths.size_bytes());
  staging.put(4 + 4 * requests, queryStarts.data(), queryStarts.size_bytes());
  staging.put(tilesAt, tiles.data(), tiles.size() * sizeof(PrefillTile));
  gpu_->upload(arrays_->address(), staging.data(), staging.size(), stream);
}

void PrefillPlanBuffer::fill(PrefillParams& params) const {
  const Address at = arrays_->address();
  const std::uint64_t requests = capacity_.requestsMax;
  params.tileCount = reinterpret_cast<const std::int32_t*>(at);
  params.lengths = reinterpret_cast<const std::int32_t*>(at + 4);
  params.queryStarts = reinterpret_cast<const std::int32_t*>(at + 4 + 4 * requests);
  params.tiles = reinterpret_cast<const PrefillTile*>(at + aligned((2 + 2 * requests) * 4));
}

}  // namespace kvspan::attention
