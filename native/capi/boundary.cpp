#include "boundary.hpp"

#include <cstring>

namespace kvspan::capi {

void putText(char* to, std::size_t capacity, const std::string& text) noexcept {
  std::size_t bytes = text.size();
  if (bytes >= capacity) {
    bytes = capacity - 1;
    while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  }
  std::memcpy(to, text.data(), bytes);
  std::memset(to + bytes, 0, capacity - bytes);
}

void putError(kvspan_error* to, const Error& error) noexcept {
  if (to == nullptr) return;
  putText(to->code, sizeof to->code, codeName(error.code()));
  putText(to->field, sizeof to->field, error.field());
  putText(to->message, sizeof to->message, error.what());
}

std::string toText(const char* text, const char* field, std::size_t bytesMax) {
  needed(text, field, "a text");
  const std::size_t bytes = ::strnlen(text, bytesMax + 1);
  if (bytes > bytesMax) {
    throw Error::badField(field, "more than " + std::to_string(bytesMax) + " bytes",
                          "at most " + std::to_string(bytesMax));
  }
  return {text, bytes};
}

void checkRange(const char* field, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
  if (value >= low && value <= high) return;
  throw Error::badField(field, std::to_string(value),
                        std::to_string(low) + ".." + std::to_string(high));
}

}  // namespace kvspan::capi
