"""bench/serving without a GPU: the engine over every manager and every way of attention says the same tokens,
with and without preemption, by libraries that compute on the CPU what the real ones compute."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kvspan
import pytest
from support import ROOT, SMALL, TOKENS_PER_PAGE, Daemon

torch: Any = pytest.importorskip("torch", reason="torch is not installed")
sys.path.insert(0, str(ROOT / "bench"))

import fake_flashinfer  # noqa: E402
import numpy as np  # noqa: E402
from pybench.trace import Request, drawn, read_trace  # noqa: E402
from serving.engine import Engine, Served, Settings  # noqa: E402
from serving.kernels.base import Batch, Kernels  # noqa: E402
from serving.kernels.flashinfer import (  # noqa: E402
    FlashInferMixed,
    FlashInferPaged,
    FlashInferRagged,
    contiguous,
)
from serving.kernels.gather import Gather  # noqa: E402
from serving.kernels.torch_fa2 import TorchFa2  # noqa: E402
from serving.manager import Limits, Manager  # noqa: E402
from serving.managers.blocks import Blocks  # noqa: E402
from serving.managers.preallocated import Preallocated  # noqa: E402
from serving.managers.spans import Spans  # noqa: E402
from serving.model import Model  # noqa: E402
from serving.rows import agreement, rows_of, said_by  # noqa: E402
from serving.scheduler import Scheduler  # noqa: E402
from serving.shapes import SHAPES  # noqa: E402

SHAPE = SHAPES["tiny"]
CPU = torch.device("cpu")
FLOAT = torch.float32
REQUESTS = list(drawn(7, 40, 6, seed=3).requests)
SETTINGS = Settings(batch_max=4, prefill_budget=48)
LIMITS = Limits(32 << 20, 4, 400)

Make = Callable[[Manager], Kernels]


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setitem(sys.modules, "flashinfer", fake_flashinfer.module())
    operator = SimpleNamespace(_flash_attention_forward=fake_flashinfer.flash_attention_forward)
    monkeypatch.setattr("serving.kernels.torch_fa2._aten", operator)


@pytest.fixture(scope="module")
def model() -> Any:
    return Model(SHAPE, 512, FLOAT, CPU)


@contextmanager
def managed(session: kvspan.Session, name: str, limits: Limits = LIMITS) -> Iterator[Manager]:
    arguments = (SHAPE, limits, FLOAT, CPU)
    made: Manager
    if name.startswith("kvspan"):
        made = Spans(session, *arguments, layout=name.removeprefix("kvspan "))
    else:
        made = Blocks(*arguments) if name == "blocks" else Preallocated(*arguments)
    yield made
    made.close()


def serve(
    model: Any, manager: Manager, kernels: Kernels, requests: list[Request], settings: Settings = SETTINGS
) -> Served:
    return Engine(model, manager, kernels, requests, settings, CPU).run()


KERNELS: dict[str, Make] = {
    "gather": lambda manager: Gather(manager, SHAPE, CPU),
    "torch": lambda manager: TorchFa2(manager, SHAPE, CPU),
    "paged": lambda manager: FlashInferPaged(manager, SHAPE, FLOAT, CPU),
    "ragged": lambda manager: FlashInferRagged(manager, SHAPE, FLOAT, CPU),
    "mixed": lambda manager: FlashInferMixed(manager, SHAPE, FLOAT, CPU),
}


@pytest.fixture(scope="module")
def wanted(shared: Daemon, model: Any) -> dict[int, list[int]]:
    with shared.connect() as session, managed(session, "preallocated") as manager:
        served = serve(model, manager, KERNELS["gather"](manager), REQUESTS)
    assert [len(one.said) for one in sorted(served.requests, key=lambda each: each.index)] == [
        request.answer_tokens for request in REQUESTS
    ]
    return said_by(served)


@pytest.mark.parametrize(
    ("manager", "kernels"),
    [
        *((name, "gather") for name in ("kvspan token-major", "kvspan layer-major", "blocks")),
        *((name, "torch") for name in ("kvspan token-major", "blocks", "preallocated")),
        *((name, "paged") for name in ("kvspan token-major", "blocks", "preallocated")),
        *((name, "ragged") for name in ("kvspan token-major", "kvspan layer-major", "preallocated")),
        *((name, "mixed") for name in ("kvspan token-major", "preallocated")),
    ],
)
def test_the_tokens_are_the_same(
    session: kvspan.Session, model: Any, wanted: dict[int, list[int]], manager: str, kernels: str
) -> None:
    with managed(session, manager) as made:
        ways = KERNELS[kernels](made)
        served = serve(model, made, ways, REQUESTS)
        del ways
    assert said_by(served) == wanted
    assert served.preempted == served.failed == 0
    rows = rows_of("case", made.name, served)
    assert {row.unit for row in rows} >= {"tokens/s", "ms", "us", "GiB", "requests"}
    assert agreement("case", "x", said_by(served), wanted).median == 1


def test_blocks_that_run_out_preempt_and_the_tokens_stay(session: kvspan.Session, model: Any) -> None:
    # Five blocks each in the end, and twelve in all.
    growing = [Request(0.0, 20, 60) for _ in range(4)]
    tight = Limits(SHAPE.token_bytes(4) * 16 * 12, 4, 80)
    with managed(session, "blocks", tight) as blocks:
        served = serve(model, blocks, KERNELS["paged"](blocks), growing)
        assert served.preempted > 0
        assert blocks.usage().used_bytes == 0
    with managed(session, "preallocated") as manager:
        plenty = serve(model, manager, KERNELS["gather"](manager), growing)
        assert plenty.preempted == 0
    assert said_by(served) == said_by(plenty)


def test_spans_that_run_out_preempt_and_the_tokens_stay(daemon: Daemon) -> None:
    # 768 bytes a token: a page holds 2,730, 256 of them for who reads too far, so that three begin with
    # a page each and end with two.
    growing = [Request(0.0, 2440, 60) for _ in range(3)]
    limits, settings = Limits(1 << 30, 3, 3000), Settings(3, 4000)
    model = Model(SHAPE, 3000, FLOAT, CPU)
    with daemon.connect() as session, session.create_cache(**SMALL) as other:
        # Five pages of 32 are left, of which nobody keeps any ahead of need.
        other.allocate(27 * TOKENS_PER_PAGE)
        with managed(session, "kvspan token-major", limits) as spans:
            served = serve(model, spans, KERNELS["gather"](spans), growing, settings)
            assert served.preempted > 0
            assert [len(one.said) for one in served.requests] == [60] * 3
    with daemon.connect() as session, managed(session, "preallocated", limits) as manager:
        plenty = serve(model, manager, KERNELS["gather"](manager), growing, settings)
    assert said_by(plenty) == said_by(served)


def test_the_gaps_recipe_is_taken_only_where_32_bits_reach(
    session: kvspan.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with managed(session, "kvspan token-major") as manager:
        arguments = (manager, SHAPE, FLOAT, CPU)
        assert type(contiguous(*arguments, "fa2")) is FlashInferRagged
        monkeypatch.setattr("serving.kernels.flashinfer._INDEXED_MAX", 1000)
        assert type(contiguous(*arguments, "fa2")) is FlashInferPaged
        assert type(contiguous(*arguments, "fa3")) is FlashInferMixed


def test_a_batch_knows_where_its_rows_are() -> None:
    batch = Batch(np.array([0, 2, 5]), np.array([1, 1, 3]), np.array([10, 4, 8]), 2)
    assert batch.positions.tolist() == [9, 3, 5, 6, 7]
    assert batch.row_starts.tolist() == [0, 1, 2, 5]
    assert batch.part(True).handles.tolist() == [0, 2]
    assert batch.part(False).positions.tolist() == [5, 6, 7]


def test_the_scheduler_chunks_prompts_and_preempts_the_youngest() -> None:
    scheduler = Scheduler([Request(0, 100, 2), Request(0, 30, 2), Request(5, 10, 2)], 3)
    for handle in (1, 0):
        request = scheduler.next(0.0)
        assert request is not None
        scheduler.admit(request, handle)
    assert scheduler.next(0.0) is None
    one = scheduler.plan(64)
    assert [(each.index, count) for each, count in zip(one.requests, one.counts)] == [(0, 64)]
    scheduler.running[0].written = 64
    one = scheduler.plan(64)
    # By handle, whoever came first.
    assert [(each.index, count) for each, count in zip(one.requests, one.counts)] == [(1, 28), (0, 36)]
    assert scheduler.preempt().index == 1
    assert scheduler.next(9.0) is None
    scheduler.finish(scheduler.running[0])
    again = scheduler.next(9.0)
    assert again is not None and again.index == 1


def test_traces_of_both_formats(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"timestamp": 2000, "input_length": 7, "output_length": 3}\n'
        '{"timestamp": 1000, "input_length": 9, "output_length": 0}\n'
    )
    trace = read_trace(str(tmp_path / "a.jsonl"))
    assert [one.arrival_s for one in trace.requests] == [1.0, 2.0]
    assert (trace.name, trace.longest, trace.requests[0].answer_tokens) == ("a", 10, 1)
    (tmp_path / "b.csv").write_text("num_decode_tokens,num_prefill_tokens\n4,5\n6,7\n")
    assert [one.prompt_tokens for one in read_trace(str(tmp_path / "b.csv"), 1).requests] == [5]
    (tmp_path / "c.csv").write_text("x,y\n1,2\n")
    with pytest.raises(Exception, match="not a trace"):
        read_trace(str(tmp_path / "c.csv"))


@pytest.mark.parametrize(
    "command",
    [
        ["unmodified", "--only", "sdpa-math", "--cases", "3 x 40", "16 over", "--runs", "2"],
        ["serving", "--requests", "3"],
    ],
)
def test_the_commands_write_results_in_the_common_form(tmp_path: Path, command: list[str]) -> None:
    name, *options = command
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / name), "--cpu", "--out", str(tmp_path), *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    (path,) = tmp_path.glob("*.json")
    told = json.loads(path.read_text())
    assert told["bench"].endswith("-smoke")
    assert told["backend"] == "host"
    assert told["rows"] and told["notes"]
    assert list(told["rows"][0]) == ["case", "variant", "unit", "median", "min", "max", "n"]
    if name == "serving":
        same = [row["median"] for row in told["rows"] if row["variant"].endswith("same tokens")]
        assert same == [1.0] * 5
    else:
        errors = [row["median"] for row in told["rows"] if row["variant"].endswith("largest error")]
        assert len(errors) == 8 and max(errors) < 1e-5


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["unmodified", "--only", "nonsense"], "--only: got nonsense, allowed: sdpa-math"),
        (["unmodified", "--cases", "nonsense"], "--cases: got nonsense"),
        (["serving", "--trace", "/nowhere"], "--trace: got /nowhere"),
        (["serving", "--kvspan", "/nowhere"], "--kvspan: got /nowhere"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(
    command: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, *options = command
    monkeypatch.setattr(sys, "argv", [name, "--cpu", "--out", str(tmp_path), *options])
    assert importlib.import_module(f"{name}.__main__").main() == 1
    assert said in capsys.readouterr().err
