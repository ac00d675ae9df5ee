"""bench/unmodified without a GPU: every kernel's call over every kind of memory, by libraries that compute on
the CPU what the real ones compute, against float64."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import Any

import kvspan
import pytest
from support import ROOT

torch: Any = pytest.importorskip("torch", reason="torch is not installed")
# Before it is imported: its kernels run in Python then.
os.environ.setdefault("TRITON_INTERPRET", "1")
sys.path.insert(0, str(ROOT / "bench"))

import fake_flashinfer  # noqa: E402
from pybench.clock import Clock  # noqa: E402
from unmodified.cases import Case, Shape, decode, prefill  # noqa: E402
from unmodified.kernel import Kernel  # noqa: E402
from unmodified.kernels import ON_GPU  # noqa: E402
from unmodified.kernels.flex import Flex  # noqa: E402
from unmodified.kernels.math import Math  # noqa: E402
from unmodified.measure import measure  # noqa: E402
from unmodified.memories import draw, memories  # noqa: E402
from unmodified.reference import reference  # noqa: E402

# Who keeps a tensor of a cache keeps its memory, and the next case finds none.
pytestmark = pytest.mark.filterwarnings("error::ResourceWarning")
SHAPE = Shape(query_heads=8, kv_heads=2, head_dim=32)
CASES = [decode("3 x 70", [70] * 3), decode("unequal", [5, 130, 64]), prefill(40), prefill(9, 60)]
SPAN_BYTES = 8 << 20


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "flashinfer", fake_flashinfer.module())
    aten = _Aten(torch.ops.aten)
    monkeypatch.setattr("unmodified.kernels.pytorch._aten", aten)
    yield


class _Aten:
    """torch.ops.aten, with FlashAttention's operator for a CPU."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    class _Operator:
        default = type("Overload", (), {"_schema": "no table"})

        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return fake_flashinfer.flash_attention_forward(*arguments, **options)

    _flash_attention_forward = _Operator()


def outcome(session: kvspan.Session, kernel: Kernel, case: Case) -> tuple[dict[str, float], list[str]]:
    """The error on each memory, and what was noted of those where it did not run."""
    problem = draw(case, SHAPE, torch.float32, torch.device("cpu"))
    with memories(session, problem, SPAN_BYTES) as (contiguous, pages):
        clock = Clock(problem.device)
        wanted = reference(problem)
        told = measure(kernel, problem, contiguous, pages, wanted, clock, runs=2)
    errors = {
        row.variant.partition(" on ")[2].removesuffix(": largest error"): row.median
        for row in told.rows
        if row.variant.endswith(": largest error")
    }
    times = {row.variant for row in told.rows if row.variant.endswith(": time")}
    assert len(times) == len(errors)
    return errors, [note["text"] for note in told.notes]


CONTIGUOUS = ["kvspan, token-major", "malloc, token-major", "kvspan, layer-major", "malloc, layer by layer"]
PAGES = ["pages of 16", "pages of 64"]


def memories_of(errors: dict[str, float]) -> list[str]:
    return [name.partition(" (")[0] for name in errors]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("fa2", CONTIGUOUS),
        ("flashinfer-fa2", CONTIGUOUS + PAGES),
        pytest.param(
            "triton",
            CONTIGUOUS + PAGES,
            marks=pytest.mark.skipif(
                importlib.util.find_spec("triton") is None, reason="triton is not installed"
            ),
        ),
    ],
)
def test_a_kernel_is_right_on_every_memory(
    session: kvspan.Session, name: str, where: list[str], case: Case
) -> None:
    errors, notes = outcome(session, ON_GPU[name](), case)
    assert memories_of(errors) == where, notes
    assert max(errors.values()) < 1e-5


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_keys_in_parts_are_put_together(
    session: kvspan.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmodified.kernels.triton._SPLIT_TOKENS_MIN", 16)
    errors, notes = outcome(session, ON_GPU["triton"](), decode("few", [100, 9]))
    assert memories_of(errors) == CONTIGUOUS + PAGES
    assert max(errors.values()) < 1e-5, notes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pages_in_order_are_an_address_computation(session: kvspan.Session, case: Case) -> None:
    errors, notes = outcome(session, ON_GPU["flashinfer-in-order"](), case)
    where = CONTIGUOUS if case.even else CONTIGUOUS[0::2]
    assert memories_of(errors) == where + PAGES, notes
    assert max(errors.values()) < 1e-5


def test_a_template_says_what_it_is_not_for(session: kvspan.Session) -> None:
    errors, notes = outcome(session, ON_GPU["flashinfer-fa3"](), CASES[0])
    assert not errors
    assert all("for prefill" in note for note in notes)
    errors, _ = outcome(session, ON_GPU["flashinfer-fa3"](), CASES[2])
    assert memories_of(errors) == CONTIGUOUS + PAGES
    errors, notes = outcome(session, ON_GPU["flashinfer-decode"](), CASES[2])
    assert not errors
    assert "decode alone" in notes[0]


def test_offsets_that_32_bits_do_not_hold_are_not_tried(
    session: kvspan.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmodified.kernels.flashinfer._INDEXED_MAX", 3_000_000)
    errors, notes = outcome(session, ON_GPU["flashinfer-fa2"](), CASES[0])
    assert not [name for name in errors if "token-major" in name]
    assert len([note for note in notes if "32 bits" in note]) == 2


@pytest.mark.parametrize("kernel", [Math(), Flex(compiled=False)], ids=["sdpa-math", "flex"])
def test_what_a_cpu_has_runs_on_spans(session: kvspan.Session, kernel: Kernel) -> None:
    for case in CASES:
        errors, notes = outcome(session, kernel, case)
        if kernel.name == "FlexAttention" and not case.even:
            assert not errors
        else:
            assert memories_of(errors) == CONTIGUOUS, notes
            assert max(errors.values()) < 1e-5


def test_a_wrong_result_is_noted_and_not_timed(session: kvspan.Session) -> None:
    class Wrong(Math):
        name = "wrong"

        def contiguous(self, problem: Any, memory: Any) -> Any:
            (call,) = super().contiguous(problem, memory)
            spoilt = {"kvspan": lambda out: out * 1.5, "malloc": lambda out: out * float("nan")}
            return [type(call)(call.run, spoilt[memory.owner], call.how)]

    errors, notes = outcome(session, Wrong(), CASES[2])
    assert not errors
    assert len([note for note in notes if "wrong by 0.5" in note]) == 2
    assert len([note for note in notes if "wrong by inf" in note]) == 2
