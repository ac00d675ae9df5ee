#include "kernel_arguments.hpp"

namespace kvspan::node {
namespace {

attention::TensorArguments toTensor(Napi::Value value, const std::string& path, bool paged) {
  const Fields fields(value, path);
  attention::TensorArguments tensor;
  tensor.address = fields.uint64("address");
  if (paged) tensor.pageStrideBytes = fields.uint64("pageStrideBytes");
  else tensor.slotStrideBytes = fields.uint64("slotStrideBytes");
  tensor.tokenStrideBytes = fields.uint64("tokenStrideBytes");
  tensor.headStrideBytes = fields.uint64("headStrideBytes");
  return tensor;
}

attention::KvArguments toKv(Napi::Value value, const std::string& path) {
  const Fields fields(value, path);
  const bool paged =
      toWord(fields.at("kind"), fields.path("kind"), {"contiguous", "paged"}) == "paged";
  attention::KvArguments kv;
  kv.k = toTensor(fields.at("k"), fields.path("k"), paged);
  kv.v = toTensor(fields.at("v"), fields.path("v"), paged);
  if (!paged) {
    kv.slots = fields.uint64("slots");
    return kv;
  }
  kv.pageTokens = fields.uint32("pageTokens", 1);
  kv.blockTable = fields.uint64("blockTable");
  kv.blockTableEntries = fields.uint32("blockTableEntries", 1, kInt32Max);
  return kv;
}

attention::RowArguments toRows(Napi::Value value, const std::string& path) {
  const Fields fields(value, path);
  return {.address = fields.uint64("address"),
          .rowStrideBytes = fields.uint64("rowStrideBytes"),
          .headStrideBytes = fields.uint64("headStrideBytes")};
}

attention::OptionArguments toOptions(Napi::Value value, const std::string& path) {
  const Fields fields(value, path);
  attention::OptionArguments options;
  options.scale = toFinite(fields.at("scale"), fields.path("scale"));
  if (!fields.at("softCap").IsNull()) {
    options.softCap = toFinite(fields.at("softCap"), fields.path("softCap"));
    if (options.softCap <= 0) {
      throw Error::badField(fields.path("softCap"), show(fields.at("softCap")), "above 0, or null");
    }
  }
  options.window = toWindow(fields);
  options.alibiSlopes = toUint64OrNull(fields, "alibiSlopes");
  return options;
}

attention::PrefillVariant toVariant(const Fields& work) {
  const auto word =
      toWord(work.at("variant"), work.path("variant"), {"fastest", "portable", "hopper"});
  return word == "fastest"    ? attention::PrefillVariant::Fastest
         : word == "portable" ? attention::PrefillVariant::Portable
                              : attention::PrefillVariant::Hopper;
}

}  // namespace

std::uint64_t toUint64OrNull(const Fields& fields, const char* name) {
  if (fields.at(name).IsNull()) return 0;
  return toUint64(fields.at(name), fields.path(name), 1);
}

std::uint32_t toWindow(const Fields& fields) {
  if (fields.at("window").IsNull()) return 0;
  return fields.uint32("window", 1, kInt32Max);
}

attention::Shape toKernelShape(Napi::Value value, const std::string& path) {
  const Fields fields(value, path);
  attention::Shape shape;
  const auto dtype = toWord(fields.at("dtype"), fields.path("dtype"), {"bf16", "fp16"});
  shape.dtype = dtype == "bf16" ? attention::Dtype::Bf16 : attention::Dtype::Fp16;
  shape.queryHeads = fields.uint32("queryHeads");
  shape.kvHeads = fields.uint32("kvHeads");
  shape.headDim = fields.uint32("headDim");
  attention::checkShape(shape);
  return shape;
}

attention::AppendArguments toAppend(const Fields& work) {
  attention::AppendArguments append;
  append.shape = toKernelShape(work.at("shape"), work.path("shape"));
  append.kv = toKv(work.at("kv"), work.path("kv"));
  append.newK = toRows(work.at("newK"), work.path("newK"));
  append.newV = toRows(work.at("newV"), work.path("newV"));
  append.requests = work.uint32("requests", 1, kInt32Max);
  append.rowsMax = work.uint32("rowsMax", 1, kInt32Max);
  append.lengths = work.uint64("lengths");
  append.rowStarts = toUint64OrNull(work, "rowStarts");
  return append;
}

attention::AttentionArguments toAttention(const Fields& work) {
  attention::AttentionArguments arguments;
  arguments.kv = toKv(work.at("kv"), work.path("kv"));
  arguments.queries = toRows(work.at("queries"), work.path("queries"));
  arguments.out = toRows(work.at("out"), work.path("out"));
  arguments.options = toOptions(work.at("options"), work.path("options"));
  if (!work.at("variant").IsUndefined()) arguments.variant = toVariant(work);
  return arguments;
}

attention::TimeArguments toTime(Napi::Value value) {
  constexpr std::uint32_t kRunsMax = 100'000;
  const Fields fields(value, "options");
  attention::TimeArguments time;
  time.stream = fields.uint64("stream");
  time.warmups = fields.uint32("warmups", 0, kRunsMax);
  time.runs = fields.uint32("runs", 1, kRunsMax);
  if (fields.at("flush").IsNull()) return time;
  const Fields flush(fields.at("flush"), fields.path("flush"));
  time.flush = toUint64(flush.at("address"), flush.path("address"), 1);
  time.flushBytes = toUint64(flush.at("bytes"), flush.path("bytes"), 16);
  return time;
}

}  // namespace kvspan::node
