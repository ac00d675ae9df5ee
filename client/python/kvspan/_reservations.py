"""Memory promised to requests: the daemon keeps it free, and a slot that grows draws on it. What is
drawn comes through the magazine, where it is kept for slots with a promise. A promise covers what its
slot still lacks, not what it has: it shrinks when the slot grows, by whatever memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._grants import Flight, Wish, bytes_of, limited
from ._link import ANSWER_TIMEOUT, Link, PromiseWish, await_result
from ._reservation import Reservation, ReservationEnd
from .errors import KvspanError, bad_field, error
from .events import Listeners, PromiseCut, log

if TYPE_CHECKING:
    from ._requests import Requests as Cache

_UNKEEP_ALL: Final = 2**64 - 1
#: Renewals within one lapse: one may be late.
_RENEWALS: Final = 3
_TICK: Final = 0.25


@dataclass(frozen=True)
class ReservationOwner:
    """What reservations need of their session."""

    #: None: the daemon is away.
    link: Callable[[], Link | None]
    new_id: Callable[[], int]
    begin: Callable[[Link, Wish], Flight]
    #: So much more of the magazine, or less, is for slots with a promise.
    keep: Callable[[int], None]
    unkeep: Callable[[int], None]
    listeners: Listeners


class Reservations:
    """Those of a session. Any method may be called from any thread."""

    def __init__(self, owner: ReservationOwner) -> None:
        self._owner = owner
        self._lock = threading.RLock()
        self._all: list[Reservation] = []
        self._renewing: threading.Thread | None = None
        self._stop = threading.Event()
        #: An answer may come when all are lost already.
        self._lost = False

    def make(self, cache: Cache, tokens: int, mapped: int, wait: float, lapse: float) -> Reservation:
        """Waits in line at the daemon, as a grant does."""
        gap = cache.need.gap_bytes(tokens, mapped)
        promise_id = 0
        if gap > 0:
            link = self._owner.link()
            if link is None:
                raise error("DAEMON_UNAVAILABLE", "Cache.reserve: the daemon is away")
            promise_id = self._owner.new_id()
            held = cache.need.whole_bytes(tokens) - gap
            gap = self._ask(link, _wish(cache, promise_id, tokens, held, wait, lapse))
        with self._lock:
            made = Reservation(self, cache, tokens, lapse, promise_id, gap)
            self._all.append(made)
            if self._lost:
                self._cut(made, 0, "lost")
        return made

    def take(self, reservation: object, cache: Cache, tokens: int) -> Reservation:
        """Takes it for a new request of this cache with such a prompt: ``bind`` or ``drop`` follows.
        Raises if it cannot be."""
        if not isinstance(reservation, Reservation) or reservation._cache is not cache:
            raise bad_field("reservation", reservation, "what `reserve` of this cache gave")
        if reservation.ended is not None:
            raise error(
                "PROMISE_UNKNOWN",
                f"reservation: it has ended: {reservation.ended}",
                field="reservation",
            )
        if tokens > reservation.tokens:
            allowed = f"1 .. {reservation.tokens}, the length reserved"
            raise bad_field("tokens", tokens, allowed)
        with self._lock:
            if reservation._taken:
                given = "one of another request"
                raise bad_field("reservation", given, "one that no request has yet")
            reservation._taken = True
        return reservation

    def drop(self, one: Reservation) -> None:
        """The request did not come to be: another may have it."""
        one._taken = False

    def of(self, cache: Cache, slot: int) -> Reservation | None:
        with self._lock:
            for one in self._all:
                if one._cache is cache and one.slot == slot:
                    return one
        return None

    def bind(self, one: Reservation, slot: int) -> None:
        """A request has begun in this slot: from now on the promise is renewed while it lives."""
        with self._lock:
            one._taken = True
            one.slot = slot
            one._cache.promised(slot, one.ended is None)
            self._settle(one)
            if self._renewing is None and not self._stop.is_set():
                self._renewing = threading.Thread(
                    target=self._renew, name="kvspan promises", daemon=True
                )
                self._renewing.start()

    def release(self, one: Reservation) -> None:
        with self._lock:
            if one.ended is not None:
                return
            slot, cache = one.slot, one._cache
            self._end(one, "released")
            if slot is not None and not cache.closed:
                cache.promised(slot, False)
            if not one._fulfilled:
                self._tell(one, 0)

    def freed(self, cache: Cache, slot: int) -> None:
        """The slot's request has ended."""
        with self._lock:
            one = self.of(cache, slot)
            if one is not None:
                one.slot = None
                self.release(one)

    def closed(self, cache: Cache) -> None:
        with self._lock:
            for one in [one for one in self._all if one._cache is cache]:
                one.slot = None
                self.release(one)

    def cut(self, promise_id: int, left_bytes: int, reason: str) -> None:
        """The daemon has cut it."""
        with self._lock:
            for one in self._all:
                if one._id == promise_id:
                    one.bytes = min(one.bytes, left_bytes)
                    self._cut(one, left_bytes, _known(reason))
                    return

    def draw(self, cache: Cache, wanted: Mapping[int, int]) -> list[Flight]:
        """What these slots need for their lengths, where it is promised to them."""
        with self._lock:
            found = [(self.of(cache, slot), length) for slot, length in wanted.items()]
            return [
                flight
                for one, length in found
                if one is not None and length <= one.tokens
                for flight in self._draw_for(one, length)
            ]

    def draw_prompt(self, one: Reservation, counts: Sequence[int]) -> Flight | None:
        """What the native core has found missing for a prompt; None: it is not promised."""
        with self._lock:
            return None if one.ended is not None else self._draw(one, counts)

    @property
    def growing(self) -> bool:
        """A live slot has a promise that it has not grown into yet."""
        return any(one.slot is not None and one.bytes > 0 for one in tuple(self._all))

    def draw_ahead(self) -> list[Flight]:
        """What slots with a promise will need next, so that their steps need not wait for it."""
        with self._lock:
            return [flight for one in list(self._all) for flight in self._draw_ahead_of(one)]

    def restore(self, link: Link) -> None:
        """A new session of the same process: what is still lacking is promised again, or lost."""
        with self._lock:
            wishes = [(one, self._anew(one)) for one in self._all]
        for one, wish in wishes:
            if wish is None:
                continue
            # Not under the lock: the answer comes by a thread that may want it.
            try:
                promised = self._ask(link, wish)
            except KvspanError:
                # If it is not the daemon that has no room, the next session asks again.
                if not link.is_open:
                    raise
                promised = 0
            with self._lock:
                if one.ended is not None:
                    # Whoever released it meanwhile could tell nobody.
                    link.update_promise(wish.promise_id, 0)
                    continue
                one.bytes = min(one.bytes, promised)
                one._renewed = time.monotonic()
                if promised == 0:
                    self._cut(one, 0, "lost")

    def lose_all(self) -> None:
        """No session will come that could promise anything again."""
        with self._lock:
            self._lost = True
            for one in list(self._all):
                if not one._fulfilled:
                    self._cut(one, 0, "lost")

    def stop(self) -> None:
        """The session is closed."""
        self._stop.set()
        with self._lock:
            for one in list(self._all):
                self._end(one, "released")

    def _anew(self, one: Reservation) -> PromiseWish | None:
        one._id = self._owner.new_id()
        one.bytes = one.gap_bytes()
        one._fulfilled = one.bytes == 0
        if one._fulfilled:
            return None
        held = one._cache.need.whole_bytes(one.tokens) - one.bytes
        return _wish(one._cache, one._id, one.tokens, held, 0.0, one._lapse)

    def _ask(self, link: Link, wish: PromiseWish) -> int:
        answer = link.reserve(wish)
        try:
            limit = wish.wait + ANSWER_TIMEOUT
            return int(await_result(answer, limit, "a promise").promised.promised_bytes)
        except BaseException as failure:
            # Ctrl-C among them. It may be made all the same: nobody would use it.
            if not isinstance(failure, KvspanError) or failure.code == "DEADLINE_EXCEEDED":
                link.cancel(wish.promise_id)
                link.update_promise(wish.promise_id, 0)
            raise

    def _draw_ahead_of(self, one: Reservation) -> list[Flight]:
        cache, slot = one._cache, one.slot
        if slot is None or cache.closed or one.ended is not None:
            return []
        ahead = min(one.tokens, cache.length_of(slot) + cache.lookahead_tokens)
        return [] if cache.mapped_of(slot) >= ahead else self._draw_for(one, ahead)

    def _draw_for(self, one: Reservation, length: int) -> list[Flight]:
        # A step that comes while another's draw is on its way waits for that, and looks again.
        if one._drawing is not None:
            return [one._drawing]
        if one.ended is not None or one.slot is None:
            return []
        need, mapped = one._cache.need, one._cache.mapped_of(one.slot)
        counts = need.extents_for(length, one.tokens, mapped)
        if bytes_of(counts, need.page_bytes) > one.bytes:
            counts = need.extents_for(length, length, mapped)
        flights = self._draw_from_all(one, counts)
        for flight in flights[:1]:
            if not flight.outcome.done():
                one._drawing = flight
                flight.outcome.add_done_callback(lambda _: setattr(one, "_drawing", None))
        return flights

    def _draw_from_all(self, first: Reservation, counts: Sequence[int]) -> list[Flight]:
        """Slots with a promise take what was drawn for any of them. One that finds its own gone has its
        due with those that took it: they have more promised than they lack."""
        page = first._cache.need.page_bytes
        missing = bytes_of(counts, page)
        if missing <= first.bytes:
            flight = self._draw(first, counts)
            return [] if flight is None else [flight]
        flights: list[Flight] = []
        for one in [first, *self._all]:
            part = min(missing, one.bytes if one is first else one.spare_bytes())
            flight = self._draw(one, (part // page,)) if part > 0 else None
            if flight is not None:
                missing -= part
                flights.append(flight)
        return flights

    def _draw(self, one: Reservation, counts: Sequence[int]) -> Flight | None:
        link = self._owner.link()
        if link is None:
            return None
        asked = limited(counts, link.server.extents_per_grant_max)
        size = bytes_of(asked, link.server.page_bytes)
        if size == 0 or size > one.bytes:
            return None
        promise_id = one._id
        # Both at once: what is drawn is neither promised nor anybody else's.
        one.bytes -= size
        self._owner.keep(size)
        try:
            flight = self._owner.begin(link, Wish(asked, 0, 0.0, promise_id))
        except KvspanError as failure:
            self._undraw(one, promise_id, size, failure)
            return None

        def drawn() -> None:
            failure = flight.outcome.exception()
            if failure is not None:
                self._undraw(one, promise_id, size, failure)
            else:
                one._renewed = time.monotonic()

        flight.outcome.add_done_callback(lambda _: drawn())
        return flight

    def _undraw(
        self, one: Reservation, promise_id: int, size: int, failure: BaseException
    ) -> None:
        with self._lock:
            self._owner.unkeep(size)
            if one._id == promise_id and one.ended is None:
                one.bytes += size
            # Cut behind this side's back: while the draw was on its way, or the stream was gone.
            if isinstance(failure, KvspanError):
                if failure.code == "PROMISE_UNKNOWN":
                    self._cut(one, 0, "lapsed")
                elif failure.code == "INVALID_ARGUMENT" and failure.free_bytes is not None:
                    one.bytes = min(one.bytes, failure.free_bytes)

    def _renew(self) -> None:
        while not self._stop.wait(_TICK):
            with self._lock:
                if not self._all:
                    self._renewing = None
                    return
                now = time.monotonic()
                for one in list(self._all):
                    due = now - one._renewed >= one._lapse / _RENEWALS
                    if due and one.slot is not None and not one._cache.closed:
                        try:
                            self._settle(one)
                        except KvspanError as failure:
                            log.debug("renewing a promise: %s", failure)

    def _settle(self, one: Reservation) -> None:
        """What the slot has grown by other memory is given up; the rest is renewed."""
        if one.ended is not None or one._fulfilled:
            return
        gap = one.gap_bytes()
        # What requests lack and no promise of their own covers: it is drawn, or others have it to spare.
        owed = sum(max(0, -other.spare_bytes()) for other in self._all)
        if one._drawing is None:
            one.bytes = min(one.bytes, gap + owed)
        one._renewed = time.monotonic()
        one._fulfilled = gap == 0 and one.bytes == 0
        self._tell(one, one.bytes)

    def _tell(self, one: Reservation, left_bytes: int) -> None:
        link = self._owner.link()
        if link is not None:
            link.update_promise(one._id, left_bytes)

    def _cut(self, one: Reservation, left_bytes: int, reason: ReservationEnd) -> None:
        if one.ended is not None:
            return
        slot, cache = one.slot, one._cache
        if left_bytes == 0:
            self._end(one, reason)
            if slot is not None and not cache.closed:
                cache.promised(slot, False)
        event = PromiseCut(one, slot, left_bytes, reason)
        # A listener may take its time, and may want what this thread brings.
        threading.Thread(
            target=self._owner.listeners.emit, args=(event,), name="kvspan cut", daemon=True
        ).start()

    def _end(self, one: Reservation, reason: ReservationEnd) -> None:
        one.ended = reason
        one.bytes = 0
        self._all.remove(one)
        if not self._all:
            self._owner.unkeep(_UNKEEP_ALL)


def _wish(
    cache: Cache, promise_id: int, tokens: int, held_bytes: int, wait: float, lapse: float
) -> PromiseWish:
    overread = cache.need.overread_tokens
    return PromiseWish(promise_id, cache.cache_id, tokens, overread, held_bytes, wait, lapse)


def _known(reason: str) -> ReservationEnd:
    if reason == "guarantee":
        return "guarantee"
    return "entitlement" if reason == "entitlement" else "lapsed"
