// Names of the compiled kernels. Each file of kernels is compiled once for each element type and head
// dimension, which come from the command line: -DKVSPAN_DTYPE_BF16 or _FP16, -DKVSPAN_HEAD_DIM=128.
#pragma once

#include "mma.cuh"

#define KVSPAN_JOIN2(a, b) a##b
#define KVSPAN_JOIN(a, b) KVSPAN_JOIN2(a, b)

namespace kvspan::attention {

#ifdef KVSPAN_DTYPE_BF16
using KernelElement = Bf16;
#define KVSPAN_NAMED(kernel) KVSPAN_JOIN(kernel##_bf16_d, KVSPAN_HEAD_DIM)
#else
using KernelElement = Fp16;
#define KVSPAN_NAMED(kernel) KVSPAN_JOIN(kernel##_fp16_d, KVSPAN_HEAD_DIM)
#endif

}  // namespace kvspan::attention

// One kernel a layout: `make(page)` for each of them.
#define KVSPAN_FOR_EACH_LAYOUT(make) make(0) make(1) make(16) make(64) make(256)
