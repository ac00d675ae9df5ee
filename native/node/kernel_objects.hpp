// The plans as JavaScript objects, for the batches that are made with them.
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/host/batch.hpp"
#include "napi.hpp"

namespace kvspan::node {

// The plan of an argument; throws if it is none, or closed.
std::shared_ptr<attention::DecodePlanBuffer> toDecodePlan(Napi::Value value, const std::string& path);
std::shared_ptr<attention::PrefillPlanBuffer> toPrefillPlan(Napi::Value value,
                                                            const std::string& path);

}  // namespace kvspan::node
