#include "instance.cuh"
#include "prefill.cuh"

namespace kvspan::attention {

#define KVSPAN_PREFILL(page, options, end)                              \
  extern "C" __global__ void __launch_bounds__(kPrefillThreads, 2)      \
      KVSPAN_JOIN(KVSPAN_NAMED(kvspan_prefill), _p##page##end)(         \
          const __grid_constant__ PrefillParams params) {               \
    prefill<KernelElement, KVSPAN_HEAD_DIM, page, options>(params);     \
  }
#define KVSPAN_PREFILL_BOTH(page) \
  KVSPAN_PREFILL(page, false, ) KVSPAN_PREFILL(page, true, _options)
KVSPAN_FOR_EACH_LAYOUT(KVSPAN_PREFILL_BOTH)

}  // namespace kvspan::attention
