#include "tile.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

// The bodies are inlined into one wrapper per instruction set, so that each is compiled anew.
#define KV_BODY static inline __attribute__((always_inline))

namespace kvspan::kernels {
namespace {

// Vectors as wide as the instruction set's own: wider ones compile to code slower than none.
template <std::size_t Lanes>
struct Vector {
  typedef float Floats __attribute__((vector_size(Lanes * 4)));
  typedef std::int32_t Ints __attribute__((vector_size(Lanes * 4)));
  typedef std::uint32_t Words __attribute__((vector_size(Lanes * 4)));
  typedef std::uint16_t Halves __attribute__((vector_size(Lanes * 2)));
};

template <std::size_t Lanes>
KV_BODY void loadBf16(const std::byte* from, std::uint64_t strideBytes, std::size_t tokens,
                      std::size_t headDim, float* to) {
  const std::size_t padded = paddedDim(headDim);
  using Halves = typename Vector<Lanes>::Halves;
  using Words = typename Vector<Lanes>::Words;
  for (std::size_t token = 0; token < tokens; ++token, from += strideBytes, to += padded) {
    std::size_t d = 0;
    for (; d + Lanes <= headDim; d += Lanes) {
      Halves halves;
      std::memcpy(&halves, from + d * 2, sizeof halves);
      const Words words = __builtin_convertvector(halves, Words) << 16;
      std::memcpy(to + d, &words, sizeof words);
    }
    for (; d < headDim; ++d) {
      std::uint16_t half;
      std::memcpy(&half, from + d * 2, sizeof half);
      const std::uint32_t word = static_cast<std::uint32_t>(half) << 16;
      std::memcpy(to + d, &word, sizeof word);
    }
  }
}

KV_BODY void loadFp32(const std::byte* from, std::uint64_t strideBytes, std::size_t tokens,
                      std::size_t headDim, float* to) {
  const std::size_t padded = paddedDim(headDim);
  for (std::size_t token = 0; token < tokens; ++token, from += strideBytes, to += padded) {
    std::memcpy(to, from, headDim * sizeof(float));
  }
}

// e^x for x <= 0, to about 2e-7 relative: 2^n times a polynomial on [-ln2/2, ln2/2] (the Taylor
// series of e^r; its remainder after the seventh power is below 1e-8 there). Below the smallest
// normal float the answer is 0. A NaN stays one: it must not look like a weight of 0.
template <std::size_t Lanes>
KV_BODY void exponentials(float* x, std::size_t padded) {
  using Floats = typename Vector<Lanes>::Floats;
  using Ints = typename Vector<Lanes>::Ints;
  for (std::size_t i = 0; i < padded; i += Lanes) {
    Floats v;
    std::memcpy(&v, x + i, sizeof v);
    const Ints vanished = v < -87.0f;
    v = vanished ? Floats{} : v;
    // Adding 1.5 x 2^23 rounds to an integer in the low bits of the mantissa.
    const Floats shifted = v * 1.44269504088896f + 12582912.0f;
    const Floats n = shifted - 12582912.0f;
    // ln 2 in two parts, so that n x ln 2 keeps its low bits.
    const Floats r = (v - n * 0.693359375f) + n * 2.12194440e-4f;
    Floats p = r * (1.0f / 5040) + (1.0f / 720);
    p = p * r + (1.0f / 120);
    p = p * r + (1.0f / 24);
    p = p * r + (1.0f / 6);
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    Ints bits;
    std::memcpy(&bits, &p, sizeof bits);
    bits = (bits + (__builtin_convertvector(n, Ints) << 23)) & ~vanished;
    std::memcpy(x + i, &bits, sizeof bits);
  }
}

template <std::size_t Lanes>
KV_BODY float sumOf(const typename Vector<Lanes>::Floats& vector) {
  float lanes[Lanes];
  std::memcpy(lanes, &vector, sizeof lanes);
  for (std::size_t half = Lanes / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// The scores of a tile; four tokens at a time, so that their sums do not wait for one another.
template <std::size_t Lanes>
KV_BODY void scoreTile(const float* query, const float* keys, std::size_t tokens,
                       std::size_t padded, float* scores) {
  using Floats = typename Vector<Lanes>::Floats;
  constexpr std::size_t kAtOnce = 4;
  std::size_t token = 0;
  for (; token + kAtOnce <= tokens; token += kAtOnce) {
    Floats totals[kAtOnce] = {};
    for (std::size_t d = 0; d < padded; d += Lanes) {
      Floats q;
      std::memcpy(&q, query + d, sizeof q);
      for (std::size_t i = 0; i < kAtOnce; ++i) {
        Floats k;
        std::memcpy(&k, keys + (token + i) * padded + d, sizeof k);
        totals[i] += q * k;
      }
    }
    for (std::size_t i = 0; i < kAtOnce; ++i) scores[token + i] = sumOf<Lanes>(totals[i]);
  }
  for (; token < tokens; ++token) {
    Floats total = {};
    for (std::size_t d = 0; d < padded; d += Lanes) {
      Floats q, k;
      std::memcpy(&q, query + d, sizeof q);
      std::memcpy(&k, keys + token * padded + d, sizeof k);
      total += q * k;
    }
    scores[token] = sumOf<Lanes>(total);
  }
}

// weighted = weighted x shrink + sum over tokens of weights[token] x values[token]. A tile is summed
// by itself first: over a long request that keeps small terms from vanishing in a large total.
template <std::size_t Lanes>
KV_BODY void addWeighted(const float* weights, const float* values, std::size_t tokens,
                         std::size_t padded, float shrink, float* weighted) {
  using Floats = typename Vector<Lanes>::Floats;
  for (std::size_t d = 0; d < padded; d += Lanes) {
    Floats even = {}, odd = {};
    std::size_t token = 0;
    for (; token + 2 <= tokens; token += 2) {
      Floats first, second;
      std::memcpy(&first, values + token * padded + d, sizeof first);
      std::memcpy(&second, values + (token + 1) * padded + d, sizeof second);
      even += first * weights[token];
      odd += second * weights[token + 1];
    }
    if (token < tokens) {
      Floats last;
      std::memcpy(&last, values + token * padded + d, sizeof last);
      even += last * weights[token];
    }
    Floats total;
    std::memcpy(&total, weighted + d, sizeof total);
    total = total * shrink + (even + odd);
    std::memcpy(weighted + d, &total, sizeof total);
  }
}

template <std::size_t Lanes>
KV_BODY void accumulate(const float* query, const float* keys, const float* values,
                        std::size_t tokens, std::size_t padded, float* maximum, float* sum,
                        float* weighted) {
  alignas(64) float weights[kTileTokens];
  float highest = *maximum;
  scoreTile<Lanes>(query, keys, tokens, padded, weights);
  for (std::size_t token = 0; token < tokens; ++token) highest = std::max(highest, weights[token]);
  for (std::size_t token = 0; token < tokens; ++token) weights[token] -= highest;
  for (std::size_t token = tokens; token < paddedDim(tokens); ++token) weights[token] = -1000.0f;
  exponentials<Lanes>(weights, paddedDim(tokens));
  // A new maximum makes what was summed so far smaller by the same factor; 0 for the first tile.
  alignas(64) float shrink[Lanes] = {};
  shrink[0] = *maximum - highest;
  exponentials<Lanes>(shrink, Lanes);
  float total = 0.0f;
  for (std::size_t token = 0; token < tokens; ++token) total += weights[token];
  *sum = *sum * shrink[0] + total;
  *maximum = highest;
  addWeighted<Lanes>(weights, values, tokens, padded, shrink[0], weighted);
}

#define KV_TILE_KERNELS(suffix, lanes, attribute)                                               \
  attribute void loadBf16##suffix(const std::byte* from, std::uint64_t stride,                  \
                                  std::size_t tokens, std::size_t headDim, float* to) {         \
    loadBf16<lanes>(from, stride, tokens, headDim, to);                                         \
  }                                                                                             \
  attribute void loadFp32##suffix(const std::byte* from, std::uint64_t stride,                  \
                                  std::size_t tokens, std::size_t headDim, float* to) {         \
    loadFp32(from, stride, tokens, headDim, to);                                                \
  }                                                                                             \
  attribute void accumulate##suffix(const float* query, const float* keys, const float* values, \
                                    std::size_t tokens, std::size_t padded, float* maximum,     \
                                    float* sum, float* weighted) {                              \
    accumulate<lanes>(query, keys, values, tokens, padded, maximum, sum, weighted);             \
  }

KV_TILE_KERNELS(Baseline, 4, )
constexpr TileKernels kBaseline{loadBf16Baseline, loadFp32Baseline, accumulateBaseline, "baseline"};

#if defined(__x86_64__)
KV_TILE_KERNELS(Avx2, 8, __attribute__((target("avx2,fma"))))
KV_TILE_KERNELS(Avx512, 16, __attribute__((target("avx512f,avx512bw,avx512vl,avx2,fma"))))
constexpr TileKernels kAvx2{loadBf16Avx2, loadFp32Avx2, accumulateAvx2, "avx2"};
constexpr TileKernels kAvx512{loadBf16Avx512, loadFp32Avx512, accumulateAvx512, "avx512"};
#endif

const TileKernels& choose() noexcept {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    return kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kAvx2;
#endif
  return kBaseline;
}

}  // namespace

const TileKernels& tileKernels() noexcept {
  static const TileKernels& chosen = choose();
  return chosen;
}

}  // namespace kvspan::kernels
