"""Has FlashInfer build one of its templates: `build.py fa2 [HEAD_DIM]`. A process of its own, beside the
first measurements; whoever needs the template meanwhile waits for it."""

from __future__ import annotations

import os
import sys
from typing import Any

_HEAD_DIM = 128


def build(template: str, head_dim: int) -> None:
    os.environ.setdefault("FLASHINFER_CUDA_ARCH_LIST", "9.0a")
    import flashinfer
    import torch

    device = torch.device("cuda")
    workspace = torch.zeros(64 << 20, dtype=torch.uint8, device=device)
    table = [torch.tensor(values, dtype=torch.int32) for values in ([0, 1], [0], [1])]
    options: dict[str, Any] = {"q_data_type": torch.bfloat16, "kv_data_type": torch.bfloat16}
    if template == "decode":
        decode = flashinfer.BatchDecodeWithPagedKVCacheWrapper(workspace, "NHD")
        decode.plan(*table, 32, 8, head_dim, 16, **options)
        return
    prefill = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace, "NHD", backend=template)
    starts = torch.tensor([0, 1], dtype=torch.int32)
    prefill.plan(starts, *table, 32, 8, head_dim, 16, causal=True, **options)


if __name__ == "__main__":
    build(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else _HEAD_DIM)
