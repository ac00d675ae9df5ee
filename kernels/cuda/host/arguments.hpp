// What callers give, in bytes and device addresses; checked here, before anything is launched, and
// turned into what the kernels take. Every refusal is an Error(InvalidArgument) that names the field.
#pragma once

#include <cstdint>
#include <string>

#include "device/device.hpp"
#include "kernels/cuda/params.hpp"

namespace kvspan::attention {

enum class Dtype { Bf16, Fp16 };

struct Shape {
  Dtype dtype = Dtype::Bf16;
  std::uint32_t queryHeads = 0;
  std::uint32_t kvHeads = 0;
  std::uint32_t headDim = 0;

  bool operator==(const Shape&) const = default;
  std::uint32_t group() const { return queryHeads / kvHeads; }
  std::uint32_t rowBytes() const { return headDim * 2; }
  // "bf16_d128": of the names of files and kernels.
  std::string suffix() const;
};

struct TensorArguments {
  Address address = 0;
  std::uint64_t slotStrideBytes = 0;  // contiguous
  std::uint64_t pageStrideBytes = 0;  // paged
  std::uint64_t tokenStrideBytes = 0;
  std::uint64_t headStrideBytes = 0;
};

struct KvArguments {
  std::uint32_t pageTokens = 0;  // 0: contiguous
  TensorArguments k;
  TensorArguments v;
  Address slots = 0;
  Address blockTable = 0;
  std::uint32_t blockTableEntries = 0;
};

struct RowArguments {
  Address address = 0;
  std::uint64_t rowStrideBytes = 0;
  std::uint64_t headStrideBytes = 0;
};

struct OptionArguments {
  double scale = 1.0;
  double softCap = 0.0;      // 0: none
  std::uint32_t window = 0;  // 0: none
  Address alibiSlopes = 0;   // 0: none
};

void checkShape(const Shape& shape);
// `tokensMax`: of a request; a paged cache's table must have entries for it. 0: not known.
KvView toKvView(const KvArguments& kv, const Shape& shape, std::uint64_t tokensMax);
RowTensor toRowTensor(const RowArguments& rows, const std::string& field, const Shape& shape,
                      std::uint32_t heads);
ScoreOptions toScoreOptions(const OptionArguments& options);
// An array of 4-byte numbers on the device.
const std::int32_t* toInts(Address address, const std::string& field);

}  // namespace kvspan::attention
