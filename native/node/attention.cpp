// Attention by the dense CPU kernel: over a slot's mapped memory, or over rows in a buffer. The
// computing is done on a pool; what must be read of JavaScript is copied before.
#include "kernels/cpu/attention.hpp"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "cache.hpp"
#include "classes.hpp"
#include "marshal.hpp"
#include "promise.hpp"

namespace kvspan::node {
namespace {

constexpr unsigned kPoolThreadsMax = 8;

// Never destroyed: its threads may be computing when the process exits.
Strand& pool() {
  static auto* const all =
      new Strand(std::clamp(std::thread::hardware_concurrency(), 1u, kPoolThreadsMax));
  return *all;
}

// The problem without its data, and the queries, which it points to.
struct Problem {
  kernels::Attention attention;
  std::uint32_t kOffset = 0;
  std::uint32_t vOffset = 0;
  std::vector<float> queries;
};

std::uint64_t headBytes(const kernels::Attention& attention) {
  return attention.headDim * kernels::elementBytes(attention.element);
}

std::vector<float> toQueries(const Fields& fields, std::uint64_t width) {
  const auto given = toFloat32Array(fields.at("queries"), fields.path("queries"));
  if (given.ElementLength() == 0 || given.ElementLength() % width != 0) {
    throw Error::badField(fields.path("queries"),
                          std::to_string(given.ElementLength()) + " elements",
                          "a multiple of queryHeads x headDim = " + std::to_string(width));
  }
  return {given.Data(), given.Data() + given.ElementLength()};
}

std::uint32_t toOffset(const Fields& fields, const char* name, const kernels::Attention& attention) {
  const std::uint32_t offset = fields.uint32(name);
  if (offset % kernels::elementBytes(attention.element) != 0) {
    throw Error::badField(fields.path(name), std::to_string(offset),
                          "a whole number of elements of " +
                              std::to_string(kernels::elementBytes(attention.element)) + " bytes");
  }
  return offset;
}

std::unique_ptr<Problem> toProblem(const Fields& fields) {
  auto problem = std::make_unique<Problem>();
  auto& attention = problem->attention;
  const auto dtype = toWord(fields.at("dtype"), fields.path("dtype"), {"bf16", "fp32"});
  attention.element = dtype == "bf16" ? kernels::Element::Bf16 : kernels::Element::Fp32;
  attention.queryHeads = fields.uint32("queryHeads", 1, kernels::kQueryHeadsMax);
  attention.kvHeads = fields.uint32("kvHeads", 1, kernels::kQueryHeadsMax);
  attention.headDim = fields.uint32("headDim", 1, kernels::kHeadDimMax);
  problem->kOffset = toOffset(fields, "kOffset", attention);
  problem->vOffset = toOffset(fields, "vOffset", attention);
  attention.scale = static_cast<float>(toFinite(fields.at("scale"), fields.path("scale")));
  const std::uint64_t width = std::uint64_t{attention.queryHeads} * attention.headDim;
  problem->queries = toQueries(fields, width);
  attention.queries = problem->queries.data();
  attention.queryCount = static_cast<std::uint32_t>(problem->queries.size() / width);
  return problem;
}

kernels::Strided strided(const kernels::Attention& attention, std::uint64_t rowBytes) {
  return {nullptr, rowBytes, headBytes(attention)};
}

void checkRow(const Fields& fields, const char* name, std::uint32_t offset,
              const kernels::Attention& attention, std::uint64_t rowBytes) {
  const std::uint64_t used = attention.kvHeads * headBytes(attention);
  if (offset + used > rowBytes) {
    throw Error::badField(fields.path(name), std::to_string(offset),
                          "at most " + std::to_string(rowBytes) + " (the row) - " +
                              std::to_string(used) + " (kvHeads x headDim elements)");
  }
}

std::uint32_t toLane(const Fields& fields, const char* name, const CachePlan& plan) {
  return fields.uint32(name, 0, plan.laneCount - 1);
}

std::vector<float> compute(Problem& problem) {
  std::vector<float> out(problem.queries.size());
  problem.attention.out = out.data();
  kernels::attend(problem.attention);
  return out;
}

Napi::Value fromFloats(Napi::Env env, const std::vector<float>& floats) {
  auto array = Napi::Float32Array::New(env, floats.size());
  std::copy(floats.begin(), floats.end(), array.Data());
  return array;
}

// The slot is being read as long as this lives.
class Reading {
 public:
  Reading(std::shared_ptr<CacheCore> core, std::uint32_t slot)
      : core_(std::move(core)), life_(core_->readers.begin(slot)) {}
  ~Reading() { core_->readers.end(life_); }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

