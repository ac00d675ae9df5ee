"""A daemon on the GPU that is there, for test_gpu*.py; where there is none, why they cannot run."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import kvspan
import pytest
from support import Daemon, until

try:
    import torch
except ImportError:
    torch = None


def why_not() -> str | None:
    if torch is None:
        return "torch is not installed"
    return None if torch.cuda.is_available() else "there is no CUDA device"


WHY_NOT = why_not()


@pytest.fixture(scope="module")
def gpu() -> Iterator[Daemon]:
    one = Daemon(backend="cuda", pool_bytes="4GiB")
    yield one
    one.stop()


@pytest.fixture
def session(gpu: Daemon) -> Iterator[kvspan.Session]:
    with gpu.connect() as one:
        yield one
    gc.collect()
    until("the books are empty", gpu.empty)
