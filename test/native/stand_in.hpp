// The stand-in driver that was built beside the program that runs.
#pragma once

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "harness.hpp"

namespace kvspan::test {

inline std::string standIn() {
  char self[PATH_MAX] = {};
  if (::readlink("/proc/self/exe", self, sizeof self - 1) < 0) throw Failure("readlink");
  const std::string path = self;
  return path.substr(0, path.find_last_of('/')) + "/standin/libcuda.so.1";
}

// A variable of the environment for the length of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

}  // namespace kvspan::test
