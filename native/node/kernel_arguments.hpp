// The arguments of the attention kernels, from JavaScript.
#pragma once

#include <string>

#include "kernels/cuda/host/batch.hpp"
#include "marshal.hpp"

namespace kvspan::node {

attention::Shape toKernelShape(Napi::Value value, const std::string& path);
attention::AppendArguments toAppend(const Fields& work);
// Of decode and prefill works; the plan is not among them.
attention::AttentionArguments toAttention(const Fields& work);
attention::TimeArguments toTime(Napi::Value value);
// Null is 0.
std::uint64_t toUint64OrNull(const Fields& fields, const char* name);
std::uint32_t toWindow(const Fields& fields);

}  // namespace kvspan::node
