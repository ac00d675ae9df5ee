#include "base/error.hpp"
#include "device/cuda_device.hpp"
#include "device/device.hpp"
#include "device/host_device.hpp"

namespace kvspan {

std::shared_ptr<Device> openDevice(const DeviceOptions& options) {
  if (options.backend == "cuda") {
    return std::make_shared<CudaDevice>(options.ordinal, options.library, options.ownerOnly);
  }
  if (options.backend != "host") {
    throw Error::badField("device.backend", "\"" + options.backend + "\"", "host or cuda");
  }
  if (options.ordinal != 0) {
    throw Error(Code::DeviceUnavailable, "host: device " + std::to_string(options.ordinal) +
                                             " does not exist: this backend has one, 0");
  }
  return std::make_shared<HostDevice>();
}

}  // namespace kvspan
