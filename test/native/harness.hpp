// A test is a function with a name; a failed check throws. `main` (main.cpp) lists them and runs
// one by name, so that the outer runner can give each a process of its own: a fault then ends one
// test, not the run.
#pragma once

#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.hpp"

namespace kvspan::test {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Thrown by a test that cannot run here; the reason is shown.
struct Skip : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Case {
  std::string name;
  std::function<void()> body;
};

std::vector<Case>& cases();

struct Register {
  Register(std::string name, std::function<void()> body) {
    cases().push_back({std::move(name), std::move(body)});
  }
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& what) {
  std::ostringstream out;
  out << file << ":" << line << ": " << what;
  throw Failure(out.str());
}

template <typename T>
std::string show(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<long long>(value));
  } else {
    std::ostringstream out;
    out << value;
    return out.str();
  }
}

template <typename A, typename B>
void checkEqual(const char* file, int line, const char* text, const A& a, const B& b) {
  if (!(a == b)) fail(file, line, std::string(text) + ": " + show(a) + " != " + show(b));
}

template <typename F>
void checkThrows(const char* file, int line, const char* text, Code code, F&& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.code() == code) return;
    fail(file, line, std::string(text) + ": threw " + codeName(error.code()) + " (" +
                         error.what() + "), expected " + codeName(code));
  }
  fail(file, line, std::string(text) + ": threw nothing, expected " + codeName(code));
}

}  // namespace kvspan::test

#define KV_CONCAT2(a, b) a##b
#define KV_CONCAT(a, b) KV_CONCAT2(a, b)
// KV_TEST("area: behaviour it shows") { ... }
#define KV_TEST(name)                                                                          \
  static void KV_CONCAT(kvTest, __LINE__)();                                                   \
  static const ::kvspan::test::Register KV_CONCAT(kvRegister, __LINE__)(name,                  \
                                                                        KV_CONCAT(kvTest, __LINE__)); \
  static void KV_CONCAT(kvTest, __LINE__)()
#define KV_CHECK(condition)                                                       \
  do {                                                                            \
    if (!(condition)) ::kvspan::test::fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)
#define KV_CHECK_EQ(a, b) ::kvspan::test::checkEqual(__FILE__, __LINE__, #a " == " #b, a, b)
#define KV_CHECK_THROWS(code, expression) \
  ::kvspan::test::checkThrows(__FILE__, __LINE__, #expression, code, [&] { (void)(expression); })
