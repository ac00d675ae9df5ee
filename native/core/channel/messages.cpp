#include "channel/messages.hpp"

#include <algorithm>

namespace kvspan::wire {
namespace {

bool printable(char c) { return c >= 0x20 && c < 0x7f; }

}  // namespace

void putText(char* field, std::size_t capacity, std::string_view text) {
  const std::size_t count = std::min(text.size(), capacity - 1);
  std::memset(field, 0, capacity);
  for (std::size_t i = 0; i < count; ++i) field[i] = printable(text[i]) ? text[i] : '?';
}

std::string getText(const char* field, std::size_t capacity) {
  std::string text(field, ::strnlen(field, capacity));
  std::replace_if(text.begin(), text.end(), [](char c) { return !printable(c); }, '?');
  return text;
}

std::string checkHeader(const void* data, std::size_t bytes) {
  if (bytes < sizeof(Header)) {
    return "message of " + std::to_string(bytes) + " bytes, shorter than a header";
  }
  Header header;
  std::memcpy(&header, data, sizeof header);
  if (header.magic != kMagic) return "message without the extent channel's magic number";
  if (header.version != kVersion) {
    return "version " + std::to_string(header.version) + " of the extent channel, expected " +
           std::to_string(kVersion);
  }
  if (header.bytes != bytes || header.reserved != 0) {
    return "message of " + std::to_string(bytes) + " bytes whose header says " +
           std::to_string(header.bytes);
  }
  return "";
}

Type typeOf(const void* data) {
  Header header;
  std::memcpy(&header, data, sizeof header);
  return static_cast<Type>(header.type);
}

std::string readHello(std::string& name, const void* data, std::size_t bytes) {
  Hello hello;
  if (auto wrong = read(hello, Type::Hello, data, bytes); !wrong.empty()) return wrong;
  const std::size_t length = ::strnlen(hello.name, sizeof hello.name);
  const bool text = std::all_of(hello.name, hello.name + length, printable);
  const bool padding = std::all_of(hello.name + length, hello.name + sizeof hello.name,
                                   [](char c) { return c == '\0'; });
  if (!text || !padding) return "hello with a name that is not NUL-padded printable ASCII";
  name.assign(hello.name, length);
  return "";
}

Refused makeRefused(std::string_view code, std::string_view text) {
  auto refused = make<Refused>(Type::Refused);
  putText(refused.code, sizeof refused.code, code);
  putText(refused.text, sizeof refused.text, text);
  return refused;
}

}  // namespace kvspan::wire
