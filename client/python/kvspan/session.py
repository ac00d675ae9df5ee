"""A session: the memory of this process, its caches, and the way to the daemon."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from . import _validate as validate
from ._background import finish
from ._closing import CLOSE_TIMEOUT, close_memory, give_back_all
from ._connection import Connection, ConnectionHooks
from ._establish import Daemon, Meeting, adopt_held, replant
from .events import Listeners, log
from ._grants import Flight, Grants, Wish
from ._link import Link
from ._native import Counts, EventHandlers, NativeSession
from ._reclaiming import Asked, OnReclaim, Reclaiming, ReclaimOwner
from ._reservations import ReservationOwner, Reservations
from ._returns import Returns
from ._service import ServerInfo
from ._wishes import MapperWishes
from ._open_cache import open_cache
from .cache import Cache
from .errors import KvspanError, error
from .stats import SessionState, SessionStats

#: How long the interpreter's exit waits for a session to close: what is left then (a stream that is
#: never done) ends with the process.
_EXIT_TIMEOUT: Final = 5.0
#: How long one may wait for the event thread to hear what was told.
_HEAR_TIMEOUT: Final = 5.0

_sessions: Final[weakref.WeakSet[Session]] = weakref.WeakSet()


class Session:
    """One serving process's standing with a daemon, made by :func:`kvspan.connect`.

    A context manager: leaving it closes the caches and gives everything back. Methods may be called
    from any thread. In a forked child every method raises :class:`Closed`.
    """

    def __init__(
        self,
        daemon: Daemon,
        meeting: Meeting,
        memory: NativeSession,
        grant_wait: float,
        reconnect: bool,
        ordinal: int,
        on_reclaim: OnReclaim | None = None,
    ) -> None:
        server = daemon.server
        #: Of the daemon's device in this process.
        self.ordinal = ordinal
        #: Seconds that ``allocate`` and ``step`` wait for memory unless told otherwise.
        self.grant_wait = grant_wait
        self._pid = os.getpid()
        self._memory = memory
        self._listeners = Listeners()
        self._grants = Grants()
        self._marks: list[threading.Event] = []
        self._marks_lock = threading.Lock()
        self._caches: set[Cache] = set()
        self._lock = threading.RLock()
        self._closing = False
        self._closed = threading.Event()
        hooks = ConnectionHooks(
            reclaim=lambda link, *asked: self._reclaiming.begin(link, Asked(*asked)),
            promise_cut=lambda *cut: self.reservations.cut(*cut),
            installed=self._tell,
            lost=self._lost,
            restore=self._restore,
            evicted=self._tell,
            hear=self._hear,
        )
        self._connection = Connection(server, meeting, reconnect, memory, self._listeners, hooks)
        self._returns = Returns(lambda: self._connection.link or self._connection.eviction)
        #: Memory promised to requests.
        self.reservations = Reservations(
            ReservationOwner(
                link=lambda: self._connection.link,
                new_id=self._grants.new_id,
                begin=self._grants.begin,
                keep=memory.keep,
                unkeep=memory.unkeep,
                listeners=self._listeners,
            )
        )
        self._wishes = MapperWishes(
            *(server.page_bytes, self.reservations),
            *(self._wish_in_background, self._refill_done),
        )
        giving = ReclaimOwner(lambda: self._closing, self._give_back, self._wishes.hold_back)
        self._reclaiming = Reclaiming(giving, self._listeners, on_reclaim)
        self._thread = threading.Thread(target=self._pump, name="kvspan events", daemon=True)
        self._thread.start()
        try:
            self._connection.begin(daemon)
        except BaseException:
            self._closing = True
            self._memory.close()
            raise
        _sessions.add(self)

    # ── What users call ─────────────────────────────────────────────────────────────────────────

    @property
    def id(self) -> int:
        """The daemon's name for it; another one after each re-establishment."""
        return self._connection.session_id

    @property
    def server(self) -> ServerInfo:
        """What the daemon serves, and its limits."""
        return self._connection.server

    @property
    def state(self) -> SessionState:
        if self._closing:
            return "closed"
        if self._connection.eviction is not None:
            return "evicted"
        return "connected" if self.connected else "disconnected"

    @property
    def connected(self) -> bool:
        return self._connection.link is not None

    def create_cache(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        dtype: object,
        slots: int,
        max_tokens: int,
        layout: str = "token-major",
        device: object = None,
        *,
        name: str = "",
        wanted_base_address: int = 0,
        growth: str = "geometric",
        lookahead_tokens: int = 16,
        overread_tokens: int = 0,
    ) -> Cache:
        """Reserves a cache's addresses; takes no memory yet.

        Args:
            layers, kv_heads, head_dim: of the model; ``kv_heads`` is 1 in the latent layout.
            dtype: "bf16", "fp16", "fp32", "fp8-e4m3", "fp8-e5m2", or torch's or numpy's own.
            slots: requests that can be live at once.
            max_tokens: the longest request.
            layout: "token-major", "layer-major" or "latent" (docs/architecture.md, "Layouts").
            device: None, or where the tensors are expected to be ("cpu", "cuda", "cuda:0", a
                torch.device): refused if the daemon serves another.
            wanted_base_address: addresses that the cache would like, a multiple of the page; 0: any.
            growth: "geometric" (slack within 12.5 % + a page) or "linear".
            lookahead_tokens: kept mapped past each live slot, in the background.
            overread_tokens: mapped past the length for kernels that read whole tiles
                (FlashAttention-3 class: 256).

        Raises:
            InvalidArgument (``field`` names it), KvspanError with ADDRESS_PLAN_EXHAUSTED or
            CACHE_LIMIT, DaemonUnavailable.
        """
        self._check("create_cache")
        cache = open_cache(
            self,
            self._memory,
            geometry={
                **{"layers": layers, "kv_heads": kv_heads, "head_dim": head_dim, "dtype": dtype},
                **{"slots": slots, "max_tokens": max_tokens, "layout": layout},
            },
            device=device,
            name=name,
            wanted_base_address=wanted_base_address,
            growth=growth,
            lookahead_tokens=lookahead_tokens,
            overread_tokens=overread_tokens,
        )
        with self._lock:
            if not self._closing:
                self._caches.add(cache)
                return cache
        cache.close()
        raise error("CLOSED", "Session.create_cache: the session is closed")

    def give_back(self, size_bytes: int) -> int:
        """Gives back at least so many bytes if there is as much to spare (magazine, idle spans,
        look-ahead, in this order). Returns how much it was."""
        self._check("give_back")
        return self._give_back(validate.size("size_bytes", size_bytes))

    def stats(self) -> SessionStats:
        """Counts and bytes of this moment."""
        self._check("stats")
        native = self._memory.stats()
        link = self._connection.link
        return SessionStats(
            state=self.state,
            **{name: getattr(native, name) for name, *_ in native._fields_},
            grants=self._grants.counts(),
            returned_bytes=self._returns.returned_bytes,
            requests_in_flight=0 if link is None else link.requests_in_flight,
            reconnects=self._connection.reconnects,
        )

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        """Calls ``listener`` on a background thread for each "disconnected", "reconnected",
        "reclaim", "promise_cut" or "draining" (:mod:`kvspan.events`). Returns what takes the listener
        off again."""
        self._check("on")
        return self._listeners.add(event, listener)

    def close(self) -> None:
        """Closes the caches and gives everything back, acknowledged if the daemon is there.
        Idempotent. Afterwards every method raises :class:`Closed`. Arrays of the host backend that
        are still alive keep their memory until they are gone."""
        self._close_within(None)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        server = self.server
        return f"<kvspan.Session {self.id}, {server.backend} {server.device_name}, {self.state}>"

    # ── What its caches need ────────────────────────────────────────────────────────────────────

    def fetch(self, wish: Wish, method: str) -> Flight:
        """Asks for memory; the flight's ``arrival`` tells that it is in the magazine."""
        return self._grants.begin(self._connection.require(method), wish)

    def link(self, method: str) -> Link:
        return self._connection.require(method)

    @property
    def timeout(self) -> float:
        return self._connection.timeout

    def check_process(self, method: str) -> None:
        """Native calls, gRPC and threads are the process's that made them."""
        if os.getpid() != self._pid:
            raise error(
                "CLOSED",
                f"{method}: this session belongs to process {self._pid}, which forked this one: "
                "connect() in the child, or start workers with the spawn method",
            )

    def cache_closed(self, cache: Cache) -> None:
        """Tells the daemon, if it is there; else it is told once there is a session again: until
        then its addresses are taken."""
        self.reservations.closed(cache)
        link = self._connection.link or self._connection.eviction
        if link is None:
            return
        try:
            link.service.destroy_cache(cache.cache_id, CLOSE_TIMEOUT)
        except KvspanError as failure:
            log.debug("destroying a cache: %s", failure)
        if link.is_open:
            with self._lock:
                self._caches.discard(cache)

    # ── What happens by itself ──────────────────────────────────────────────────────────────────

    def _pump(self) -> None:
        handlers = EventHandlers(
            need=self._wishes.wish,
            returned=self._returns.add,
            granted=self._grants.arrived,
            closed=self._connection.channel_closed,
            mark=self._heard,
        )
        try:
            self._memory.pump(handlers)
        except Exception:
            log.exception("the event thread of a kvspan session ended")

    def _hear(self) -> None:
        """Waits until every event that was told so far has been dealt with."""
        heard = threading.Event()
        with self._marks_lock:
            self._marks.append(heard)
            self._memory.mark()
        heard.wait(_HEAR_TIMEOUT)

    def _heard(self) -> None:
        with self._marks_lock:
            if self._marks:
                self._marks.pop(0).set()

    def _wish_in_background(self, wish: Wish) -> Flight:
        if self._connection.draining or self._closing:
            raise error("DRAINING", "no memory is asked for ahead of need any more")
        return self.fetch(wish, "refill")

    def _refill_done(self, retry_after_ms: int) -> None:
        try:
            self._memory.refill_done(retry_after_ms)
        except KvspanError as failure:
            log.debug("refill_done: %s", failure)

    def _tell(self) -> None:
        """What nobody could be told is told now."""
        if self._connection.eviction is not None:
            self.reservations.lose_all()
        self._returns.resume()
        with self._lock:
            gone = [cache for cache in self._caches if cache.closed]
        for cache in gone:
            self.cache_closed(cache)

    def _lost(self, reason: KvspanError) -> None:
        self._grants.fail_all(reason)

    def _restore(self, link: Link) -> int:
        adopted_bytes = adopt_held(self._memory, link, self.timeout)
        # Those that were closed meanwhile as well: a daemon that lived on still has them.
        with self._lock:
            caches = list(self._caches)
        for cache in caches:
            replant(cache, link, self.timeout)
        self.reservations.restore(link)
        return adopted_bytes

    def _give_back(self, size_bytes: int) -> int:
        released = self._memory.give_back(size_bytes)
        self._hear()
        self._returns.acknowledged()
        return released

    # ── The end ─────────────────────────────────────────────────────────────────────────────────

    def _close_within(self, limit: float | None) -> None:
        if os.getpid() != self._pid:
            return
        with self._lock:
            first = not self._closing
            self._closing = True
        if first:
            with self._lock:
                caches = list(self._caches)
            for cache in caches:
                if not cache.closed:
                    cache.fence_live_slots()
            finish(self._close, "kvspan close", limit)
        else:
            self._closed.wait(limit)

    def _close(self) -> None:
        """Everything back to the daemon while the stream can still say so; the channel goes last."""
        self._connection.stop_reconnecting()
        self.reservations.stop()
        with self._lock:
            caches = list(self._caches)
        try:
            for cache in caches:
                cache.close()
            link = self._connection.link or self._connection.eviction
            if link is not None:
                give_back_all(self._memory, link, self._grants, self._returns, self._hear, caches)
        finally:
            reason = error("CLOSED", "the session was closed")
            self._connection.end(reason)
            self._grants.fail_all(reason)
            close_memory(self._memory, caches)
            self._closed.set()

    def _check(self, method: str) -> None:
        self.check_process(f"Session.{method}")
        if self._closing:
            raise error("CLOSED", f"Session.{method}: the session is closed")


def _close_all() -> None:
    for session in list(_sessions):
        try:
            session._close_within(_EXIT_TIMEOUT)
        except KvspanError as failure:
            log.debug("closing at exit: %s", failure)


atexit.register(_close_all)
# What a child inherits is not its own to close.
os.register_at_fork(after_in_child=_sessions.clear)
