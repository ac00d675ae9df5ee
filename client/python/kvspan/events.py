"""What a session tells its owner, and who listens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ._validate import one_of
from .errors import KvspanError, bad_field

if TYPE_CHECKING:
    from ._reservation import Reservation, ReservationEnd

log: Final = logging.getLogger("kvspan")


@dataclass(frozen=True)
class Disconnected:
    """The daemon is away, or re-establishing the session was refused, or it was evicted, for good:
    ``error`` says which."""

    error: KvspanError
    will_reconnect: bool


@dataclass(frozen=True)
class Reconnected:
    """The session is established again, under a new id; caches kept their addresses."""

    session_id: int
    adopted_bytes: int
    attempts: int


@dataclass(frozen=True)
class Reclaim:
    """Others wait for memory. What was idle has been given back already (``returned_bytes``);
    ``shortfall_bytes`` of ``wanted_bytes`` are missing: preempt requests and free their slots.
    What is idle once every listener has returned is given back too."""

    wanted_bytes: int
    returned_bytes: int
    shortfall_bytes: int
    deadline_ms: int
    #: Only what was idle was asked for: this session is within its share, and nobody need preempt.
    idle_only: bool = False


@dataclass(frozen=True)
class PromiseCut:
    """Less is promised than before: the request may have to compete for what it lacks. ``slot`` None:
    no request had it yet; ``left_bytes`` 0: the reservation has ended."""

    reservation: Reservation
    slot: int | None
    left_bytes: int
    reason: ReservationEnd


@dataclass(frozen=True)
class Draining:
    """The daemon is shutting down: no further grants. Spans stay usable."""

    deadline_ms: int


_EVENTS: Final = {
    "disconnected": Disconnected,
    "reconnected": Reconnected,
    "reclaim": Reclaim,
    "promise_cut": PromiseCut,
    "draining": Draining,
}


class Listeners:
    """Called on the session's own threads, one event after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[type, list[Callable[[Any], None]]] = {}

    def add(self, event: object, listener: object) -> Callable[[], None]:
        kind = _EVENTS[one_of("event", event, tuple(_EVENTS))]
        if not callable(listener):
            raise bad_field("listener", listener, "a callable of one argument")
        with self._lock:
            self._listeners.setdefault(kind, []).append(listener)
        return lambda: self._remove(kind, listener)

    def emit(self, event: object) -> None:
        with self._lock:
            listeners = list(self._listeners.get(type(event), ()))
        for listener in listeners:
            try:
                listener(event)
            except Exception:
                # The listener's own mistake must not end the thread that tells the others.
                log.exception("a listener for %s failed", type(event).__name__)

    def _remove(self, kind: type, listener: Callable[[Any], None]) -> None:
        with self._lock:
            if listener in self._listeners.get(kind, ()):
                self._listeners[kind].remove(listener)
