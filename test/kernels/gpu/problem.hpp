// A batch of requests with its K and V laid out on the GPU, and the float64 answer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/host/batch.hpp"

namespace kvspan::kerneltest {

using attention::Dtype;

// The GPU and the compiled kernels, opened once a process.
struct Rig {
  std::shared_ptr<attention::Gpu> gpu;
  std::shared_ptr<attention::KernelLibrary> library;
  Stream stream = 0;
  std::string driver;  // path of libcuda; empty: the system's
  bool small = false;  // under a sanitizer, which is slow
};
Rig& rig();

// How rows lie in memory. `Dense`: [slot, token, head, dim], K and V apart. `TokenMajor`:
// [slot, token, layer, K/V, head, dim], of which one layer is used. `HeadMajor`:
// [slot, head, token, dim]. A page is laid out as a slot is.
enum class Order { Dense, TokenMajor, HeadMajor };

struct Spec {
  attention::Shape shape{Dtype::Bf16, 8, 2, 128};
  std::uint32_t pageTokens = 0;  // 0: contiguous
  Order order = Order::Dense;
  std::vector<std::int32_t> lengths;
  // Of each request, how many of its last tokens are queries. Empty: one each, as decode has it.
  std::vector<std::int32_t> queries;
  attention::OptionArguments options{.scale = 0.3};
  bool packed = false;       // contiguous, dense: requests one behind the other, a token is a slot
  bool zeroQueries = false;  // all weights equal: then the answer is a plain mean, and exact
  std::uint32_t seed = 1;
};

std::string describe(const Spec& spec);

float toFloat(Dtype dtype, std::uint16_t bits);
std::uint16_t toBits(Dtype dtype, float value);
// Calls `body` for 0 .. count - 1, on all processors.
void inParallel(std::size_t count, const std::function<void(std::size_t)>& body);
// Of query head `head`, in every test that has slopes (`slopeArray`).
double alibiSlope(std::uint32_t head);
inline constexpr std::uint16_t kNan = 0xffff;  // in both types

class DeviceArray {
 public:
  explicit DeviceArray(std::uint64_t bytes);
  Address address() const { return buffer_->address(); }
  template <typename T>
  void put(const std::vector<T>& values) const {
    rig().gpu->copyIn(address(), values.data(), values.size() * sizeof(T));
  }
  template <typename T>
  std::vector<T> get() const {
    std::vector<T> values(buffer_->bytes() / sizeof(T));
    rig().gpu->copyOut(values.data(), address(), values.size() * sizeof(T));
    return values;
  }

 private:
  std::unique_ptr<attention::GpuBuffer> buffer_;
};

template <typename T>
DeviceArray arrayOf(const std::vector<T>& values) {
  DeviceArray array(std::max<std::size_t>(1, values.size()) * sizeof(T));
  array.put(values);
  return array;
}

// The slopes of that many heads, on the device.
DeviceArray slopeArray(std::uint32_t heads);

class Problem {
 public:
  explicit Problem(const Spec& spec);

  const Spec& spec() const { return spec_; }
  std::uint32_t requests() const { return static_cast<std::uint32_t>(spec_.lengths.size()); }
  std::int32_t queriesOf(std::size_t request) const;
  std::int32_t queryCount() const { return queryStarts_.back(); }
  const std::vector<std::int32_t>& queryStarts() const { return queryStarts_; }

  attention::KvArguments kv() const { return kv_; }
  attention::AttentionArguments attention() const;
  attention::PlanCapacity capacity() const;

  // Where element 0 of a row lies in the image, in elements from its beginning.
  std::uint64_t rowAt(bool value, std::size_t request, std::int32_t token, std::uint32_t head) const;
  const std::vector<std::uint16_t>& image() const { return image_; }
  const DeviceArray& cache() const { return *cache_; }
  // K (or V) of a token's head as it was drawn, whether or not the image has it.
  const std::uint16_t* row(bool value, std::size_t request, std::int32_t token,
                           std::uint32_t head) const;

  void poisonOut() const;
  // Compares with the float64 reference; throws test::Failure with the first difference.
  void checkOut(const std::string& what) const;
  // Other lengths of the same requests, none longer than before; K and V stay.
  void shorten(const std::vector<std::int32_t>& lengths) {
    spec_.lengths = lengths;
    want_.clear();
  }

 private:
  void drawRows(std::mt19937& random);
  std::uint32_t placeUnits(std::mt19937& random);
  void layOut(std::mt19937& random);
  void fillImage(bool value, std::size_t request);
  void placeTensors();
  void placeQueries(std::mt19937& random);
  // Why one result is wrong; empty if it is right.
  std::string compare(std::size_t request, std::int32_t query, std::uint32_t head,
                      const std::vector<std::uint16_t>& out) const;
  struct ReferenceWork;
  std::vector<ReferenceWork> referenceWorks() const;
  void refer(const ReferenceWork& work, std::vector<double>& want) const;
  const std::vector<double>& wanted() const;
  // Where element 0 of a query's head lies in the queries and in the result.
  std::size_t elementOf(std::size_t request, std::int32_t query, std::uint32_t head) const;

  Spec spec_;
  std::vector<std::int32_t> drawn_;  // lengths as they were at first
  std::vector<std::int32_t> queryStarts_;
  std::vector<std::vector<std::uint16_t>> rows_[2];  // [K/V][request]: [token, head, dim]
  std::vector<std::uint16_t> queries_;               // [query, head, dim]
  std::vector<std::int32_t> slots_;
  std::vector<std::int32_t> table_;
  std::uint32_t tableEntries_ = 0;
  std::uint32_t unitTokens_ = 0;  // of a slot or page
  std::uint64_t unitElements_ = 0;
  std::uint64_t base_[2] = {};
  std::uint64_t tokenStride_ = 0;
  std::uint64_t headStride_ = 0;
  std::vector<std::uint16_t> image_;
  mutable std::vector<double> want_;  // for the present lengths; empty: not computed yet
  std::unique_ptr<DeviceArray> cache_, slotArray_, tableArray_, queryArray_, outArray_;
  attention::KvArguments kv_;
};

// Runs what the name says once and compares.
void runDecode(const Spec& spec);
void runPrefill(const Spec& spec);

// Lengths that end on, before and after the edges of tiles and pages.
std::vector<std::int32_t> edgeLengths();
// The spec for each dtype, head dimension and layout.
std::vector<Spec> allLayouts(const Spec& spec);

}  // namespace kvspan::kerneltest
