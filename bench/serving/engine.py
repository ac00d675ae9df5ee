"""The loop: who ended goes, who waits comes, everybody's next token gets memory, and a forward pass runs.
Every pass ends when its tokens are on the host."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from pybench.trace import Request

from .kernels.base import Batch, Kernels, batch_of
from .manager import Manager, Usage, to_device
from .model import Model
from .scheduler import Pass, Running, Scheduler

#: Asking a manager for its books costs time, and is no part of a pass.
_USAGE_EVERY = 8


@dataclass(frozen=True)
class PassTimes:
    """Microseconds of the host, and who took part."""

    memory: float
    tables: float
    plans: float
    whole: float
    decodes: int
    prefill_tokens: int
    running: int


@dataclass
class Served:
    passes: list[PassTimes] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    #: Ended and running ones.
    requests: list[Running] = field(default_factory=list)
    #: Arrived, and not admitted when the time was over.
    waiting: list[Running] = field(default_factory=list)
    seconds: float = 0.0
    #: Time that nobody was there to be served, taken out of it.
    skipped_s: float = 0.0
    preempted: int = 0
    failed: int = 0

    @property
    def generated(self) -> int:
        return sum(len(one.said) for one in self.requests)

    @property
    def prefilled(self) -> int:
        return sum(one.prefill_tokens for one in self.passes)


@dataclass(frozen=True)
class Settings:
    batch_max: int
    prefill_budget: int
    #: Wall clock after which no pass is begun.
    seconds_max: float = float("inf")


class Engine:
    def __init__(
        self,
        model: Model,
        manager: Manager,
        kernels: Kernels,
        requests: list[Request],
        settings: Settings,
        device: torch.device,
    ) -> None:
        self._model, self._manager, self._kernels = model, manager, kernels
        self._scheduler = Scheduler(requests, settings.batch_max)
        self._settings = settings
        self._device = device
        self._served = Served()
        self._prompts: dict[int, torch.Tensor] = {}

    def run(self) -> Served:
        served, scheduler = self._served, self._scheduler
        start = time.perf_counter()
        while not scheduler.done and self._wall(start) < self._settings.seconds_max:
            self._skip_idle(start)
            self._pass(start)
        served.seconds = self._wall(start)
        now = served.seconds + served.skipped_s
        served.waiting = [one for one in scheduler.waiting if one.arrival_s <= now]
        served.requests = [*scheduler.ended, *scheduler.running]
        served.preempted, served.failed = scheduler.preempted, scheduler.failed
        for one in scheduler.running:
            self._manager.free(one.handle)
        return served

    @staticmethod
    def _wall(start: float) -> float:
        return time.perf_counter() - start

    def _skip_idle(self, start: float) -> None:
        """Nobody runs and the next one has not arrived: the clock of the trace is put forward."""
        waiting = self._scheduler.waiting
        if self._scheduler.running or not waiting:
            return
        early = waiting[0].arrival_s - self._wall(start) - self._served.skipped_s
        if early > 0:
            self._served.skipped_s += early

    def _pass(self, start: float) -> None:
        begin = time.perf_counter()
        now = self._wall(start) + self._served.skipped_s
        memory_us = _timed(lambda: self._memory(now))
        one = self._plan()
        grow_us = 0.0
        while one.requests:
            short, us = _timed_result(lambda one=one: self._manager.grow(_growing(one)))  # type: ignore[misc]
            grow_us += us
            if not short:
                break
            self._manager.free(self._scheduler.preempt().handle)
            one = self._plan()
        if not one.requests:
            return
        batch = batch_of(one)
        tables_us = _timed(lambda: self._kernels.publish(batch))
        plans_us = _timed(self._kernels.plan)
        tokens = self._forward(one, batch)
        self._commit(one, tokens, self._wall(start) + self._served.skipped_s)
        whole = (time.perf_counter() - begin) * 1e6
        self._record(one, memory_us + grow_us, tables_us, plans_us, whole)

    def _memory(self, now_s: float) -> None:
        """Who is done gives his memory up; who waits gets it."""
        scheduler, manager = self._scheduler, self._manager
        for one in [each for each in scheduler.running if each.done]:
            manager.free(one.handle)
            scheduler.finish(one)
            self._prompts.pop(one.index, None)
        while (one_more := scheduler.next(now_s)) is not None:
            handle = manager.admit(one_more.prompt_tokens + len(one_more.said))
            if handle is None:
                return scheduler.refuse(one_more)
            scheduler.admit(one_more, handle)

    def _plan(self) -> Pass:
        return self._scheduler.plan(self._settings.prefill_budget)

    def _forward(self, one: Pass, batch: Batch) -> list[int]:
        tokens = self._tokens(one)
        positions = to_device(batch.positions, self._device)
        last_rows = to_device(batch.row_starts[1:] - 1, self._device)
        said: list[int] = self._model.forward(tokens, positions, last_rows, self._kernels).tolist()
        return said

    def _tokens(self, one: Pass) -> torch.Tensor:
        """Those that are new in this pass: what was said last, or a chunk of the prompt."""
        last = [request.said[-1] for request in one.requests[: one.decodes]]
        parts = [torch.tensor(last, dtype=torch.int64, device=self._device)] if last else []
        for request, count in zip(one.requests[one.decodes :], one.counts[one.decodes :]):
            parts.append(self._prompt(request)[request.written : request.written + count])
        return torch.cat(parts)

    def _prompt(self, request: Running) -> torch.Tensor:
        """Drawn by the request's number; behind it what was said before a preemption."""
        known = self._prompts.get(request.index)
        if known is None or len(known) < request.to_prefill:
            generator = torch.Generator().manual_seed(request.index)
            size = (request.prompt_tokens,)
            drawn = torch.randint(self._model.shape.vocabulary, size, generator=generator)
            known = torch.cat((drawn, torch.tensor(request.said, dtype=torch.int64)))
            known = self._prompts[request.index] = known.to(self._device)
        return known

    def _commit(self, one: Pass, tokens: list[int], now_s: float) -> None:
        for request, count, token in zip(one.requests, one.counts, tokens):
            request.written += count
            if request.prefilling:
                continue
            request.said.append(token)
            request.last_token_s = now_s
            if request.first_token_s is None:
                request.first_token_s = now_s

    def _record(self, one: Pass, memory: float, tables: float, plans: float, whole: float) -> None:
        served = self._served
        prefill = sum(one.counts[one.decodes :])
        running = len(self._scheduler.running)
        served.passes.append(
            PassTimes(memory, tables, plans, whole, one.decodes, prefill, running)
        )
        if len(served.passes) % _USAGE_EVERY == 1:
            served.usage.append(self._manager.usage())


def _growing(one: Pass) -> dict[int, int]:
    """A prompt has its memory from the beginning; who decodes needs a token more."""
    decoding = one.requests[: one.decodes]
    return {request.handle: request.written + 1 for request in decoding}


def _timed(work: Callable[[], Any]) -> float:
    return _timed_result(work)[1]


def _timed_result(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - begin) * 1e6
