// Holds cuda_api.hpp against the toolkit's own header wherever there is one, at compile time: every
// function's name, parameters and their order, every struct, every value. Nothing is generated.
// Last checked against the header of CUDA 13.0; without one this file is empty. By hand:
//   g++ -std=c++20 -fsyntax-only -I native/core -I <toolkit>/include \
//     native/core/device/cuda_api_check.cpp
#include "device/cuda_api.hpp"

#if __has_include(<cuda.h>)

#include <type_traits>

// The types of our pointers, taken before the header's macros rename functions (a name pasted to
// another is not replaced).
namespace kvspan::cuda::check {
#define KVSPAN_CUDA(member, exported, parameters) using Own_##member = decltype(Api::member);
KVSPAN_CUDA_FUNCTIONS(KVSPAN_CUDA)
#undef KVSPAN_CUDA
}  // namespace kvspan::cuda::check

#include <cuda.h>

namespace kvspan::cuda::check {
namespace own = kvspan::cuda;

// The name that the header gives a function, with its suffix, against the symbol that we look up.
#define KVSPAN_TEXT(name) #name
#define KVSPAN_EXPANDED(name) KVSPAN_TEXT(name)
constexpr bool same(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return *a == *b;
}

// Two types are alike if a caller of the one passes what the other takes: pointers to the same
// kind of thing, equally const; numbers and enums of one size; floating against nothing.
template <typename A, typename B>
constexpr bool alike() {
  if constexpr (std::is_pointer_v<A> || std::is_pointer_v<B>) {
    if constexpr (std::is_pointer_v<A> && std::is_pointer_v<B>) {
      using To = std::remove_pointer_t<A>;
      using From = std::remove_pointer_t<B>;
      if constexpr (std::is_const_v<To> != std::is_const_v<From>) return false;
      else if constexpr (std::is_void_v<To> || std::is_void_v<From>) return std::is_void_v<To> == std::is_void_v<From>;
      else if constexpr (std::is_class_v<To>) return std::is_class_v<From>;
      else return alike<std::remove_const_t<To>, std::remove_const_t<From>>();
    } else {
      return false;
    }
  } else {
    constexpr bool numbers = (std::is_integral_v<A> || std::is_enum_v<A>) &&
                             (std::is_integral_v<B> || std::is_enum_v<B>);
    return numbers && sizeof(A) == sizeof(B);
  }
}

template <typename A, typename B>
struct Functions : std::false_type {};
template <typename RA, typename... As, typename RB, typename... Bs>
  requires(sizeof...(As) == sizeof...(Bs))
struct Functions<RA (*)(As...), RB (*)(Bs...)>
    : std::bool_constant<alike<RA, RB>() && (alike<As, Bs>() && ...)> {};

#define KVSPAN_CUDA(member, exported, parameters)                             \
  static_assert(same(KVSPAN_EXPANDED(member), KVSPAN_TEXT(exported)));        \
  static_assert(Functions<Own_##exported##_of<0>, decltype(&::member)>::value);
#undef KVSPAN_CUDA

}  // namespace kvspan::cuda::check

#endif
