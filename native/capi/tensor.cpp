// kvspan_tensor_* and kvspan_host_stream_*. The structures of DLPack are a published ABI; they are
// written down here so that nothing has to be installed to build.
#include <algorithm>
#include <cstdint>
#include <memory>

#include "boundary.hpp"
#include "device/host_stream.hpp"

using namespace kvspan;
using namespace kvspan::capi;

namespace {

struct DLDevice {
  std::int32_t type;
  std::int32_t id;
};

struct DLDataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct DLTensor {
  void* data;
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byteOffset;
};

struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};

// The structure first: its address is what the consumer gives back.
struct Exported {
  DLManagedTensor managed{};
  std::int64_t shape[KVSPAN_DIMENSIONS_MAX]{};
  std::int64_t strides[KVSPAN_DIMENSIONS_MAX]{};
  std::uint64_t hostStream = 0;
};

// On whichever thread lets go of the tensor last.
void drop(DLManagedTensor* managed) {
  const std::unique_ptr<Exported> exported(static_cast<Exported*>(managed->context));
  if (exported->hostStream != 0) {
    (void)guarded(nullptr, [&] { hostStreamComplete(exported->hostStream); });
  }
}

std::unique_ptr<Exported> exportTensor(const kvspan_tensor& given) {
  checkRange("tensor.dimensions", given.dimensions, 1, KVSPAN_DIMENSIONS_MAX);
  checkRange("tensor.address", given.address, 1, UINT64_MAX);
  auto exported = std::make_unique<Exported>();
  std::copy_n(given.shape, given.dimensions, exported->shape);
  std::copy_n(given.strides, given.dimensions, exported->strides);
  exported->hostStream = given.host_stream;
  DLTensor& tensor = exported->managed.tensor;
  tensor.data = reinterpret_cast<void*>(given.address);
  tensor.device = {given.device_type, given.device_id};
  tensor.ndim = given.dimensions;
  tensor.dtype = {given.type_code, given.type_bits, 1};
  tensor.shape = exported->shape;
  tensor.strides = exported->strides;
  exported->managed.context = exported.get();
  exported->managed.deleter = drop;
  return exported;
}

}  // namespace

int kvspan_host_stream_create(uint64_t* stream, kvspan_error* error) {
  return guarded(error, [&] { *needed(stream, "stream") = createHostStream(); });
}

int kvspan_host_stream_submit(uint64_t stream, kvspan_error* error) {
  return guarded(error, [&] { hostStreamSubmit(stream); });
}

int kvspan_host_stream_complete(uint64_t stream, kvspan_error* error) {
  return guarded(error, [&] { hostStreamComplete(stream); });
}

int kvspan_host_stream_idle(uint64_t stream, int32_t* idle, kvspan_error* error) {
  return guarded(error, [&] { *needed(idle, "idle") = hostFence(stream)->reached() ? 1 : 0; });
}

int kvspan_host_stream_destroy(uint64_t stream, kvspan_error* error) {
  return guarded(error, [&] { destroyHostStream(stream); });
}

int kvspan_tensor_export(const kvspan_tensor* tensor, void** managed, kvspan_error* error) {
  return guarded(error, [&] {
    needed(tensor, "tensor");
    needed(managed, "managed");
    *managed = &exportTensor(*tensor).release()->managed;
  });
}

void kvspan_tensor_delete(void* managed) {
  if (managed != nullptr) drop(static_cast<DLManagedTensor*>(managed));
}
