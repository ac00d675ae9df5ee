"""One established connection to a daemon: the session's stream, its requests and the daemon's
events. It ends once, for whatever reason, and is then replaced by another, never revived."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Final, TypeVar

import grpc

from ._native import Welcome
from ._service import ServerInfo, Service, decode_refusal, error_of_call
from .errors import KvspanError, error
from .v1 import memory_pb2 as memory

#: How long any answer may take beyond the time that the request itself allows, in seconds.
ANSWER_TIMEOUT: Final = 10.0
WAIT_MS_MAX: Final = 2**32 - 1

T = TypeVar("T")


def settle(future: Future[T], result: T) -> None:
    """Whoever comes first settles it; the others are late."""
    try:
        future.set_result(result)
    except InvalidStateError:
        pass


def fail(future: Future[T], failure: BaseException) -> None:
    try:
        future.set_exception(failure)
    except InvalidStateError:
        pass


def await_result(future: Future[T], timeout: float, what: str) -> T:
    """The future's outcome, or DEADLINE_EXCEEDED. Ctrl-C ends the wait, not the future."""
    try:
        return future.result(max(0.0, timeout))
    except TimeoutError as late:
        if isinstance(late, KvspanError):
            raise
    except Exception as other:
        # Until Python 3.11 a future's timeout is a class of its own.
        if type(other).__name__ != "TimeoutError" or isinstance(other, KvspanError):
            raise
    raise error("DEADLINE_EXCEEDED", f"{what}: not done within {timeout * 1000:.0f} ms")


@dataclass(frozen=True)
class PromiseWish:
    promise_id: int
    cache_id: int
    tokens: int
    overread_tokens: int
    #: What the slot has already.
    mapped_bytes: int
    #: How long the daemon may let it wait, and after how long unused it lapses, in seconds.
    wait: float
    lapse: float


@dataclass(frozen=True)
class LinkEvents:
    """Called on the stream's reading thread."""

    #: Id, wanted bytes, deadline in ms, whether only what is idle is asked for.
    reclaim: Callable[["Link", int, int, int, bool], None]
    #: Id, what is left, why.
    promise_cut: Callable[[int, int, str], None]
    draining: Callable[[int], None]
    #: Once. Every request in flight has been refused by then.
    ended: Callable[["Link", KvspanError], None]


