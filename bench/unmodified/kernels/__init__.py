"""The kernels of the table, by library; in groups, those that are dear to build last."""

from __future__ import annotations

from collections.abc import Callable

from ..kernel import Kernel
from .cudnn import CudnnFrontend
from .flashinfer import FlashInfer
from .flex import Flex
from .math import Math
from .pytorch import FlashAttention2, Sdpa
from .triton import Triton

#: By the name that `--only` takes, in the order of measuring. Making one may fail: a library that is
#: not there.
ON_GPU: dict[str, Callable[[], Kernel]] = {
    "fa2": FlashAttention2,
    "sdpa-flash": lambda: Sdpa("flash"),
    "sdpa-cudnn": lambda: Sdpa("cudnn"),
    "sdpa-efficient": lambda: Sdpa("efficient"),
    "triton": Triton,
    "flashinfer-fa2": lambda: FlashInfer("fa2", "gaps"),
    "flashinfer-in-order": lambda: FlashInfer("fa2", "in-order pages"),
    "flashinfer-decode": lambda: FlashInfer("decode", "in-order pages"),
    "cudnn-frontend": CudnnFrontend,
    "flex": lambda: Flex(compiled=True),
    "flashinfer-fa3": lambda: FlashInfer("fa3", "gaps"),
}

ON_CPU: dict[str, Callable[[], Kernel]] = {
    "sdpa-math": Math,
    "flex": lambda: Flex(compiled=False),
}
