#include "decode.cuh"
#include "instance.cuh"

namespace kvspan::attention {

#define KVSPAN_DECODE(page, rows)                                                             \
  extern "C" __global__ void __launch_bounds__(                                               \
      DecodeShape<KVSPAN_HEAD_DIM>::kThreads,                                                 \
      DecodeShape<KVSPAN_HEAD_DIM>::kBlocksPerMultiprocessor)                                 \
      KVSPAN_JOIN(KVSPAN_NAMED(kvspan_decode), _p##page##_r##rows)(                           \
          const __grid_constant__ DecodeParams params) {                                      \
    decode<KernelElement, KVSPAN_HEAD_DIM, rows, page>(params);                               \
  }
#define KVSPAN_DECODE_BOTH(page) KVSPAN_DECODE(page, 8) KVSPAN_DECODE(page, 16)
KVSPAN_FOR_EACH_LAYOUT(KVSPAN_DECODE_BOTH)

}  // namespace kvspan::attention
