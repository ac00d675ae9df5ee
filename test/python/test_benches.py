"""Whether the benches in Python are tested here: their tests are not even listed where torch is missing."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize("name", ["test_bench_kernels", "test_bench_serving"])
def test_the_benches_in_python_are_tested(name: str) -> None:
    pytest.importorskip("torch", reason=f"{name}.py needs torch, which is not installed")
    assert importlib.import_module(name).__doc__
