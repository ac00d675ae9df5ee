"""The memory of this process: thin classes over the calls of the native library.

A session and a cache of the native core are numbers; a stale number is refused by the library, so
nothing here guards against it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import _abi
from .errors import KvspanError
from .events import log

Int32Array = npt.NDArray[np.int32]
UInt32Array = npt.NDArray[np.uint32]
Counts = tuple[int, ...]

_EVENT_IDS_MAX = 4096
_EVENT_WAIT_MS = 60_000


@dataclass(frozen=True)
class Welcome:
    session_id: int
    token: bytes


@dataclass(frozen=True)
class Plan:
    """Where everything of a cache lies (proto CachePlan)."""

    base_address: int
    total_bytes: int
    lane_count: int
    row_bytes: int
    slot_stride_bytes: int
    lane_stride_bytes: int


@dataclass(frozen=True)
class EventHandlers:
    """Called on the session's event thread; none may wait for another event."""

    need: Callable[[Counts], None]
    returned: Callable[[list[int]], None]
    granted: Callable[[int, int], None]
    closed: Callable[[str], None]
    mark: Callable[[], None]


class NativeSession:
    """A session of the native core. Any method may be called from any thread."""

    def __init__(
        self,
        backend: str,
        ordinal: int,
        library: str | None,
        low_water_bytes: int,
        high_water_bytes: int,
    ) -> None:
        options = _abi.SessionOptions(
            backend.encode(),
            ordinal,
            None if library is None else library.encode(),
            low_water_bytes,
            high_water_bytes,
        )
        handle = ctypes.c_uint64()
        _abi.call("session_open", options, ctypes.byref(handle))
        self._handle = handle.value

    def device(self) -> _abi.DeviceInfo:
        info = _abi.DeviceInfo()
        _abi.call("session_device", self._handle, info)
        return info

    def connect(self, path: str, name: str, timeout_ms: int) -> Welcome:
        welcome = _abi.Welcome()
        _abi.call("session_connect", self._handle, path.encode(), name.encode(), timeout_ms, welcome)
        return Welcome(welcome.session_id, bytes(welcome.token))

    def disconnect(self) -> None:
        _abi.call("session_disconnect", self._handle)

    def pump(self, handlers: EventHandlers) -> None:
        """Hands on one event after the other until the session is closed."""
        event = _abi.Event()
        ids = np.zeros(_EVENT_IDS_MAX, np.uint64)
        while True:
            try:
                _abi.call(
                    "session_next_event",
                    *(self._handle, _EVENT_WAIT_MS, event, ids.ctypes.data, _EVENT_IDS_MAX),
                )
            except KvspanError as failure:
                if failure.code == "CLOSED":
                    return
                raise
            _dispatch(event, ids, handlers)

    def mark(self) -> None:
        _abi.call("session_mark", self._handle)

    def refill_done(self, retry_after_ms: int) -> None:
        _abi.call("session_refill_done", self._handle, retry_after_ms)

    def give_back(self, size_bytes: int) -> int:
        released = ctypes.c_uint64()
        _abi.call("session_give_back", self._handle, size_bytes, ctypes.byref(released))
        return released.value

    def keep(self, size_bytes: int) -> None:
        _abi.call("session_keep", self._handle, size_bytes)

    def unkeep(self, size_bytes: int) -> None:
        _abi.call("session_unkeep", self._handle, size_bytes)

    def return_extents(self, ids: Sequence[int]) -> None:
        array = np.asarray(ids, np.uint64)
        _abi.call("session_return_extents", self._handle, array.ctypes.data, array.size)

    def pause_releases(self) -> None:
        _abi.call("session_pause_releases", self._handle)

    def resume_releases(self) -> None:
        _abi.call("session_resume_releases", self._handle)

    def held(self) -> list[tuple[int, int]]:
        """Id and bytes of every extent, in the magazine or mapped."""
        count = ctypes.c_size_t()
        capacity = 0
        while True:
            extents = (_abi.Extent * capacity)()
            _abi.call("session_held", self._handle, extents, capacity, ctypes.byref(count))
            if count.value <= capacity:
                return [(extents[i].id, extents[i].bytes) for i in range(count.value)]
            # More may come between the two calls.
            capacity = count.value + 64

    def stats(self) -> _abi.SessionStats:
        stats = _abi.SessionStats()
        _abi.call("session_get_stats", self._handle, stats)
        return stats

    def create_cache(
        self,
        plan: Plan,
        slots: int,
        max_tokens: int,
        growth: str,
        lookahead_tokens: int,
        overread_tokens: int,
    ) -> NativeCache:
        native = _abi.CachePlan(
            *(plan.base_address, plan.total_bytes, plan.row_bytes, plan.slot_stride_bytes),
            *(plan.lane_stride_bytes, plan.lane_count, slots, max_tokens),
        )
        options = _abi.CacheOptions(
            0 if growth == "geometric" else 1, lookahead_tokens, overread_tokens
        )
        handle, base = ctypes.c_uint64(), ctypes.c_uint64()
        _abi.call(
            "cache_create",
            *(self._handle, native, options, ctypes.byref(handle), ctypes.byref(base)),
        )
        return NativeCache(handle.value, base.value, slots)

    def close(self) -> None:
        _abi.call("session_close", self._handle)