class Link:
    def __init__(
        self, credentials: Welcome, service: Service, server: ServerInfo, events: LinkEvents
    ) -> None:
        self.credentials = credentials
        self.service = service
        self.server = server
        self._events = events
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._pending: dict[int, Future[memory.ExchangeResponse]] = {}
        self._ended: KvspanError | None = None
        self._ready: Future[None] = Future()
        self._outbox: queue.SimpleQueue[memory.ExchangeRequest | None] = queue.SimpleQueue()
        service.authorise(credentials.token)
        self._call = service.exchange(self._requests())
        self._reader = threading.Thread(target=self._read, name="kvspan stream", daemon=True)
        self._reader.start()

    @classmethod
    def open(
        cls,
        credentials: Welcome,
        service: Service,
        server: ServerInfo,
        events: LinkEvents,
        timeout: float,
    ) -> Link:
        """Opens the stream and waits until the daemon has it registered. Owns the service from then
        on."""
        link = cls(credentials, service, server, events)
        try:
            await_result(link._ready, timeout, "opening the stream")
        except BaseException:
            link.close()
            raise
        return link

    @property
    def is_open(self) -> bool:
        return self._ended is None

    @property
    def requests_in_flight(self) -> int:
        return len(self._pending)

    def acquire(
        self, grant_id: int, counts: Sequence[int], minimum_bytes: int, wait: float, promise_id: int
    ) -> Future[memory.ExchangeResponse]:
        """The daemon's decision; the extents themselves arrive on the extent channel."""
        request = memory.AcquireRequest(
            grant_id=grant_id,
            order_counts=counts,
            minimum_bytes=minimum_bytes,
            wait_ms=min(WAIT_MS_MAX, int(wait * 1000)),
            promise_id=promise_id,
        )
        return self._ask(memory.ExchangeRequest(acquire=request))

    def reserve(self, wish: PromiseWish) -> Future[memory.ExchangeResponse]:
        request = memory.ReserveRequest(
            promise_id=wish.promise_id,
            cache_id=wish.cache_id,
            tokens_count=wish.tokens,
            overread_tokens_count=wish.overread_tokens,
            mapped_bytes=wish.mapped_bytes,
            wait_ms=min(WAIT_MS_MAX, int(wish.wait * 1000)),
            lapse_ms=max(1, int(wish.lapse * 1000)),
        )
        return self._ask(memory.ExchangeRequest(reserve=request))

    def update_promise(self, promise_id: int, left_bytes: int) -> Future[memory.ExchangeResponse]:
        """No more than this is needed of it; 0: nothing, which ends it. Renews it."""
        update = memory.UpdatePromiseRequest(promise_id=promise_id, left_bytes=left_bytes)
        return self._ask(memory.ExchangeRequest(promise=update))

    def give_back(self, extent_ids: Sequence[int]) -> Future[memory.ExchangeResponse]:
        """Extents that were unmapped and released here. All or nothing."""
        request = memory.ExchangeRequest()
        # The field's name is a word of the language.
        getattr(request, "return").extent_ids.extend(extent_ids)
        return self._ask(request)

    def cancel(self, grant_id: int) -> Future[memory.ExchangeResponse]:
        return self._ask(
            memory.ExchangeRequest(cancel=memory.CancelRequest(grant_id=grant_id))
        )

    def report_reclaim(self, reclaim_id: int, returned_bytes: int) -> Future[memory.ExchangeResponse]:
        report = memory.ReclaimReport(reclaim_id=reclaim_id, returned_bytes=returned_bytes)
        return self._ask(memory.ExchangeRequest(reclaim_report=report))

    def close(self, reason: KvspanError | None = None) -> None:
        """Ends it from this side; ``ended`` is called for it too, unless it ended before."""
        self._outbox.put(None)
        self._call.cancel()
        self._end(reason or error("DAEMON_UNAVAILABLE", "the connection to the daemon was closed"))

    def _ask(self, request: memory.ExchangeRequest) -> Future[memory.ExchangeResponse]:
        answer: Future[memory.ExchangeResponse] = Future()
        with self._lock:
            ended = self._ended
            if ended is None:
                request.request_id = next(self._ids)
                self._pending[request.request_id] = answer
        if ended is not None:
            fail(answer, ended)
        else:
            self._outbox.put(request)
        return answer

    def _requests(self) -> Iterator[memory.ExchangeRequest]:
        while (request := self._outbox.get()) is not None:
            yield request

    def _read(self) -> None:
        try:
            for message in self._call:
                self._receive(message)
            reason = error("DAEMON_UNAVAILABLE", "the daemon ended the stream")
        except grpc.RpcError as failure:
            reason = error_of_call(failure)
        except Exception as cause:
            # What cannot be read cannot be trusted: the link ends, the session makes another.
            reason = error("PROTOCOL", f"unreadable message from the daemon: {cause!r}")
        self.close(reason)

    def _receive(self, message: memory.ExchangeResponse) -> None:
        kind = message.WhichOneof("response")
        if kind == "ready":
            settle(self._ready, None)
        elif kind == "reclaim":
            asked = message.reclaim
            self._events.reclaim(
                *(self, asked.reclaim_id, asked.wanted_bytes, asked.deadline_ms, asked.idle_only)
            )
        elif kind == "promise_cut":
            cut = message.promise_cut
            self._events.promise_cut(cut.promise_id, cut.left_bytes, cut.reason)
        elif kind == "draining":
            self._events.draining(message.draining.deadline_ms)
        else:
            with self._lock:
                answer = self._pending.pop(message.request_id, None)
            # An answer that nobody waits for any more is dropped.
            if answer is None:
                return
            if kind == "refusal":
                fail(answer, decode_refusal(message.refusal))
            else:
                settle(answer, message)

    def _end(self, reason: KvspanError) -> None:
        with self._lock:
            if self._ended is not None:
                return
            self._ended = _gone(reason)
            pending, self._pending = self._pending, {}
        self._outbox.put(None)
        fail(self._ready, reason)
        for answer in pending.values():
            fail(answer, self._ended)
        self.service.close()
        self._events.ended(self, reason)


def _gone(reason: KvspanError) -> KvspanError:
    """Whatever ended the link, to a request in flight it means that the daemon is not there."""
    if reason.code in ("DAEMON_UNAVAILABLE", "CLOSED", "SESSION_EVICTED"):
        return reason
    return error("DAEMON_UNAVAILABLE", f"the connection to the daemon ended: {reason}")
