"""What an engine holds in its hand: memory promised to one request."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from ._grants import Flight

if TYPE_CHECKING:
    from ._requests import Requests as Cache
    from ._reservations import Reservations

#: Why a reservation stands no more: its owner or its slot's ``free``; it was not used in time; another
#: tenant's guarantee needed what this one had borrowed; its tenant may have less than before; the daemon
#: went away, and when it was back had no room for it, or the session was evicted.
ReservationEnd = Literal["released", "lapsed", "guarantee", "entitlement", "lost"]


class Reservation:
    """Memory for one request to grow to ``tokens``, made by :meth:`Cache.reserve`. A context manager:
    leaving it releases it, unless a request has it by then."""

    def __init__(
        self,
        book: Reservations,
        cache: Cache,
        tokens: int,
        lapse: float,
        promise_id: int,
        size_bytes: int,
    ) -> None:
        self._book = book
        self._cache = cache
        self._lapse = lapse
        #: The daemon's name for it; another one after each re-establishment.
        self._id = promise_id
        self._renewed = time.monotonic()
        self._drawing: Flight | None = None
        #: A request has it, or is being allocated with it.
        self._taken = False
        #: Nothing of it is left, and the daemon knows: the slot has grown to the end.
        self._fulfilled = size_bytes == 0
        #: The length reserved.
        self.tokens = tokens
        #: Promised still: what the request has not grown into.
        self.bytes = size_bytes
        #: None: it stands.
        self.ended: ReservationEnd | None = None
        #: The slot whose request it is for; None: none yet.
        self.slot: int | None = None

    def release(self) -> None:
        """Nothing more is needed of it. ``free`` of its slot does the same. Idempotent."""
        self._book.release(self)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.slot is None:
            self.release()

    def __repr__(self) -> str:
        state = self.ended or f"{self.bytes} bytes promised"
        return f"<kvspan.Reservation of {self.tokens} tokens, {state}>"

    def gap_bytes(self) -> int:
        """What its slot still lacks; all of it, while it has none."""
        need = self._cache.need
        if self.slot is None:
            return need.whole_bytes(self.tokens)
        return need.gap_bytes(self.tokens, self._cache.mapped_of(self.slot))

    def spare_bytes(self) -> int:
        """Promised and not needed, since its slot took what was drawn for another; below 0: the
        reverse."""
        if self.ended is not None or self._cache.closed or not self._taken:
            return 0
        return self.bytes - self.gap_bytes()
