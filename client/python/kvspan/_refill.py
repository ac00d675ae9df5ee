"""Asking the daemon for what a cache lacks, on behalf of whoever waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING, Any, Final

from . import _abi
from ._grants import Flight, Wish
from ._native import NativeCache
from .errors import KvspanError, error

if TYPE_CHECKING:
    from ._requests import Requests
    from ._reservation import Reservation
    from .session import Session

#: A daemon that is asked not to wait still needs a moment to answer, in seconds.
_GRANT_ANSWER: Final = 0.25
#: While a grant waits, memory may come by other ways: so often whoever waits looks again.
_LOOK_AGAIN: Final = 0.02


class Refills:
    """A cache's requests for memory. Those of its steps go one at a time: who comes while one is on
    its way waits for it, so that a slow daemon does not collect them."""

    def __init__(self, session: Session, native: NativeCache) -> None:
        self._session = session
        self._native = native
        self._lock = threading.Lock()
        self._of_steps: Flight | None = None

    def allocate(
        self,
        tokens: int,
        until: float,
        report: _abi.Allocation,
        promise: Reservation | None = None,
    ) -> None:
        """Tries until there is a slot, with one grant after the other in flight. ``report`` is of a
        first try; if it says what is missing that is asked for at once. While a grant is on its way
        the attempt waits in the native core, on the thread that its arrival wakes. What a promise covers
        is drawn on it."""
        need = tuple(report.need)
        known = any(need)
        flight: Flight | None = None
        drawn: Flight | None = None
        asked_at = 0.0
        try:
            while True:
                if not known:
                    patience = 0 if flight is None else int(_LOOK_AGAIN * 1000)
                    self._native.allocate(tokens, patience, report, promise is not None)
                    if report.slot >= 0:
                        return
                    need = tuple(report.need)
                known = False
                now = time.monotonic()
                if flight is None:
                    asked_at = now
                    drawn = None if promise is None else self._draw(promise, need)
                    flight = drawn or self._ask(need, max(0.0, until - now))
                elif flight.arrival.done() or flight.outcome.done():
                    if flight is not drawn:
                        _check(flight, asked_at, until)
                    elif _failed(flight):
                        # It ended, or has less: the request goes on as any other.
                        promise = None
                    flight = None
                elif now > max(until, asked_at) + _GRANT_ANSWER:
                    raise error("DEADLINE_EXCEEDED", "allocate: the daemon did not answer in time")
        finally:
            if flight is not None:
                flight.withdraw()

    def for_step(
        self, cache: Requests, wanted: Mapping[int, int], need: tuple[int, ...], until: float
    ) -> bool:
        """Waits a moment for memory: what is promised to these slots, else what others have. False:
        refused, or time is up: the next try is the last."""
        left = until - time.monotonic()
        if left <= 0:
            return False
        drawn = self._session.reservations.draw(cache, wanted)
        if drawn:
            wait_for([flight.outcome for flight in drawn], left)
            if any(flight.outcome.done() and not _failed(flight) for flight in drawn):
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
        with self._lock:
            shared = self._of_steps
        try:
            flight = shared or self._begin(need, left)
        except KvspanError:
            return False
        both: list[Any] = [flight.arrival, flight.outcome]
        wait_for(both, min(left, _LOOK_AGAIN), FIRST_COMPLETED)
        if not any(one.done() for one in both):
            return True
        with self._lock:
            if self._of_steps is flight:
                self._of_steps = None
        refused = flight.outcome.done() and flight.outcome.exception() is not None
        # Somebody else's patience has ended, not this caller's.
        return shared is not None or not refused

    def _draw(self, promise: Reservation, need: tuple[int, ...]) -> Flight | None:
        flight = self._session.reservations.draw_prompt(promise, _at_least_one(need))
        if flight is not None:
            flight.outcome.add_done_callback(lambda done: self._hurry(done.exception()))
        return flight

    def _begin(self, need: tuple[int, ...], wait: float) -> Flight:
        # A page is worth having: slots grow by single pages when memory is tight.
        page = self._session.server.page_bytes
        flight = self._session.fetch(Wish(_at_least_one(need), page, wait), "Cache.step")
        with self._lock:
            self._of_steps = flight
        return flight

    def _ask(self, need: tuple[int, ...], wait: float) -> Flight:
        # All or nothing: a part of a prompt's memory would help nobody, and others lack it.
        flight = self._session.fetch(Wish(_at_least_one(need), 0, wait), "Cache.allocate")
        # It may fail while an attempt waits for it: that ends then, and the failure is seen.
        flight.outcome.add_done_callback(lambda done: self._hurry(done.exception()))
        return flight

    def _hurry(self, failure: BaseException | None) -> None:
        if failure is None:
            return
        try:
            self._native.hurry()
        except KvspanError:
            # Closed meanwhile: nobody waits.
            pass


def _failed(flight: Flight) -> bool:
    return flight.outcome.done() and flight.outcome.exception() is not None


def _check(flight: Flight, asked_at: float, until: float) -> None:
    """Raises a refusal, unless the daemon's patience has ended before the caller's: it lets no grant
    wait for longer than it likes."""
    failure = flight.outcome.exception() if flight.outcome.done() else None
    if failure is None and flight.arrival.done():
        failure = flight.arrival.exception()
    if failure is None:
        return
    now = time.monotonic()
    waited = now - asked_at > _GRANT_ANSWER
    exhausted = getattr(failure, "code", "") == "POOL_EXHAUSTED"
    if not exhausted or not waited or until - now < _GRANT_ANSWER:
        raise failure


def _at_least_one(need: tuple[int, ...]) -> tuple[int, ...]:
    """Between the native core's answer and now the magazine may have filled: ask for a page then."""
    return need if any(need) else (1,)
