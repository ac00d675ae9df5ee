#include "append.cuh"
#include "instance.cuh"

namespace kvspan::attention {

#define KVSPAN_APPEND(page)                                                                    \
  extern "C" __global__ void __launch_bounds__(kAppendThreads)                                 \
      KVSPAN_JOIN(KVSPAN_NAMED(kvspan_append), _p##page)(                                      \
          const __grid_constant__ AppendParams params) {                                       \
    append<KVSPAN_HEAD_DIM, page>(params);                                                     \
  }
KVSPAN_FOR_EACH_LAYOUT(KVSPAN_APPEND)

}  // namespace kvspan::attention
