// kvspan-selftest --backend host|cuda [--library PATH] [--ordinal N] [--list | --run NAME]
//
// The device contract against one backend of this machine. Without --list and --run it runs all
// cases, a line each, and a summary. Exit status: 0 all passed, 1 a case failed or the device cannot
// be opened, 2 wrong usage, 77 (with --run) skipped.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "device_contract.hpp"

namespace kvspan::contract {
namespace {

constexpr int kSkipped = 77;
constexpr int kUsage = 2;
constexpr int kSocketInPeer = 3;

struct Arguments {
  DeviceOptions device{.backend = "host", .ordinal = 0, .library = ""};
  bool list = false;
  std::string run;
};

bool parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--list") {
      out.list = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const std::string value = argv[++i];
    if (name == "--backend" && (value == "host" || value == "cuda")) out.device.backend = value;
    else if (name == "--library") out.device.library = value;
    else if (name == "--ordinal") out.device.ordinal = std::atoi(value.c_str());
    else if (name == "--run") out.run = value;
    else return false;
  }
  return true;
}

std::string fullName(const Arguments& arguments, const ContractCase& one) {
  return arguments.device.backend + ": " + one.name;
}

// The outcome, and in `reason` why the case failed or was skipped.
int runCase(const Arguments& arguments, const ContractCase& one, std::string& reason) {
  try {
    Rig rig(arguments.device);
    one.body(rig);
    return 0;
  } catch (const test::Skip& skip) {
    reason = skip.what();
    return kSkipped;
  } catch (const std::exception& error) {
    reason = error.what();
    return 1;
  }
}

int runOne(const Arguments& arguments) {
  for (const auto& one : contractCases()) {
    if (fullName(arguments, one) != arguments.run) continue;
    std::string reason;
    const int status = runCase(arguments, one, reason);
    if (status == kSkipped) std::printf("skipped: %s\n", reason.c_str());
    if (status == 1) std::fprintf(stderr, "%s\n", reason.c_str());
    return status;
  }
  std::fprintf(stderr, "no case named %s\n", arguments.run.c_str());
  return kUsage;
}

int runAll(const Arguments& arguments) {
  // Kept open, so that the cases do not create and destroy a GPU's context each time.
  const auto device = openDevice(arguments.device);
  const auto info = device->info();
  std::printf("%s device %d: %s, driver %s, %llu MiB\n", info.backend.c_str(), info.ordinal,
              info.name.c_str(), info.driver.c_str(),
              static_cast<unsigned long long>(info.totalBytes >> 20));
  int passed = 0, failed = 0, skipped = 0;
  for (const auto& one : contractCases()) {
    std::string reason;
    const int status = runCase(arguments, one, reason);
    const auto name = fullName(arguments, one);
    if (status == 0) {
      ++passed;
      std::printf("ok   %s\n", name.c_str());
    } else if (status == kSkipped) {
      ++skipped;
      std::printf("skip %s (%s)\n", name.c_str(), reason.c_str());
    } else {
      ++failed;
      std::printf("FAIL %s\n     %s\n", name.c_str(), reason.c_str());
    }
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed == 0 ? 0 : 1;
}

int run(int argc, char** argv) {
  // Internal: the second process of the two-process cases.
  if (argc == 5 && std::strcmp(argv[1], "--peer") == 0) {
    const DeviceOptions device{argv[2], std::atoi(argv[4]), argv[3]};
    return runPeer(device, kSocketInPeer);
  }
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fprintf(stderr,
                 "usage: kvspan-selftest --backend host|cuda [--library PATH] [--ordinal N] "
                 "[--list | --run NAME]\n");
    return kUsage;
  }
  if (arguments.list) {
    for (const auto& one : contractCases()) std::printf("%s\n", fullName(arguments, one).c_str());
    return 0;
  }
  return arguments.run.empty() ? runAll(arguments) : runOne(arguments);
}

}  // namespace
}  // namespace kvspan::contract

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    return kvspan::contract::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
