"""The bench: each model and trace through the same engine, once for every manager of memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import kvspan
import torch
from pybench.daemon import BenchError, PrivateDaemon, commit_of
from pybench.results import Results, say, table
from pybench.trace import Request, Trace, drawn, read_trace

from .engine import Engine, Served, Settings
from .kernels.base import Kernels
from .kernels.flashinfer import FlashInferPaged, contiguous
from .kernels.gather import Gather
from .kernels.torch_fa2 import TorchFa2
from .manager import Limits, Manager
from .managers.blocks import Blocks
from .managers.preallocated import Preallocated
from .managers.spans import Spans
from .model import Model
from .rows import agreement, rows_of, said_by
from .shapes import SHAPES, ModelShape

_GIB: Final = 1 << 30
MANAGERS: Final = ("kvspan", "paged", "preallocated")
KERNELS: Final = ("auto", "flashinfer", "torch", "gather")
#: What is verified: everybody at once, with room for all, so that every pass is the same.
_VERIFIED: Final = 12
_VERIFIED_TOKENS: Final = (300, 12)
_POSITIONS_MIN: Final = 8192
_WARM_UP: Final = [Request(0.0, 700, 3), Request(0.0, 40, 6), Request(0.0, 3000, 2)]


@dataclass(frozen=True)
class Options:
    launcher: str | None
    out: Path
    cpu: bool
    models: tuple[str, ...]
    traces: tuple[str, ...]
    managers: tuple[str, ...]
    kernels: str
    prefill: str
    layout: str
    requests: int
    seconds: float
    budget_s: float
    time_scale: float
    tokens_max: int | None
    pool_gib: float
    batch_max: int
    prefill_budget: int


class Bench:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._until = time.monotonic() + options.budget_s
        self._backend = "host" if options.cpu else "cuda"
        self._device = torch.device("cpu") if options.cpu else torch.device("cuda:0")
        self._dtype = torch.float32 if options.cpu else torch.bfloat16
        self._pool_bytes = int(options.pool_gib * _GIB)
        name = "serving-smoke" if options.cpu else "serving"
        self._results = Results(name, self._backend, commit_of(options.launcher), options.out)
        self._results.libraries["torch"] = torch.__version__
        self._kernels = self._chosen_kernels()
        say(self._results.describe())

    def run(self) -> int:
        options = self._options
        for name in options.models:
            shape = SHAPES[name]
            for trace in self._traces():
                self._trace(shape, trace)
        say(table(self._results.rows))
        say(f"written to {self._results.write()}")
        return 0 if self._results.rows else 1

    def _traces(self) -> list[Trace]:
        options = self._options
        found = [read_trace(path, options.requests) for path in options.traces]
        found = found or [drawn(options.requests, *((40, 8) if options.cpu else (2048, 200)))]
        return [self._shaped(trace) for trace in found]

    def _shaped(self, trace: Trace) -> Trace:
        """Scaled in time; requests that are longer than asked for are left out, and that is noted."""
        options = self._options
        longest = options.tokens_max or trace.longest
        kept = [one for one in trace.requests if one.prompt_tokens + one.answer_tokens <= longest]
        if not kept:
            raise BenchError(f"--tokens-max: got {longest}, allowed: as long as a request of {trace.name}")
        if len(kept) < len(trace.requests):
            left_out = len(trace.requests) - len(kept)
            text = f"{left_out} of {len(trace.requests)} requests are longer than {longest} tokens"
            self._results.note(trace.name, "left out", text)
        first = min(one.arrival_s for one in kept)
        scaled = [
            Request((one.arrival_s - first) * options.time_scale, one.prompt_tokens, one.answer_tokens)
            for one in kept
        ]
        return Trace(trace.name, tuple(scaled))

    def _trace(self, shape: ModelShape, trace: Trace) -> None:
        limits = Limits(self._pool_bytes, self._options.batch_max, trace.longest)
        # What is verified and what warms up is no longer than this.
        positions = max(trace.longest, _POSITIONS_MIN)
        model = Model(shape, positions, self._dtype, self._device)
        pool = f"{self._options.pool_gib:g} GiB"
        case = f"{shape.name}, {trace.name}: {len(trace.requests)} requests in {pool}"
        self._verify(shape, model)
        said: dict[int, list[int]] | None = None
        for name in self._options.managers:
            if time.monotonic() > self._until:
                self._results.note(case, name, "not run: the time was spent (--budget-s)")
                continue
            said = self._serve(case, name, shape, model, trace, limits, said)
        del model
        self._tidy()

    def _serve(
        self,
        case: str,
        name: str,
        shape: ModelShape,
        model: Model,
        trace: Trace,
        limits: Limits,
        said: dict[int, list[int]] | None,
    ) -> dict[int, list[int]] | None:
        say(f"{time.strftime('%H:%M:%S')}  {case}: {name}")
        options = self._options
        seconds = min(options.seconds, max(5.0, self._until - time.monotonic()))
        settings = Settings(options.batch_max, options.prefill_budget, seconds)
        try:
            with self._manager(name, shape, limits) as manager:
                kernels = self._kernels(manager, shape)
                fitting = [one for one in _WARM_UP if one.prompt_tokens + 9 < limits.tokens_max]
                # However long just-in-time builds take.
                patient = replace(settings, seconds_max=float("inf"))
                self._engine(model, manager, kernels, fitting, patient).run()
                requests = list(trace.requests)
                served = self._engine(model, manager, kernels, requests, settings).run()
                shown = manager.name
                self._results.note(case, shown, f"{kernels.how}; {_ended(served, len(requests))}")
                del kernels
            self._results.rows += rows_of(case, shown, served)
            mine = said_by(served)
            if said is not None:
                self._results.rows.append(agreement(case, shown, mine, said))
            self._results.write()
            return mine if said is None else said
        except (RuntimeError, MemoryError, ValueError, ImportError, kvspan.KvspanError) as failure:
            text = " ".join(f"{type(failure).__name__}: {failure}".split())[:300]
            self._results.note(case, name, f"failed: {text}")
            say(f"{case}: {name}: failed: {text}")
            self._results.write()
            return said

    def _verify(self, shape: ModelShape, model: Model) -> None:
        """All managers, by one and the same attention over rows found through their addresses."""
        case = f"{shape.name}: verified"
        if any(row.case == case for row in self._results.rows):
            return
        trace = drawn(_VERIFIED, *((30, 6) if self._options.cpu else _VERIFIED_TOKENS), seed=5)
        limits = Limits(min(self._pool_bytes, 8 * _GIB), _VERIFIED, trace.longest)
        settings = Settings(_VERIFIED, 10**9)
        said: dict[int, list[int]] | None = None
        for name in self._options.managers:
            with self._manager(name, shape, limits) as manager:
                gather = Gather(manager, shape, self._device)
                served = self._engine(model, manager, gather, list(trace.requests), settings).run()
                shown = manager.name
                del gather
            mine = said_by(served)
            self._results.rows.append(agreement(case, shown, mine, said or mine))
            self._results.note(case, shown, f"{Gather.how}; {_ended(served, len(trace.requests))}")
            said = said or mine
        self._results.write()

    def _engine(
        self,
        model: Model,
        manager: Manager,
        kernels: Kernels,
        requests: list[Request],
        settings: Settings,
    ) -> Engine:
        return Engine(model, manager, kernels, requests, settings, self._device)

    @contextmanager
    def _manager(self, name: str, shape: ModelShape, limits: Limits) -> Iterator[Manager]:
        manager: Manager
        arguments = (shape, limits, self._dtype, self._device)
        if name == "kvspan":
            launcher = self._options.launcher
            with PrivateDaemon(launcher, self._backend, limits.pool_bytes) as daemon:
                with daemon.connect() as session:
                    manager = Spans(session, *arguments, layout=self._options.layout)
                    try:
                        yield manager
                    finally:
                        gc.collect()
                        manager.close()
        else:
            manager = (Blocks if name == "paged" else Preallocated)(*arguments)
            yield manager
            manager.close()
        del manager
        self._tidy()

    def _tidy(self) -> None:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _chosen_kernels(self) -> Callable[[Manager, ModelShape], Kernels]:
        chosen = self._options.kernels
        if chosen == "auto":
            chosen = "gather" if self._options.cpu else "flashinfer" if _has_flashinfer() else "torch"
        if chosen == "flashinfer":
            import flashinfer

            self._results.libraries["flashinfer"] = flashinfer.__version__
        makers: dict[str, Any] = {
            "gather": lambda manager, shape: Gather(manager, shape, self._device),
            "torch": lambda manager, shape: TorchFa2(manager, shape, self._device),
            "flashinfer": self._flashinfer,
        }
        maker: Callable[[Manager, ModelShape], Kernels] = makers[chosen]
        return maker

    def _flashinfer(self, manager: Manager, shape: ModelShape) -> Kernels:
        arguments = (manager, shape, self._dtype, self._device, self._options.prefill)
        return FlashInferPaged(*arguments) if isinstance(manager, Blocks) else contiguous(*arguments)


def _has_flashinfer() -> bool:
    try:
        import flashinfer  # noqa: F401
    except ImportError:
        return False
    return True


def _ended(served: Served, requests: int) -> str:
    ended = sum(one.done for one in served.requests)
    return f"{ended} of {requests} requests ended in {served.seconds:.1f} s, {len(served.passes)} passes"
