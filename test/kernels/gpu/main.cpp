// kvspan-kerneltest [--folder PATH] [--library PATH] [--ordinal N] [--small] [--match TEXT]
//                   [--list | --run NAME]
//
// The attention kernels on a GPU of this machine against the float64 reference. --folder: where the
// fatbins lie (default: kernels/ beside the program). --small: sizes for compute-sanitizer. --match:
// only cases whose name has TEXT in it.
// Exit status: 0 all passed, 1 a case failed or the device cannot be opened, 2 wrong usage.
#include "main.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "problem.hpp"
#include "test/native/harness.hpp"

namespace kvspan::test {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

}  // namespace kvspan::test

namespace kvspan::kerneltest {
namespace {

constexpr int kUsage = 2;

struct Arguments {
  std::string folder;
  std::string library;
  int ordinal = 0;
  bool small = false;
  bool list = false;
  std::string match;
  std::string run;
  std::string peer;  // internal: what a child does
};

Arguments& arguments() {
  static Arguments parsed;
  return parsed;
}

std::string besideProgram() {
  char path[4096] = {};
  if (::readlink("/proc/self/exe", path, sizeof path - 1) < 0) return "kernels";
  return std::string(path, std::strrchr(path, '/')) + "/kernels";
}

bool parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--list") { out.list = true; continue; }
    if (name == "--small") { out.small = true; continue; }
    if (i + 1 == argc) return false;
    const std::string value = argv[++i];
    if (name == "--folder") out.folder = value;
    else if (name == "--library") out.library = value;
    else if (name == "--ordinal") out.ordinal = std::atoi(value.c_str());
    else if (name == "--match") out.match = value;
    else if (name == "--run") out.run = value;
    else if (name == "--peer") out.peer = value;
    else return false;
  }
  if (out.folder.empty()) out.folder = besideProgram();
  return true;
}

bool wanted(const test::Case& one) {
  if (!arguments().run.empty()) return one.name == arguments().run;
  return one.name.find(arguments().match) != std::string::npos;
}

bool passes(const test::Case& one) {
  const auto begin = std::chrono::steady_clock::now();
  std::string failure;
  try {
    one.body();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%s %s (%.1f s)\n", failure.empty() ? "ok  " : "FAIL", one.name.c_str(), took.count());
  if (!failure.empty()) std::printf("     %s\n", failure.c_str());
  return failure.empty();
}

int runWanted() {
  const auto& facts = rig().gpu->facts();
  std::printf("cuda device %d: %s, driver %s, kernels in %s\n", facts.ordinal, facts.name.c_str(),
              facts.driver.c_str(), arguments().folder.c_str());
  int passed = 0, failed = 0;
  for (const auto& one : test::cases()) {
    if (wanted(one)) ++(passes(one) ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

int run(int argc, char** argv) {
  if (!parse(argc, argv, arguments())) {
    std::fprintf(stderr,
                 "usage: kvspan-kerneltest [--folder PATH] [--library PATH] [--ordinal N] [--small] "
                 "[--match TEXT] [--list | --run NAME]\n");
    return kUsage;
  }
  if (arguments().list) {
    for (const auto& one : test::cases()) std::printf("%s\n", one.name.c_str());
    return 0;
  }
  if (arguments().peer.empty()) return runWanted();
  return runPeer(arguments().peer);
}

}  // namespace

// Never destroyed: the cases' buffers and the driver may go in any order at exit.
Rig& rig() {
  static Rig* const opened = [] {
    auto* const rig = new Rig;
    rig->gpu = std::make_shared<attention::Gpu>(arguments().ordinal, arguments().library);
    rig->library = std::make_shared<attention::KernelLibrary>(rig->gpu, arguments().folder);
    rig->stream = rig->gpu->createStream();
    rig->driver = arguments().library;
    rig->small = arguments().small;
    return rig;
  }();
  return *opened;
}

const std::string& deviceLibrary() { return arguments().library; }

std::vector<std::string> peerArguments(const std::string& mode) {
  std::vector<std::string> all{"kvspan-kerneltest", "--peer",    mode,
                               "--folder",          arguments().folder,
                               "--ordinal",         std::to_string(arguments().ordinal)};
  if (!arguments().library.empty()) {
    all.push_back("--library");
    all.push_back(arguments().library);
  }
  return all;
}

}  // namespace kvspan::kerneltest

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    return kvspan::kerneltest::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
