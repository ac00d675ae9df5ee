// Compiled for sm_90a alone (-gencode=arch=compute_90a,code=sm_90a), for head dimensions 64 and 128.
#include "instance.cuh"
#include "prefill_sm90.cuh"

namespace kvspan::attention {

#define KVSPAN_PREFILL(page, options, end)                                \
  extern "C" __global__ void __launch_bounds__(kHopperThreads, 1)         \
      KVSPAN_JOIN(KVSPAN_NAMED(kvspan_prefill_sm90), _p##page##end)(      \
          const __grid_constant__ PrefillParams params) {                 \
    prefillHopper<KernelElement, KVSPAN_HEAD_DIM, page, options>(params); \
  }
#define KVSPAN_PREFILL_BOTH(page) \
  KVSPAN_PREFILL(page, false, ) KVSPAN_PREFILL(page, true, _options)
KVSPAN_FOR_EACH_LAYOUT(KVSPAN_PREFILL_BOTH)

}  // namespace kvspan::attention
