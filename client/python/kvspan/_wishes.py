"""The mapper's background refills: the magazine fell below its low-water mark, or a slot will need
more soon. Nobody waits for them, so they take what is to be had and back off when refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from ._grants import Flight, Granted, Wish

_RETRY_FIRST_MS: Final = 50
_RETRY_MAX_MS: Final = 2_000
#: After giving memory back to others, in seconds: taking it again at once would take it from them.
_AFTER_RECLAIM: Final = 0.5


class MapperWishes:
    """``draw_ahead`` draws what slots with a promise will need next; ``ask`` may raise; ``done`` tells
    the mapper when it may wish again, in milliseconds."""

    def __init__(
        self,
        page_bytes: int,
        draw_ahead: Callable[[], list[Flight]],
        ask: Callable[[Wish], Flight],
        done: Callable[[int], None],
    ) -> None:
        self._page_bytes = page_bytes
        self._draw_ahead = draw_ahead
        self._ask = ask
        self._done = done
        self._retry_ms = 0
        self._hold_until = 0.0

    def wish(self, counts: tuple[int, ...]) -> None:
        """The mapper asks; it is answered exactly once."""
        # What is promised is not asked for, and is given back to nobody: it need not wait.
        drawn = self._draw_ahead()
        if drawn:
            return self._when_all(drawn)
        hold = self._hold_until - time.monotonic()
        if hold > 0:
            return self._done(int(hold * 1000) + 1)
        try:
            flight = self._ask(Wish(counts, self._page_bytes, 0.0))
        except Exception:
            return self._refused()
        flight.outcome.add_done_callback(self._answered)

    def hold_back(self) -> None:
        """Memory went to others."""
        self._hold_until = time.monotonic() + _AFTER_RECLAIM

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
        self._done(self._retry_ms)
