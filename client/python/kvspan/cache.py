"""A KV cache of a session: slots, their lengths, and the rows in them."""

from __future__ import annotations

import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from . import _abi
from . import _validate as validate
from ._background import finish
from ._borrows import Borrows
from ._native import Int32Array, NativeCache, Plan
from ._refill import Refills
from ._rows import copy_rows, empty_rows
from ._step import StepResult, lengths_array, lengths_mapping, stream_number
from .errors import KvspanError, bad_field, error
from .geometry import Geometry, Part
from .ragged import Ragged
from .stats import CacheStats, cache_stats
from .views import StridedView, flat_of, view_of

if TYPE_CHECKING:
    from .session import Session

_NOTHING: Final = StepResult("nothing", 0, ())
_AHEAD: Final = StepResult("ahead", 0, ())


class Cache:
    """A KV cache, made by :meth:`Session.create_cache`. A context manager.

    Slots are used by one thread at a time (the engine's loop): ``step``, ``free`` and the rows of a
    slot. ``allocate`` may run on another thread beside steps that name their slots. InvalidArgument
    (SLOT_UNKNOWN) and SlotFreed name a slot that is not live.
    """

    def __init__(
        self,
        session: Session,
        native: NativeCache,
        cache_id: int,
        name: str,
        geometry: Geometry,
        plan: Plan,
    ) -> None:
        #: The shape that was asked for.
        self.geometry = geometry
        #: At the addresses that it really has; they never change while it is open.
        self.plan = plan
        self.name = name
        #: The daemon's; another one after each re-establishment.
        self.cache_id = cache_id
        self._session = session
        self._native = native
        self._borrows = Borrows()
        self._refills = Refills(session, native)
        self._ragged: weakref.WeakSet[Ragged] = weakref.WeakSet()
        self._report = _abi.StepReport()
        self._lock = threading.Lock()
        self._closing = False
        self._gone = threading.Event()

    def allocate(self, tokens: int, *, wait: float | None = None) -> int:
        """A slot for a request with a prompt of ``tokens``, mapped as far as that.

        Args:
            tokens: 1 .. max_tokens.
            wait: seconds for memory to come; default: the session's ``grant_wait``.

        Raises:
            SlotsExhausted; OutOfMemory, DeadlineExceeded or DaemonUnavailable if the memory does not
            come by then. Nothing is changed in either case.
        """
        self.check_open("allocate")
        checked = validate.count("tokens", tokens, 1, self.geometry.max_tokens)
        until = time.monotonic() + validate.seconds("wait", wait, self._session.grant_wait)
        report = _abi.Allocation(slot=-1)
        try:
            self._native.allocate_warm(checked, report)
            if report.slot < 0:
                self._refills.allocate(checked, until, report)
            self._native.read_lengths()
            self._lengths_changed()
            return int(report.slot)
        except BaseException:
            # Ctrl-C among them: a slot that nobody hears of would stay for ever.
            if report.slot >= 0:
                self._native.free(report.slot, None)
                self._native.read_lengths()
            raise

    def step(
        self, lengths: Mapping[int, int] | npt.ArrayLike, *, wait: float | None = None
    ) -> StepResult:
        """The new length of each live slot, before a forward pass.

        Args:
            lengths: an array or tensor with an entry for every slot, 0 where it is not live, or a
                mapping of only the slots that change. int32 in memory order is read in place; a CUDA
                tensor is copied here first, which waits for its stream.
            wait: seconds for memory to come if some slot finds none; default: ``grant_wait``.

        A slot that could not grow is in ``short_slots`` and has kept its length: preempt one. Never
        raises for lack of memory. Bad input raises and changes nothing.
        """
        if self._closing or os.getpid() != self._session._pid:
            self.check_open("step")
        seconds = validate.seconds("wait", wait, self._session.grant_wait)
        wanted = self._step(lengths)
        report = self._report
        if report.outcome == _abi.STEP_NOTHING:
            return _NOTHING
        if report.outcome == _abi.STEP_AHEAD:
            return _AHEAD
        if report.outcome == _abi.STEP_MAPPED:
            return StepResult("mapped", report.driver_calls, ())
        return self._refill_and_retry(wanted, seconds)

    def free(self, slot: int, stream: object = None) -> None:
        """The slot's request has ended; its memory stays mapped for the next one until somebody
        needs it.

        Args:
            stream: whose submitted work still uses the slot: a torch.cuda.Stream, an object with
                ``ptr`` or ``cuda_stream``, or the number of a CUstream. Its memory is unmapped only
                after that work. None: torch's current stream on the cuda backend, if torch is
                loaded; else no work is pending. On the host backend arrays of the slot that are
                still alive are waited for in the same way.
        """
        self.check_open("free")
        checked = self._slot(slot)
        number = stream_number(stream, self.backend, self.ordinal)
        borrowed = self._borrows.of_slot(checked)
        if borrowed is not None and self.backend == "host":
            if number is not None:
                raise bad_field("stream", number, "None while arrays of the slot are alive")
            number = borrowed
        self._native.free(checked, number)
        self._borrows.slot_freed(checked)
        self._native.read_lengths()
        self._lengths_changed()

    @property
    def lengths(self) -> Int32Array:
        """``[slots]`` int32, 0 where not live: a view that every call brings up to date."""
        view: Int32Array = self._native.lengths.view()
        view.flags.writeable = False
        return view

    def length(self, slot: int) -> int:
        """Of a live slot, in tokens."""
        self.check_open("length")
        return self._native.length(self._slot(slot))

    def mapped_tokens(self, slot: int) -> int:
        """Whole tokens that are mapped, of a live or an idle slot."""
        self.check_open("mapped_tokens")
        return self._native.mapped_tokens(self._slot(slot))

    def k(self, layer: int, slot: int | None = None, *, framework: str | None = None) -> Any:
        """K of a layer; in the latent layout the latent vector.

        Without ``slot``: ``[slots, max_tokens, kv_heads, head_dim]``, over addresses that never
        change, for kernels; only what is mapped may be touched (:mod:`kvspan.views`). With one:
        ``[length, kv_heads, head_dim]`` as the request is now.

        Args:
            framework: "torch" (default on cuda) or "numpy" (default on host, and only there).
        """
        return self._tensor("k", "key", layer, slot, framework)

    def v(self, layer: int, slot: int | None = None, *, framework: str | None = None) -> Any:
        """V of a layer, as :meth:`k`. InvalidArgument in the latent layout, which has none."""
        return self._tensor("v", "value", layer, slot, framework)

    def view(self, part: Part, layer: int, slot: int | None = None) -> StridedView:
        """Address, shape and strides of what :meth:`k` ("key") and :meth:`v` ("value") show."""
        self.check_open("view")
        validate.one_of("part", part, ("key", "value"))
        if slot is None:
            return view_of(self, part, layer, None, 0)
        checked = self._slot(slot)
        return view_of(self, part, layer, checked, self.length(checked))

    def ragged(self, query_lengths: object = None) -> Ragged:
        """Index arrays of the live slots for kernels of ragged batches, kept up to date in place by
        ``step`` (:class:`Ragged`). ``query_lengths``: see :meth:`Ragged.set_query_lengths`."""
        self.check_open("ragged")
        ragged = Ragged(self, query_lengths)
        self._ragged.add(ragged)
        return ragged

    def write_rows(
        self, part: Part, layer: int, slot: int, first_token: int, rows: npt.NDArray[Any]
    ) -> None:
        """Copies dense ``[tokens, kv_heads, head_dim]`` to where they belong, within the slot's
        length. Done when it returns; not ordered with anybody's streams."""
        data = np.ascontiguousarray(rows)
        self._copy("write", part, layer, slot, first_token, data)

    def read_rows(
        self, part: Part, layer: int, slot: int, first_token: int, tokens: int
    ) -> npt.NDArray[Any]:
        """The same the other way: ``[tokens, kv_heads, head_dim]``, bf16 and fp8 as their bits."""
        self.check_open("read_rows")
        checked = validate.count("tokens", tokens, 1, self.geometry.max_tokens)
        data = empty_rows(self.geometry, checked)
        self._copy("read", part, layer, slot, first_token, data)
        return data

    def stats(self) -> CacheStats:
        """Counts, bytes and step times of this moment."""
        self.check_open("stats")
        return cache_stats(self._native.stats())

    def close(self) -> None:
        """Gives the addresses up; the memory goes to the magazine. Idempotent. While arrays of it
        are alive the memory stays, and goes when they have gone."""
        if os.getpid() != self._session._pid:
            return
        with self._lock:
            first = not self._closing
            self._closing = True
        if not first:
            self._gone.wait()
            return
        self.fence_live_slots()
        if self._borrows.any:
            warnings.warn(
                f"{self!r} is closed while arrays of it are alive: its memory stays until they go",
                ResourceWarning,
                stacklevel=2,
            )
            self._gone.set()
            self._borrows.when_none(self._destroy)
        else:
            finish(self._destroy, "kvspan cache close")

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        shape = self.geometry
        state = "closed" if self._closing else f"{np.count_nonzero(self._native.lengths)} live"
        return (
            f"<kvspan.Cache {self.name or self.cache_id}: {shape.slots} slots x {shape.max_tokens} "
            f"tokens, {shape.layers} x [{shape.kv_heads}, {shape.head_dim}] {shape.dtype}, {state}>"
        )

    def flat(self, part: Part, layer: int, stride: int, framework: str | None) -> Any:
        """All slots as one row of tokens, ``[slots * stride, kv_heads, head_dim]``."""
        return self._in_framework(flat_of(self.view(part, layer), stride), framework)

    @property
    def backend(self) -> str:
        return self._session.server.backend

    @property
    def ordinal(self) -> int:
        return self._session.ordinal

    @property
    def closed(self) -> bool:
        return self._closing

    @property
    def borrowed(self) -> bool:
        """Arrays of it are alive."""
        return self._borrows.any

    def borrow(self, slot: int | None) -> int:
        return self._borrows.begin(slot)

    def fence_live_slots(self) -> None:
        """Before the end: memory that kernels of this thread's stream still use is unmapped behind
        them. The thread that launched them must call it; no other knows the stream."""
        stream = stream_number(None, self.backend, self.ordinal)
        if stream is not None:
            self._native.free_all(stream)

    def when_unborrowed(self, work: Callable[[], None]) -> None:
        """Once no array of it is alive and its addresses are given up."""

        def both() -> None:
            self._destroy()
            work()

        self._borrows.when_none(both)

    def unmapped(self, begin: int, end: int) -> str | None:
        """Why addresses of one slot may not be touched; None: they are mapped."""
        plan = self.plan
        lane_offset = (begin - plan.base_address) % plan.lane_stride_bytes
        slot, offset = divmod(lane_offset, plan.slot_stride_bytes)
        tokens = self._native.mapped_tokens(slot)
        if offset + (end - begin) <= tokens * plan.row_bytes:
            return None
        last = (offset + (end - begin) - 1) // plan.row_bytes
        return f"slot {slot} is touched up to token {last} and has {tokens} mapped"

    def check_open(self, method: str) -> None:
        self._session.check_process(f"Cache.{method}")
        if self._closing:
            raise error("CLOSED", f"Cache.{method}: the cache is closed")

    def _step(self, lengths: object) -> dict[int, int] | Int32Array:
        if isinstance(lengths, Mapping):
            slots, values = lengths_mapping(lengths, self.geometry)
            self._native.step_slots(slots, values, self._report)
            self._lengths_changed()
            return dict(zip(slots.tolist(), values.tolist()))
        wanted = lengths_array(lengths, self.geometry.slots)
        self._native.step(wanted, self._report)
        self._lengths_changed()
        return wanted

    def _lengths_changed(self) -> None:
        for ragged in self._ragged:
            ragged.update()

    def _refill_and_retry(self, wanted: dict[int, int] | Int32Array, seconds: float) -> StepResult:
        """A short step asks the daemon, and tries again as long as something may have come."""
        until = time.monotonic() + seconds
        report = self._report
        driver_calls = report.driver_calls
        missed = {slot: int(wanted[slot]) for slot in self._native.short_slots(report)}
        again = True
        while report.outcome == _abi.STEP_SHORT and again and self._session.connected:
            again = self._refills.for_step(tuple(report.need), until)
            lengths = self._native.lengths
            missed = {slot: want for slot, want in missed.items() if 0 < lengths[slot] < want}
            if not missed:
                # Freed meanwhile, or grown by another step.
                return StepResult("refilled", driver_calls, ())
            self._step(missed)
            driver_calls += report.driver_calls
        short = report.outcome == _abi.STEP_SHORT
        slots = self._native.short_slots(report) if short else ()
        return StepResult("short" if short else "refilled", driver_calls, slots)

    def _tensor(
        self, method: str, part: Part, layer: int, slot: int | None, framework: str | None
    ) -> Any:
        self.check_open(method)
        return self._in_framework(self.view(part, layer, slot), framework)

    def _in_framework(self, view: StridedView, framework: str | None) -> Any:
        default = "numpy" if self.backend == "host" else "torch"
        chosen = validate.one_of("framework", framework or default, ("numpy", "torch"))
        return view.numpy() if chosen == "numpy" else view.torch()

    def _copy(
        self,
        direction: str,
        part: Part,
        layer: int,
        slot: int,
        first_token: int,
        data: npt.NDArray[Any],
    ) -> None:
        self.check_open(f"{direction}_rows")
        validate.one_of("part", part, ("key", "value"))
        checked = self._slot(slot)
        length = self.length(checked)
        copy_rows(
            *(self._native, self.geometry, direction, part, layer),
            *(checked, length, first_token, data),
        )

    def _slot(self, slot: object) -> int:
        """Whether it is live is the native core's to say."""
        try:
            return validate.count("slot", slot, 0, self.geometry.slots - 1)
        except KvspanError as failure:
            raise error("SLOT_UNKNOWN", str(failure), field="slot") from None

    def _destroy(self) -> None:
        try:
            self._native.destroy()
            self._session.cache_closed(self)
        finally:
            self._gone.set()
