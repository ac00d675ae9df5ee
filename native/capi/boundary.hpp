// What every call of the ABI passes through: failures become a code, a field and a sentence, and
// what the caller gave is checked before anything is done with it.
#pragma once

#include <cstddef>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "kvspan.h"

namespace kvspan::capi {

// Cut, if need be, so that no character of UTF-8 is left in halves.
void putText(char* to, std::size_t capacity, const std::string& text) noexcept;
template <std::size_t Capacity>
void putText(char (&to)[Capacity], const std::string& text) noexcept {
  putText(to, Capacity, text);
}

void putError(kvspan_error* to, const Error& error) noexcept;

template <typename Body>
int guarded(kvspan_error* error, Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return KVSPAN_OK;
  } catch (const Error& failure) {
    putError(error, failure);
  } catch (const std::bad_alloc&) {
    putError(error, Error(Code::Internal, "this process is out of memory"));
  } catch (const std::exception& failure) {
    putError(error, Error(Code::Internal, failure.what()));
  } catch (...) {
    putError(error, Error(Code::Internal, "an exception that says nothing"));
  }
  return KVSPAN_FAILED;
}

// The pointer, or INVALID_ARGUMENT naming the argument.
template <typename T>
T* needed(T* pointer, const char* field, const char* allowed = "not NULL") {
  if (pointer == nullptr) throw Error::badField(field, "NULL", allowed);
  return pointer;
}

// A text of at most `bytesMax` bytes.
std::string toText(const char* text, const char* field, std::size_t bytesMax);
void checkRange(const char* field, std::uint64_t value, std::uint64_t low, std::uint64_t high);

}  // namespace kvspan::capi
