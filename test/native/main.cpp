// kvspan-native-tests --list | --run NAME | (nothing: all, in this process).
// Exit status of --run: 0 passed, 1 failed, 77 skipped (reason on standard output).
#include <cstdio>
#include <cstring>

#include "harness.hpp"

namespace kvspan::test {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

namespace {

constexpr int kSkipped = 77;

int runOne(const Case& one) {
  try {
    one.body();
    return 0;
  } catch (const Skip& skip) {
    std::printf("skipped: %s\n", skip.what());
    return kSkipped;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

int runAll() {
  int failed = 0;
  for (const auto& one : cases()) {
    const int status = runOne(one);
    std::printf("%s %s\n", status == 0 ? "ok  " : status == kSkipped ? "skip" : "FAIL",
                one.name.c_str());
    if (status == 1) ++failed;
  }
  std::printf("%zu cases, %d failed\n", cases().size(), failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace kvspan::test

int main(int argc, char** argv) {
  using namespace kvspan::test;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
    for (const auto& one : cases()) std::printf("%s\n", one.name.c_str());
    return 0;
  }
  if (argc == 3 && std::strcmp(argv[1], "--run") == 0) {
    for (const auto& one : cases()) {
      if (one.name == argv[2]) return runOne(one);
    }
    std::fprintf(stderr, "no test named %s\n", argv[2]);
    return 2;
  }
  return runAll();
}
