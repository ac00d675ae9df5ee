"""A daemon on the GPU that is there, for test_gpu*.py; where there is none, why they cannot run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

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


def known(gpu: Daemon) -> set[int]:
    """The sessions that the daemon has on its books. A test that failed may have left its tensors, and
    with them its session: the others go by what was there before them."""
    return {one.session_id for one in gpu.sessions()}


@contextmanager
def nothing_left(gpu: Daemon) -> Iterator[None]:
    before = known(gpu)
    yield
    gc.collect()
    until("the daemon has forgotten it", lambda: known(gpu) <= before)


@pytest.fixture
def session(gpu: Daemon) -> Iterator[kvspan.Session]:
    with nothing_left(gpu), gpu.connect() as one:
        yield one