 private:
  std::shared_ptr<CacheCore> core_;
  std::shared_ptr<Readers::Life> life_;
};

void checkHost(const CacheCore& core) {
  const auto backend = core.session->device->info().backend;
  if (backend != "host") {
    throw Error(Code::DeviceUnavailable,
                "attend runs on the CPU and cannot read the memory of the " + backend + " backend");
  }
}

}  // namespace

Napi::Value attendSlot(Napi::Env env, const std::shared_ptr<CacheCore>& core, Napi::Value slotValue,
                       Napi::Value request) {
  const auto slot = toUint32(slotValue, "slot");
  const Fields fields(request, "request");
  const CachePlan& plan = core->cache->plan();
  std::shared_ptr<Problem> problem = toProblem(fields);
  const auto kLane = toLane(fields, "kLane", plan);
  const auto vLane = toLane(fields, "vLane", plan);

  Cache& cache = core->open();
  checkHost(*core);
  auto& attention = problem->attention;
  attention.length = cache.length(slot);
  checkRow(fields, "kOffset", problem->kOffset, attention, plan.rowBytes);
  checkRow(fields, "vOffset", problem->vOffset, attention, plan.rowBytes);
  attention.k = attention.v = strided(attention, plan.rowBytes);
  const auto at = [&](std::uint32_t lane, std::uint32_t offset) {
    return reinterpret_cast<const void*>(cache.base() + lane * plan.laneStrideBytes +
                                         slot * plan.slotStrideBytes + offset);
  };
  attention.k.data = at(kLane, problem->kOffset);
  attention.v.data = at(vLane, problem->vOffset);
  kernels::checkAttention(attention);

  return promised(
      env, core->session->dispatcher, pool(),
      [problem, reading = std::make_shared<Reading>(core, slot)]() mutable {
        const auto done = std::move(reading);
        return compute(*problem);
      },
      fromFloats);
}

Napi::Value attendBuffer(const Napi::CallbackInfo& info) {
  return refusable(info.Env(), [&]() -> Napi::Value {
    const Fields fields(info[1], "request");
    std::shared_ptr<Problem> problem = toProblem(fields);
    auto& attention = problem->attention;
    attention.length = fields.uint32("length", 1);
    const auto rowBytes = fields.uint32("rowBytes", 1);
    attention.k = attention.v = strided(attention, rowBytes);
    // Read last: nothing of JavaScript runs between this and the copy.
    const auto data = toUint8Array(info[0], "data");
    // Copied, since the buffer may be detached or changed while the kernel reads.
    auto rows = std::make_shared<std::vector<std::uint8_t>>(data.Data(),
                                                            data.Data() + data.ByteLength());
    attention.k.data = rows->data() + std::min<std::size_t>(problem->kOffset, rows->size());
    attention.v.data = rows->data() + std::min<std::size_t>(problem->vOffset, rows->size());
    kernels::checkAttention(attention);
    const auto checkEnd = [&](const char* name, std::uint32_t offset, const kernels::Strided& tensor) {
      const std::uint64_t reach = kernels::reachBytes(attention, tensor);
      if (reach > rows->size() || offset > rows->size() - reach) {
        throw Error::badField("data", std::to_string(rows->size()) + " bytes",
                              "at least request." + std::string(name) + " + " +
                                  std::to_string(reach) + " bytes");
      }
    };
    checkEnd("kOffset", problem->kOffset, attention.k);
    checkEnd("vOffset", problem->vOffset, attention.v);
    return promised(
        info.Env(), classesOf(info.Env()).dispatcher, pool(),
        [problem, rows] { return compute(*problem); }, fromFloats);
  });
}

}  // namespace kvspan::node
