"""The mapper's background refills: the magazine fell below its low-water mark, or a slot will need
more soon. Nobody waits for them, so they take what is to be had and back off when refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Protocol

from ._grants import Flight, Granted, Wish

_RETRY_FIRST_MS: Final = 50
_RETRY_MAX_MS: Final = 2_000
#: After giving memory back to others, in seconds: taking it again at once would take it from them.
_AFTER_RECLAIM: Final = 0.5
#: So often it is looked for what slots with a promise will need, while others must wait for longer.
_DRAW_AHEAD_MS: Final = 50


class Promises(Protocol):
    """What memory is promised to, and is not grown into yet."""

    @property
    def growing(self) -> bool: ...

    def draw_ahead(self) -> list[Flight]:
        """Draws what their slots will need next."""
        ...


class MapperWishes:
    """``ask`` may raise; ``done`` tells the mapper when it may wish again, in milliseconds."""

    def __init__(
        self,
        page_bytes: int,
        promises: Promises,
        ask: Callable[[Wish], Flight],
        done: Callable[[int], None],
    ) -> None:
        self._page_bytes = page_bytes
        self._promises = promises
        self._ask = ask
        self._done = done
        self._retry_ms = 0
        self._not_before = 0.0

    def wish(self, counts: tuple[int, ...]) -> None:
        """The mapper asks; it is answered exactly once."""
        # What is promised is not asked for, and is given back to nobody: it need not wait.
        drawn = self._promises.draw_ahead()
        if drawn:
            return self._when_all(drawn)
        hold = self._not_before - time.monotonic()
        if hold > 0:
            return self._done(self._again(int(hold * 1000) + 1))
        try:
            flight = self._ask(Wish(counts, self._page_bytes, 0.0))
        except Exception:
            return self._refused()
        flight.outcome.add_done_callback(self._answered)

    def hold_back(self) -> None:
        """Memory went to others."""
        self._not_before = max(self._not_before, time.monotonic() + _AFTER_RECLAIM)

    def _when_all(self, flights: list[Flight]) -> None:
        left = len(flights)
        lock = threading.Lock()

        def one_done() -> None:
            nonlocal left
            with lock:
                left -= 1
                last = left == 0
            if last:
                self._done(0)

        for flight in flights:
            flight.outcome.add_done_callback(lambda _: one_done())

    def _answered(self, outcome: Future[Granted]) -> None:
        if outcome.exception() is not None:
            return self._refused()
        self._retry_ms = 0
        self._done(0)

    def _refused(self) -> None:
        self._retry_ms = min(_RETRY_MAX_MS, max(_RETRY_FIRST_MS, self._retry_ms * 2))
        retry_at = time.monotonic() + self._retry_ms / 1000
        self._not_before = max(self._not_before, retry_at)
        self._done(self._again(self._retry_ms))

    def _again(self, wait_ms: int) -> int:
        """Soon, if there is something to draw that nobody else has."""
        return min(wait_ms, _DRAW_AHEAD_MS) if self._promises.growing else wait_ms