def _dispatch(event: _abi.Event, ids: npt.NDArray[np.uint64], to: EventHandlers) -> None:
    if event.kind == _abi.EVENT_NEED:
        to.need(tuple(event.counts))
    elif event.kind == _abi.EVENT_RETURNED:
        to.returned([int(one) for one in ids[: event.id_count]])
    elif event.kind == _abi.EVENT_GRANTED:
        to.granted(event.grant_id, event.imported_count)
    elif event.kind == _abi.EVENT_CLOSED:
        to.closed(event.text.decode("utf-8", "replace"))
    elif event.kind == _abi.EVENT_MARK:
        to.mark()


class NativeCache:
    """A cache of the native core, and the arrays that its steps write to."""

    def __init__(self, handle: int, base: int, slots: int) -> None:
        self._handle = handle
        self.base = base
        #: Of every slot, 0: not live. Written in place by every step that succeeds.
        self.lengths: Int32Array = np.zeros(slots, np.int32)
        self._short = np.zeros(slots, np.uint32)
        # Taken once: making them costs as much as the step itself.
        self._lengths_at = self.lengths.ctypes.data
        self._short_at = self._short.ctypes.data
        # The hot path: looked up once. A cache has one engine, so one error is enough.
        self._step = _abi.load().kvspan_cache_step
        self._failure = _abi.Error()

    def allocate_warm(self, tokens: int, into: _abi.Allocation) -> None:
        _abi.call("cache_allocate_warm", self._handle, tokens, into)

    def allocate(
        self, tokens: int, patience_ms: int, into: _abi.Allocation, promised: bool = False
    ) -> None:
        _abi.call("cache_allocate", self._handle, tokens, patience_ms, promised, into)

    def promise(self, slot: int, promised: bool) -> None:
        _abi.call("cache_promise", self._handle, slot, promised)

    def hurry(self) -> None:
        _abi.call("cache_hurry", self._handle)

    def step(self, lengths: Int32Array, report: _abi.StepReport) -> None:
        """``lengths``: contiguous, one for each slot."""
        status = self._step(
            *(self._handle, lengths.ctypes.data, lengths.size, report),
            *(self._short_at, self._lengths_at, self._failure),
        )
        if status != 0:
            raise _abi.raised(self._failure)

    def step_slots(self, slots: UInt32Array, lengths: Int32Array, report: _abi.StepReport) -> None:
        _abi.call(
            "cache_step_slots",
            *(self._handle, slots.ctypes.data, lengths.ctypes.data, slots.size, report),
            *(self._short_at, self._lengths_at),
        )

    def short_slots(self, report: _abi.StepReport) -> tuple[int, ...]:
        return tuple(int(slot) for slot in self._short[: report.short_count])

    def read_lengths(self) -> None:
        """Brings ``lengths`` up to date, after anything but a step."""
        _abi.call("cache_lengths", self._handle, self._lengths_at, self.lengths.size)

    def free(self, slot: int, stream: int | None) -> None:
        _abi.call("cache_free", self._handle, slot, stream is not None, stream or 0)

    def free_all(self, stream: int) -> None:
        """Every live slot; a stream that does not work keeps none of them from ending."""
        for slot in np.flatnonzero(self.lengths):
            try:
                self.free(int(slot), stream)
            except KvspanError as failure:
                log.debug("freeing slot %d at the end: %s", slot, failure)
        self.lengths[:] = 0

    def length(self, slot: int) -> int:
        tokens = ctypes.c_uint32()
        _abi.call("cache_length", self._handle, slot, ctypes.byref(tokens))
        return tokens.value

    def mapped_tokens(self, slot: int) -> int:
        tokens = ctypes.c_uint32()
        _abi.call("cache_mapped_tokens", self._handle, slot, ctypes.byref(tokens))
        return tokens.value

    def copy_rows(
        self,
        direction: str,
        slot: int,
        lane: int,
        first_token: int,
        tokens: int,
        offset: int,
        width: int,
        data: int,
    ) -> None:
        """``direction``: "write" or "read"; ``data``: the address of dense rows."""
        _abi.call(
            f"cache_{direction}",
            *(self._handle, slot, lane, first_token, tokens, offset, width),
            *(data, tokens * width),
        )

    def stats(self) -> _abi.CacheStats:
        stats = _abi.CacheStats()
        _abi.call("cache_get_stats", self._handle, stats)
        return stats

    def destroy(self) -> None:
        _abi.call("cache_destroy", self._handle)
