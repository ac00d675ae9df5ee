// The prefill kernels for Hopper, sm_90a only, of one dtype and head dimension, by name (see prefill_shape.hpp). Compiled
// once for each pair: -DKVSPAN_DTYPE_BF16 or -DKVSPAN_DTYPE_FP16, and -DKVSPAN_HEAD_DIM=<n>.
#include "prefill_sm90.cuh"

#if defined(KVSPAN_DTYPE_BF16)
#define KVSPAN_ELEMENT Bf16
#define KVSPAN_DTYPE bf16
#elif defined(KVSPAN_DTYPE_FP16)
#define KVSPAN_ELEMENT Fp16
#define KVSPAN_DTYPE fp16
#else
#error "Define KVSPAN_DTYPE_BF16 or KVSPAN_DTYPE_FP16"
#endif

using namespace kvspan::attention;

#define KVSPAN_NAME_(dtype, dim, page, end) kvspan_prefill_sm90_##dtype##_d##dim##_p##page##end
#define KVSPAN_NAME(dtype, dim, page, end) KVSPAN_NAME_(dtype, dim, page, end)
#define KVSPAN_KERNEL(page, options, end)                              \
  extern "C" __global__ void __launch_bounds__(kHopperThreads, 1)      \
      KVSPAN_NAME(KVSPAN_DTYPE, KVSPAN_HEAD_DIM, page,                 \
                  end)(const __grid_constant__ PrefillParams params) { \
    prefillHopper<KVSPAN_ELEMENT, KVSPAN_HEAD_DIM, page, options>(params);   \
  }
#define KVSPAN_KERNELS(page)     \
  KVSPAN_KERNEL(page, false, )   \
  KVSPAN_KERNEL(page, true, _options)

KVSPAN_KERNELS(0)
KVSPAN_KERNELS(1)
KVSPAN_KERNELS(16)
KVSPAN_KERNELS(64)
KVSPAN_KERNELS(256)
