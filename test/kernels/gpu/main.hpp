#pragma once

#include <string>
#include <vector>

namespace kvspan::kerneltest {

// The path of libcuda that was given; empty: the system's.
const std::string& deviceLibrary();

// The command line of a child that does what `mode` says with the same device and kernels.
std::vector<std::string> peerArguments(const std::string& mode);
// In the child: its exit status.
int runPeer(const std::string& mode);

}  // namespace kvspan::kerneltest
