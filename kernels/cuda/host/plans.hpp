// Plans on the device: buffers whose size the capacity fixes, so that a captured graph reads
// whatever plan was uploaded last.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/cuda/host/arguments.hpp"
#include "kernels/cuda/host/decode_plan.hpp"
#include "kernels/cuda/host/gpu.hpp"
#include "kernels/cuda/host/prefill_plan.hpp"

namespace kvspan::attention {

struct PlanCapacity {
  std::uint32_t requestsMax = 0;
  std::uint32_t tokensMax = 0;   // of a request
  std::uint32_t queriesMax = 0;  // prefill: of all requests together
  std::uint32_t window = 0;      // 0: none
};

class DecodePlanBuffer {
 public:
  DecodePlanBuffer(std::shared_ptr<Gpu> gpu, const Shape& shape, const PlanCapacity& capacity);

  // Plans and uploads, in the stream's order. The plan's arrays are valid until the next update.
  const DecodePlan& update(std::span<const std::int32_t> lengths, Stream stream);

  const Shape& shape() const { return shape_; }
  const DecodePlanShape& planShape() const { return planShape_; }
  DecodePlanView view() const;

 private:
  std::shared_ptr<Gpu> gpu_;
  Shape shape_;
  DecodePlanShape planShape_;
  std::uint64_t itemsAt_;  // bytes from the buffer's beginning, in which the block starts lie
  DecodePlan plan_;
  std::unique_ptr<GpuBuffer> arrays_;
  std::unique_ptr<GpuBuffer> partials_;
  std::unique_ptr<GpuBuffer> arrivals_;
};

class PrefillPlanBuffer {
 public:
  PrefillPlanBuffer(std::shared_ptr<Gpu> gpu, const Shape& shape, const PlanCapacity& capacity);

  // `queryStarts` has an entry more than `lengths`.
  void update(std::span<const std::int32_t> queryStarts, std::span<const std::int32_t> lengths,
              Stream stream);

  const Shape& shape() const { return shape_; }
  const PlanCapacity& capacity() const { return capacity_; }
  std::int64_t tilesMax() const { return tilesMax_; }
  // The plan's own arrays of `params`.
  void fill(PrefillParams& params) const;

 private:
  std::shared_ptr<Gpu> gpu_;
  Shape shape_;
  PlanCapacity capacity_;
  std::int64_t tilesMax_;
  std::unique_ptr<GpuBuffer> arrays_;  // tile count, lengths, query starts, tiles
};

}  // namespace kvspan::attention
