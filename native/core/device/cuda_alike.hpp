// What the checks of our own declarations against cuda.h share (cuda_api_check.cpp and
// kernels/cuda/host/launch_api_check.cpp).
#pragma once

#include <type_traits>

namespace kvspan::cuda::check {

// The name that the header gives a function, with its suffix, against the symbol that we look up.
#define KVSPAN_TEXT(name) #name
#define KVSPAN_EXPANDED(name) KVSPAN_TEXT(name)
constexpr bool same(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return *a == *b;
}

// Two types are alike if a caller of the one passes what the other takes: pointers to the same
// kind of thing, equally const; numbers and enums of one size.
template <typename A, typename B>
constexpr bool alike() {
  if constexpr (std::is_pointer_v<A> || std::is_pointer_v<B>) {
    if constexpr (std::is_pointer_v<A> && std::is_pointer_v<B>) {
      using To = std::remove_pointer_t<A>;
      using From = std::remove_pointer_t<B>;
      if constexpr (std::is_const_v<To> != std::is_const_v<From>) {
        return false;
      } else if constexpr (std::is_void_v<To> || std::is_class_v<To>) {
        return std::is_void_v<To> == std::is_void_v<From> &&
               std::is_class_v<To> == std::is_class_v<From>;
      } else {
        return alike<std::remove_const_t<To>, std::remove_const_t<From>>();
      }
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

}  // namespace kvspan::cuda::check
