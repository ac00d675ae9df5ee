// bf16 and fp16 as the tests need them, and work that all processors share.
#include <atomic>
#include <bit>
#include <cmath>
#include <thread>

#include "problem.hpp"

namespace kvspan::kerneltest {
namespace {

float halfToFloat(std::uint32_t bits) {
  const int exponent = bits >> 10 & 31;
  const float mantissa = static_cast<float>(bits & 1023);
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024.0f + mantissa, exponent - 25);
}

std::vector<float> halves() {
  std::vector<float> all;
  for (std::uint32_t bits = 0; bits < 1u << 16; ++bits) all.push_back(halfToFloat(bits));
  return all;
}

}  // namespace

float toFloat(Dtype dtype, std::uint16_t bits) {
  if (dtype == Dtype::Bf16) return std::bit_cast<float>(std::uint32_t{bits} << 16);
  static const std::vector<float> all = halves();
  return all[bits];
}

// To nearest is not needed: any value that the type has will do as test data.
std::uint16_t toBits(Dtype dtype, float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  if (dtype == Dtype::Bf16) return static_cast<std::uint16_t>(word >> 16);
  const int exponent = static_cast<int>(word >> 23 & 255) - 127 + 15;
  const auto sign = static_cast<std::uint16_t>(word >> 16 & 0x8000);
  if (exponent <= 0) return sign;
  return static_cast<std::uint16_t>(sign | exponent << 10 | (word >> 13 & 1023));
}

void inParallel(std::size_t count, const std::function<void(std::size_t)>& body) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) body(i);
  };
  const std::size_t most = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::jthread> threads;
  for (std::size_t i = 1; i < std::min(count, most); ++i) threads.emplace_back(work);
  work();
}

}  // namespace kvspan::kerneltest
