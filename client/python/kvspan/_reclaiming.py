"""Giving back when others wait: what is idle, and, if that is not enough and more is asked for, what
the engine preempts. All of it on threads of its own: steps go on beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import Final

from ._link import Link, settle
from .errors import KvspanError
from .events import Listeners, Reclaim, log

#: Between looks at memory that the GPU is not done with, in seconds.
_FENCE_PAUSE: Final = 0.005

#: How many bytes are missing, and in how many seconds they help; returns how many bytes it has
#: preempted, in slots that it has freed. None: it does not know.
OnReclaim = Callable[[int, float], "int | None"]


@dataclass(frozen=True)
class Asked:
    """A reclaim of the daemon's."""

    reclaim_id: int
    wanted_bytes: int
    deadline_ms: int
    #: Only what lies idle.
    idle_only: bool


@dataclass(frozen=True)
class ReclaimOwner:
    closing: Callable[[], bool]
    #: Magazine, idle spans, look-ahead, in this order; acknowledged by the daemon.
    give_back: Callable[[int], int]
    #: No memory is asked for ahead of need for a while.
    hold_back: Callable[[], None]


class Reclaiming:
    def __init__(
        self, owner: ReclaimOwner, listeners: Listeners, on_reclaim: OnReclaim | None
    ) -> None:
        self._owner = owner
        self._listeners = listeners
        self._on_reclaim = on_reclaim
        #: The engine's callbacks have not come back: they are not called a second time meanwhile.
        self._asking = threading.Lock()

    def begin(self, link: Link, asked: Asked) -> None:
        """On a thread of its own: giving back waits for answers that the stream's thread reads."""

        def work() -> None:
            try:
                self._answer(link, asked)
            except KvspanError as failure:
                log.debug("reclaim: %s", failure)

        threading.Thread(target=work, name="kvspan reclaim", daemon=True).start()

    def _answer(self, link: Link, asked: Asked) -> None:
        if self._owner.closing():
            return
        until = time.monotonic() + asked.deadline_ms / 1000
        self._owner.hold_back()
        returned = self._owner.give_back(asked.wanted_bytes)
        short = 0 if asked.idle_only else max(0, asked.wanted_bytes - returned)
        event = Reclaim(
            asked.wanted_bytes, returned, short, asked.deadline_ms, idle_only=asked.idle_only
        )
        told = self._ask(event, until)
        if short > 0:
            returned += self._preempted(short, told, until)
        link.report_reclaim(asked.reclaim_id, returned)

    def _ask(self, event: Reclaim, until: float) -> Future[int]:
        """Listeners, then the engine's callback, if more is wanted of it; what it says, or 0 while an
        earlier one has not come back. Whoever blocks keeps only himself."""
        told: Future[int] = Future()
        if not self._asking.acquire(blocking=False):
            settle(told, 0)
            return told

        def work() -> None:
            try:
                self._listeners.emit(event)
                settle(told, self._call(event.shortfall_bytes, until))
            finally:
                self._asking.release()
                settle(told, 0)

        threading.Thread(target=work, name="kvspan preempt", daemon=True).start()
        return told

    def _call(self, size_bytes: int, until: float) -> int:
        if self._on_reclaim is None or size_bytes == 0:
            return 0
        try:
            told = self._on_reclaim(size_bytes, max(0.0, until - time.monotonic()))
        except Exception:
            # The engine's own mistake must not keep what is idle from those who wait.
            log.exception("on_reclaim failed")
            return 0
        return told if isinstance(told, int) and told > 0 else 0

    def _preempted(self, size_bytes: int, told: Future[int], until: float) -> int:
        """What the engine preempts, as far as it is free by then."""
        wait_for([told], max(0.0, until - time.monotonic()))
        expected = min(size_bytes, told.result()) if told.done() else 0
        returned = 0
        while not self._owner.closing():
            returned += self._owner.give_back(size_bytes - returned)
            # What was preempted is given when the GPU is done with it, as long as the daemon waits.
            if returned >= expected or time.monotonic() >= until:
                break
            time.sleep(_FENCE_PAUSE)
        return returned
