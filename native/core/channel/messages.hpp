// Building and checking the messages of wire.hpp. What arrives is never trusted: a check returns
// what is wrong with it, as a sentence for a log; empty: nothing is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "channel/wire.hpp"

namespace kvspan::wire {

// A message of zeros but for its header. `extraBytes` follow the fixed layout.
template <typename Message>
Message make(Type type, std::size_t extraBytes = 0) {
  Message message{};
  message.header = {kMagic, kVersion, static_cast<std::uint16_t>(type),
                    static_cast<std::uint32_t>(sizeof(Message) + extraBytes), 0};
  return message;
}

// Copies as much of `text` as fits before a closing NUL; bytes that are not printable ASCII are
// shown as '?'.
void putText(char* field, std::size_t capacity, std::string_view text);
// The text of a field, at most `capacity` bytes, made printable as above.
std::string getText(const char* field, std::size_t capacity);

// Magic, version and length, of any message.
std::string checkHeader(const void* data, std::size_t bytes);
// The type of a message that passed checkHeader.
Type typeOf(const void* data);

// A message whose length must be exactly its layout's.
template <typename Message>
std::string read(Message& into, Type type, const void* data, std::size_t bytes) {
  if (auto wrong = checkHeader(data, bytes); !wrong.empty()) return wrong;
  if (typeOf(data) != type) {
    return "message of type " + std::to_string(static_cast<int>(typeOf(data))) + ", expected " +
           std::to_string(static_cast<int>(type));
  }
  if (bytes != sizeof(Message)) {
    return "message of type " + std::to_string(static_cast<int>(type)) + " has " +
           std::to_string(bytes) + " bytes, expected " + std::to_string(sizeof(Message));
  }
  std::memcpy(&into, data, sizeof(Message));
  return "";
}

std::string readHello(std::string& name, const void* data, std::size_t bytes);

Refused makeRefused(std::string_view code, std::string_view text);

}  // namespace kvspan::wire
