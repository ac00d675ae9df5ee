"""Memory on its way here. A grant is decided on the stream and arrives on the extent channel, in
either order; it counts as arrived once the native core has its extents in the magazine."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from ._link import ANSWER_TIMEOUT, Link, fail, settle
from .errors import KvspanError, error
from .v1 import memory_pb2 as memory

#: The longest that one grant waits at the daemon, in seconds; a longer wait asks again.
GRANT_WAIT_MAX: Final = 30.0
#: Of a caller's time, what is kept for the daemon's answer to travel.
_ANSWER_RESERVE: Final = 0.05


@dataclass(frozen=True)
class Wish:
    counts: Sequence[int]
    #: 0: all or nothing.
    minimum_bytes: int
    #: How long the daemon may let it wait, in seconds.
    wait: float
    #: Out of this promise; 0: of none.
    promise_id: int = 0


@dataclass(frozen=True)
class Granted:
    extent_count: int
    granted_bytes: int


@dataclass(frozen=True)
class GrantCounts:
    """How many grants were asked for, and what became of them."""

    asked: int
    met: int
    refused: int
    in_flight: int
    granted_bytes: int


class Flight:
    """One grant. ``arrival``: its extents are in the magazine, or something ended the wait for
    them; ``outcome``: the daemon's word on it as well."""

    def __init__(self, grant_id: int, link: Link) -> None:
        self.grant_id = grant_id
        self.link = link
        self.arrival: Future[None] = Future()
        self.outcome: Future[Granted] = Future()

    def withdraw(self) -> None:
        """If it still waits at the daemon; what is here is not withdrawn."""
        if not self.arrival.done() and not self.outcome.done():
            self.link.cancel(self.grant_id)


class Grants:
    """A session's grants in flight. ``asked`` and the like may be read at any time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._flights: dict[int, Flight] = {}
        self._ids = itertools.count(1)
        self._asked = self._met = self._refused = self._granted_bytes = 0

    def new_id(self) -> int:
        """For a promise: the daemon numbers both alike."""
        with self._changed:
            return next(self._ids)

    def counts(self) -> GrantCounts:
        with self._changed:
            return GrantCounts(
                *(self._asked, self._met, self._refused),
                *(len(self._flights), self._granted_bytes),
            )

    def begin(self, link: Link, wish: Wish) -> Flight:
        """Asks. Waits while the most are in flight; DEADLINE_EXCEEDED then. A grant given up on may
        still arrive: its extents are then in the magazine, for whoever needs them next."""
        until = time.monotonic() + max(wish.wait, _ANSWER_RESERVE)
        flight = self._enter(link, until)
        wait = min(max(0.0, min(wish.wait, until - time.monotonic())), GRANT_WAIT_MAX)
        wait -= min(_ANSWER_RESERVE, wait / 4)
        counts = limited(wish.counts, link.server.extents_per_grant_max)
        asked_bytes = bytes_of(counts, link.server.page_bytes)
        answer = link.acquire(
            flight.grant_id, counts, wish.minimum_bytes, wait, wish.promise_id
        )
        least = wish.minimum_bytes or asked_bytes
        answer.add_done_callback(lambda done: self._decided(flight, done, asked_bytes, least))
        flight.outcome.add_done_callback(lambda done: self._settled(flight, done))
        return flight

    def arrived(self, grant_id: int, imported_count: int) -> None:
        """The native core has all of a grant, or as much as could be: whether that will do is known
        with the daemon's word. If nothing came, its refusal says why."""
        with self._changed:
            flight = self._flights.get(grant_id)
        if flight is not None and imported_count > 0:
            settle(flight.arrival, None)

    def fail_all(self, reason: KvspanError) -> None:
        """The connection is gone: what was on its way will not come."""
        for flight in self._all():
            fail(flight.arrival, reason)
            fail(flight.outcome, reason)

    def settle_all(self, timeout: float) -> None:
        """Withdraws what waits and sees the rest in."""
        for flight in self._all():
            flight.withdraw()
        with self._changed:
            self._changed.wait_for(lambda: not self._flights, timeout)

    def _all(self) -> list[Flight]:
        with self._changed:
            return list(self._flights.values())

    def _enter(self, link: Link, until: float) -> Flight:
        most = link.server.grants_in_flight_max
        with self._changed:
            room = self._changed.wait_for(
                lambda: len(self._flights) < most, max(0.0, until - time.monotonic())
            )
            if not room:
                raise error("DEADLINE_EXCEEDED", f"a grant: {most} are in flight, which is the most")
            flight = Flight(next(self._ids), link)
            self._flights[flight.grant_id] = flight
            self._asked += 1
            return flight

    def _decided(
        self,
        flight: Flight,
        answer: Future[memory.ExchangeResponse],
        asked_bytes: int,
        least_bytes: int,
    ) -> None:
        refusal = answer.exception()
        if refusal is not None:
            return fail(flight.outcome, refusal)
        grant = answer.result().grant
        granted = Granted(grant.extent_count, grant.granted_bytes)

        def here(arrival: Future[None]) -> None:
            failure = arrival.exception()
            if failure is not None:
                fail(flight.outcome, failure)
            elif granted.granted_bytes >= least_bytes:
                settle(flight.outcome, granted)
            else:
                fail(flight.outcome, _cut(flight.grant_id, granted.granted_bytes, asked_bytes))

        flight.arrival.add_done_callback(here)
        if not flight.arrival.done():
            self._watch(flight)

    @staticmethod
    def _watch(flight: Flight) -> None:
        """The memory takes another way than the decision; if it never comes, nobody waits for ever."""
        late = threading.Timer(ANSWER_TIMEOUT, fail, (flight.arrival, _lost(flight.grant_id)))
        late.daemon = True
        late.start()
        flight.arrival.add_done_callback(lambda _: late.cancel())

    def _settled(self, flight: Flight, outcome: Future[Granted]) -> None:
        with self._changed:
            self._flights.pop(flight.grant_id, None)
            if outcome.exception() is None:
                self._met += 1
                self._granted_bytes += outcome.result().granted_bytes
            else:
                self._refused += 1
            self._changed.notify_all()


def _lost(grant_id: int) -> KvspanError:
    return error("DEADLINE_EXCEEDED", f"the extents of grant {grant_id} did not come")


def _cut(grant_id: int, granted_bytes: int, asked_bytes: int) -> KvspanError:
    return error(
        "DEVICE_EXHAUSTED",
        f"grant {grant_id}: the device had only {granted_bytes} of {asked_bytes} bytes; they are in "
        "the magazine",
        asked_bytes=asked_bytes,
    )


def limited(counts: Sequence[int], extents_max: int) -> list[int]:
    """At most so many extents, the largest first: what is left out is asked for next time."""
    kept = list(counts)
    room = extents_max
    for order in range(len(kept) - 1, -1, -1):
        kept[order] = min(kept[order], room)
        room -= kept[order]
    return kept


def bytes_of(counts: Sequence[int], page_bytes: int) -> int:
    return sum((count * page_bytes) << order for order, count in enumerate(counts))
