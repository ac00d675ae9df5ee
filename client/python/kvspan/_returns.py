"""Memory on its way back. The native core says which extents it has released; they are told to the
daemon in batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, Protocol

from ._link import ANSWER_TIMEOUT
from .v1 import memory_pb2 as memory

#: Extents in one Return message: 32 KiB of ids.
_RETURN_EXTENTS_MAX: Final = 4096
_UNKNOWN: Final = frozenset({"EXTENT_UNKNOWN", "EXTENT_RETURNED", "EXTENT_FOREIGN"})


class ReturnPath(Protocol):
    """Whoever takes what comes back: a session's link, or what is left of it once it was evicted."""

    @property
    def is_open(self) -> bool: ...

    def give_back(self, extent_ids: Sequence[int]) -> Future[memory.ExchangeResponse]: ...


class Returns:
    def __init__(self, link: Callable[[], ReturnPath | None]) -> None:
        self._link = link
        self._changed = threading.Condition()
        self._queue: list[int] = []
        self._in_flight = 0
        #: Given back to the daemon, and acknowledged by it.
        self.returned_bytes = 0
        #: Extents that the daemon did not have on this session's account.
        self.unknown_extents = 0

    @property
    def told(self) -> bool:
        """Nothing waits to be told or to be acknowledged."""
        with self._changed:
            return not self._queue and self._in_flight == 0

    def add(self, extent_ids: Sequence[int]) -> None:
        """They are told as soon as somebody can be told."""
        with self._changed:
            self._queue.extend(extent_ids)
        self.resume()

    def resume(self) -> None:
        """The stream is there, for the first time or again."""
        link = self._link()
        if link is None:
            return
        with self._changed:
            waiting, self._queue = self._queue, []
            batches = [
                waiting[first : first + _RETURN_EXTENTS_MAX]
                for first in range(0, len(waiting), _RETURN_EXTENTS_MAX)
            ]
            self._in_flight += len(batches)
        for batch in batches:
            self._send(link, batch)

    def acknowledged(self, timeout: float = ANSWER_TIMEOUT) -> bool:
        """Waits until all that was added so far is acknowledged, or is known not to be."""
        with self._changed:
            return self._changed.wait_for(lambda: self._in_flight == 0, timeout)

    def _send(self, link: ReturnPath, batch: list[int]) -> None:
        link.give_back(batch).add_done_callback(lambda done: self._answered(link, batch, done))

    def _answered(
        self, link: ReturnPath, batch: list[int], answer: Future[memory.ExchangeResponse]
    ) -> None:
        """The daemon takes all of a batch or nothing. An extent that it does not know must not keep
        the rest charged, so a refused batch is halved until the odd one is alone."""
        refusal = answer.exception()
        unknown = getattr(refusal, "code", "") in _UNKNOWN
        halves: list[list[int]] = []
        with self._changed:
            self._in_flight -= 1
            if refusal is None:
                self.returned_bytes += answer.result().returned.returned_bytes
            elif unknown and len(batch) == 1:
                self.unknown_extents += 1
            elif unknown:
                middle = len(batch) // 2
                halves = [batch[:middle], batch[middle:]]
                self._in_flight += 2
            else:
                # Nobody knows whether it was taken; telling it twice does no harm. The next link
                # hears of it.
                self._queue.extend(batch)
            self._changed.notify_all()
        for half in halves:
            self._send(link, half)
        # One that was made while this answer was on its way has not been told.
        if refusal is not None and self._link() not in (None, link):
            self.resume()
