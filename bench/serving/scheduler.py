"""Who runs: continuous batching with chunked prefill, with no memory and no clock in it.

Requests wait in the order in which they arrived. When memory runs short the youngest is preempted: it
gives its memory up, goes back to its place in the queue, and is computed again from its first token
later, with what it had already said as part of its prompt. After a preemption nobody is admitted
before somebody has ended, so that the memory given up is not taken again by the one that gave it. A
request that does not fit when it runs alone fails.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from pybench.trace import Request


@dataclass
class Running:
    """A request, waiting or running."""

    index: int
    arrival_s: float
    prompt_tokens: int
    answer_tokens: int
    #: Said so far, before preemptions too.
    said: list[int] = field(default_factory=list)
    #: Of the manager; -1: it has no memory.
    handle: int = -1
    #: Tokens whose keys and values are written.
    written: int = 0
    #: Tokens to be written before it goes on saying.
    to_prefill: int = 0
    first_token_s: float | None = None
    last_token_s: float = 0.0

    @property
    def prefilling(self) -> bool:
        return self.written < self.to_prefill

    @property
    def done(self) -> bool:
        return len(self.said) >= self.answer_tokens


@dataclass(frozen=True)
class Pass:
    """What one forward pass computes: who decodes by handle, then who prefills by handle."""

    requests: tuple[Running, ...]
    #: New tokens of each.
    counts: tuple[int, ...]
    decodes: int

    @property
    def lengths(self) -> tuple[int, ...]:
        """Of each when the new tokens are written."""
        return tuple(one.written + count for one, count in zip(self.requests, self.counts))


class Scheduler:
    def __init__(self, requests: Sequence[Request], batch_max: int) -> None:
        self._waiting = [
            Running(index, one.arrival_s, one.prompt_tokens, one.answer_tokens)
            for index, one in enumerate(requests)
        ]
        self._batch_max = batch_max
        self._held = False
        self.running: list[Running] = []
        self.ended: list[Running] = []
        self.preempted = 0
        self.failed = 0

    @property
    def done(self) -> bool:
        return not self.running and not self._waiting

    @property
    def waiting(self) -> Sequence[Running]:
        return self._waiting

    def next(self, now_s: float) -> Running | None:
        """Whom to admit; None: nobody may be now."""
        if not self._waiting or self._held or len(self.running) >= self._batch_max:
            return None
        first = self._waiting[0]
        return first if first.arrival_s <= now_s else None

    def admit(self, request: Running, handle: int) -> None:
        self._waiting.remove(request)
        request.handle, request.written = handle, 0
        request.to_prefill = request.prompt_tokens + len(request.said)
        self.running.append(request)

    def refuse(self, request: Running) -> None:
        """No memory: it waits until somebody ends, or fails if it would be alone."""
        if self.running:
            self._held = True
            return
        self._waiting.remove(request)
        self.failed += 1

    def preempt(self) -> Running:
        """The youngest; its handle is the caller's to free."""
        youngest = max(self.running, key=lambda one: one.index)
        self.running.remove(youngest)
        if not self.running:
            self.failed += 1
            self._held = False
            return youngest
        self.preempted += 1
        self._held = True
        insort(self._waiting, youngest, key=lambda one: one.index)
        return youngest

    def finish(self, request: Running) -> None:
        self.running.remove(request)
        self.ended.append(request)
        self._held = False

    def plan(self, budget: int) -> Pass:
        """Everybody who decodes gets a token; prompts are prefilled in chunks, the oldest first."""
        decodes = [one for one in self.running if not one.prefilling]
        prefills: list[tuple[Running, int]] = []
        for one in sorted(self.running, key=lambda each: each.index):
            if one.prefilling and budget > 0:
                count = min(budget, one.to_prefill - one.written)
                prefills.append((one, count))
                budget -= count
        decodes.sort(key=lambda one: one.handle)
        prefills.sort(key=lambda pair: pair[0].handle)
        requests = (*decodes, *(one for one, _ in prefills))
        counts = (*(1 for _ in decodes), *(count for _, count in prefills))
        return Pass(requests, counts, len(decodes))
