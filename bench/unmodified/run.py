"""The bench: what is to be measured in which order, and the processes that do it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pybench.daemon import BenchError, PrivateDaemon, commit_of
from pybench.results import Results, Row, say, table
from pybench.trace import Trace, drawn, read_trace

from .cases import Case, Shape, cases_of
from .work import MARK, Job

_GIB: Final = 1 << 30
#: Just-in-time builds among them.
_SILENT_MAX_S: Final = 330.0
_MAX_JOBS: Final = "5"
#: Kernels that are measured together, the dear ones last.
_GROUPS_GPU: Final = (
    ("fa2", "sdpa-flash", "sdpa-cudnn", "sdpa-efficient", "triton"),
    ("cudnn-frontend", "flashinfer-fa2", "flashinfer-in-order", "flashinfer-decode"),
    ("flashinfer-fa3",),
    ("flex",),
)
_GROUPS_CPU: Final = (("sdpa-math", "flex"),)
#: Each shape and stride is compiled for seconds: a few will do.
_FLEX_CASES: Final = ("decode, 64 x 4096", "decode, 8 x 16384", "prefill, 16384")
#: A tenth of a second a run: of each library its best will do.
_LONG_CASE: Final = "prefill, 65536"
_LONG_KERNELS: Final = ("fa2", "sdpa-cudnn", "flashinfer-fa2", "flashinfer-fa3")
#: What FlashInfer builds, begun at once beside the first measurements.
_BUILDS: Final = {
    "flashinfer-fa2": "fa2",
    "flashinfer-in-order": "fa2",
    "flashinfer-decode": "decode",
    "flashinfer-fa3": "fa3",
}


@dataclass(frozen=True)
class Options:
    launcher: str | None
    out: Path
    cpu: bool
    smoke: bool
    only: tuple[str, ...]
    cases: tuple[str, ...]
    trace: str | None
    runs: int
    budget_s: float
    span_gib: float


def kernels_of(options: Options) -> list[list[str]]:
    groups = _GROUPS_CPU if options.cpu else _GROUPS_GPU
    known = [name for group in groups for name in group]
    for name in options.only:
        if name not in known:
            raise BenchError(f"--only: got {name}, allowed: {', '.join(known)}")
    chosen = [
        [name for name in group if not options.only or name in options.only] for group in groups
    ]
    return [group for group in chosen if group]


def chosen_cases(options: Options) -> list[Case]:
    trace: Trace
    small = options.smoke or options.cpu
    if small:
        trace = drawn(20, 60, 12)
    else:
        trace = read_trace(options.trace) if options.trace else drawn(500, 4096, 300)
    cases = cases_of(small, trace)
    found = [
        case for case in cases if not options.cases or any(part in case.name for part in options.cases)
    ]
    if not found:
        names = "; ".join(case.name for case in cases)
        raise BenchError(f"--cases: got {', '.join(options.cases)}, allowed: parts of: {names}")
    return found


def run(options: Options) -> int:
    groups, cases = kernels_of(options), chosen_cases(options)
    backend = "host" if options.cpu else "cuda"
    small = options.smoke or options.cpu
    name = "unmodified-kernels-smoke" if small else "unmodified-kernels"
    results = Results(name, backend, commit_of(options.launcher), options.out)
    say(results.describe())
    shape = Shape(4, 2, 32) if options.cpu else Shape()
    pool_bytes = _GIB if options.cpu else int((options.span_gib + 12) * _GIB)
    builds = [] if options.cpu else _start_builds({name for group in groups for name in group})
    began = time.monotonic()
    try:
        with PrivateDaemon(options.launcher, backend, pool_bytes) as daemon:
            table_of = Table(options, results, daemon.directory, shape, began + options.budget_s)
            for group in groups:
                items = [(case, [one for one in group if _taken(one, case, small)]) for case in cases]
                table_of.fill([(case, names) for case, names in items if names])
    finally:
        for build in builds:
            build.kill()
    say(table(results.rows))
    for note in results.notes:
        say(f"{note['case']}: {note['way']}: {note['text']}")
    say(f"written to {results.write()}")
    return 0 if results.rows else 1


def _taken(kernel: str, case: Case, small: bool) -> bool:
    if kernel == "flashinfer-decode" and not case.decode:
        return False
    if kernel == "flashinfer-fa3" and case.decode:
        return False
    if case.name == _LONG_CASE and kernel not in _LONG_KERNELS:
        return False
    return kernel != "flex" or small or case.name in _FLEX_CASES


def _start_builds(kernels: set[str]) -> list[subprocess.Popen[bytes]]:
    wanted = {_BUILDS[name] for name in kernels if name in _BUILDS}
    script = str(Path(__file__).with_name("build.py"))
    environment = {**os.environ, "MAX_JOBS": _MAX_JOBS}
    return [
        subprocess.Popen(
            [sys.executable, script, template], env=environment, stdout=subprocess.DEVNULL
        )
        for template in sorted(wanted)
    ]


class Table:
    """Fills the results, by as many processes as it takes."""

    def __init__(
        self, options: Options, results: Results, directory: str, shape: Shape, until: float
    ) -> None:
        self._options = options
        self._results = results
        self._directory = directory
        self._shape = shape
        self._until = until

    def fill(self, items: Sequence[tuple[Case, list[str]]]) -> None:
        left = [(case, list(names)) for case, names in items]
        while left:
            if time.monotonic() > self._until:
                return self._skip(left)
            reached, why = self._process(left)
            left = _without(left, reached)
            if why is None and left:
                why = "the process that measures ended without a word"
            if why is not None and left:
                case, names = left[0]
                self._results.note(case.name, names[0], f"failed: {why}")
                left = _without(left, {(case.name, names[0])})
            self._results.write()

    def _skip(self, left: Sequence[tuple[Case, list[str]]]) -> None:
        for case, names in left:
            for name in names:
                self._results.note(case.name, name, "not run: the time was spent (--budget-s)")

    def _process(
        self, left: Sequence[tuple[Case, list[str]]]
    ) -> tuple[set[tuple[str, str]], str | None]:
        """What was measured, and why it ended before its end, if it did."""
        options = self._options
        span_bytes = int(options.span_gib * _GIB)
        on_gpu = not options.cpu
        job = Job(self._directory, on_gpu, self._shape, options.runs, span_bytes, list(left))
        entry = str(Path(__file__).parent)
        worker = subprocess.Popen(
            [sys.executable, entry, "--work", job.as_json()], stdout=subprocess.PIPE, text=True
        )
        lines = _lines_of(worker)
        reached: set[tuple[str, str]] = set()
        why: str | None = None
        while True:
            wait = min(_SILENT_MAX_S, max(1.0, self._until - time.monotonic()))
            try:
                line = lines.get(timeout=wait)
            except queue.Empty:
                over = time.monotonic() >= self._until
                why = "the time was spent (--budget-s)" if over else f"silent for {wait:.0f} s"
                worker.kill()
                break
            if line is None:
                break
            told = self._hear(line)
            if told is None:
                continue
            if told["kind"] == "measured":
                reached.add((told["case"], told["kernel"]))
            elif told["kind"] == "fatal":
                why = str(told["text"])
        status = worker.wait()
        if status != 0 and why is None:
            why = f"the process that measures ended with {status}"
        return reached, why

    def _hear(self, line: str) -> dict[str, Any] | None:
        if not line.startswith(MARK):
            sys.stderr.write(line)
            return None
        told: dict[str, Any] = json.loads(line[len(MARK) :])
        if told["kind"] == "measured":
            self._results.rows += [Row(**one) for one in told["rows"]]
            self._results.notes += told["notes"]
            self._results.write()
        elif told["kind"] == "begin":
            say(f"{time.strftime('%H:%M:%S')}  {told['kernel']}: {told['case']}")
        elif told["kind"] == "libraries":
            self._results.libraries.update(told["versions"])
        return told


def _without(
    items: Sequence[tuple[Case, list[str]]], done: set[tuple[str, str]]
) -> list[tuple[Case, list[str]]]:
    left = [(case, [one for one in names if (case.name, one) not in done]) for case, names in items]
    return [(case, names) for case, names in left if names]


def _lines_of(worker: subprocess.Popen[str]) -> queue.Queue[str | None]:
    """Its output line by line, as it comes; None: there is no more."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert worker.stdout is not None
        for line in worker.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines
