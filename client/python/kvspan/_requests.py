"""The half of a cache that the engine's loop uses: requests in slots, and how long they are."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy.typing as npt

from . import _abi
from . import _validate as validate
from ._borrows import Borrows
from ._native import Int32Array, NativeCache, Plan
from ._refill import Refills
from ._reservation import Reservation
from ._span_need import SpanNeed
from ._step import StepResult, lengths_array, lengths_mapping, stream_number
from .errors import KvspanError, bad_field, error
from .geometry import Geometry
from .ragged import Ragged

if TYPE_CHECKING:
    from .session import Session

_NOTHING: Final = StepResult("nothing", 0, ())
_AHEAD: Final = StepResult("ahead", 0, ())
#: After how long a promise without a request may lapse, in seconds.
LAPSE_MIN: Final = 0.001
LAPSE_MAX: Final = 600.0


class Requests:
    """Allocating, stepping and freeing; the public face is :class:`kvspan.Cache`."""

    def __init__(
        self,
        session: Session,
        native: NativeCache,
        cache_id: int,
        name: str,
        geometry: Geometry,
        plan: Plan,
        need: SpanNeed,
        lookahead_tokens: int,
    ) -> None:
        #: The shape that was asked for.
        self.geometry = geometry
        #: At the addresses that it really has; they never change while it is open.
        self.plan = plan
        self.name = name
        #: The daemon's; another one after each re-establishment.
        self.cache_id = cache_id
        #: How much memory a length takes.
        self.need = need
        self.lookahead_tokens = lookahead_tokens
        self._session = session
        self._native = native
        self._borrows = Borrows()
        self._refills = Refills(session, native)
        self._ragged: weakref.WeakSet[Ragged] = weakref.WeakSet()
        self._report = _abi.StepReport()
        self._lock = threading.Lock()
        self._closing = False
        self._gone = threading.Event()

    def allocate(
        self, tokens: int, *, wait: float | None = None, reservation: Reservation | None = None
    ) -> int:
        """A slot for a request with a prompt of ``tokens``, mapped as far as that.

        Args:
            tokens: 1 .. max_tokens.
            wait: seconds for memory to come; default: the session's ``grant_wait``.
            reservation: what :meth:`reserve` gave, for no other request yet: the slot takes what it
                needs of it, at once and whatever others ask for, up to the length reserved.

        Raises:
            SlotsExhausted; OutOfMemory, DeadlineExceeded or DaemonUnavailable if the memory does not
            come by then. Nothing is changed in either case.
        """
        self.check_open("allocate")
        checked = validate.count("tokens", tokens, 1, self.geometry.max_tokens)
        until = time.monotonic() + validate.seconds("wait", wait, self._session.grant_wait)
        promise = None
        if reservation is not None:
            promise = self._session.reservations.take(reservation, self, checked)
        report = _abi.Allocation(slot=-1)
        try:
            self._native.allocate_warm(checked, report)
            if report.slot < 0:
                self._refills.allocate(checked, until, report, promise)
            if promise is not None:
                self._session.reservations.bind(promise, int(report.slot))
            self._native.read_lengths()
            self._lengths_changed()
            return int(report.slot)
        except BaseException:
            if promise is not None:
                self._session.reservations.drop(promise)
            # Ctrl-C among them: a slot that nobody hears of would stay for ever.
            if report.slot >= 0:
                self._native.free(report.slot, None)
                self._session.reservations.freed(self, int(report.slot))
                self._native.read_lengths()
            raise

    def reserve(
        self,
        tokens: int,
        *,
        wait: float | None = None,
        lapse: float = 30.0,
        slot: int | None = None,
    ) -> Reservation:
        """Memory for one request to grow to ``tokens``, kept free by the daemon: who admits only
        requests that it has reserved their length for need never preempt one. Takes no memory, but
        counts as if it did. Give it to :meth:`allocate`; ``free`` of the slot ends it, and so does
        ``release``. ``step`` draws on it. Within the tenant's guarantee it stands; what is above it is cut
        when another tenant's guarantee needs the memory (the session's "promise_cut").

        Args:
            tokens: 1 .. max_tokens.
            wait: seconds for memory to come; default: the session's ``grant_wait``.
            lapse: without a request it lapses after so many seconds, 0.001 .. 600.
            slot: for this live slot's request, for what it lacks; default: for the next ``allocate``.

        Raises:
            As :meth:`allocate`; nothing is changed then.
        """
        self.check_open("reserve")
        checked = validate.count("tokens", tokens, 1, self.geometry.max_tokens)
        seconds = validate.seconds("wait", wait, self._session.grant_wait)
        span = validate.between("lapse", lapse, LAPSE_MIN, LAPSE_MAX)
        live = None if slot is None else self._unpromised(slot)
        mapped = 0 if live is None else self.mapped_of(live)
        made = self._session.reservations.make(self, checked, mapped, seconds, span)
        if live is not None:
            try:
                self._native.length(live)
                self._session.reservations.bind(made, live)
            except BaseException:
                made.release()
                raise
        elif self.closed:
            made.release()
        return made

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
        self._session.reservations.freed(self, checked)
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

    @property
    def backend(self) -> str:
        return self._session.server.backend

    @property
    def ordinal(self) -> int:
        return self._session.ordinal

    @property
    def closed(self) -> bool:
        return self._closing

    def check_open(self, method: str) -> None:
        self._session.check_process(f"Cache.{method}")
        if self._closing:
            raise error("CLOSED", f"Cache.{method}: the cache is closed")

    def mapped_of(self, slot: int) -> int:
        return self._native.mapped_tokens(slot)

    def length_of(self, slot: int) -> int:
        return self._native.length(slot)

    def promised(self, slot: int, promised: bool) -> None:
        """Tells the native core whether memory is promised to the slot's request."""
        self._native.promise(slot, promised)

    def _unpromised(self, slot: object) -> int:
        """A live slot that memory is not promised to yet."""
        checked = self._slot(slot)
        self._native.length(checked)
        if self._session.reservations.of(self, checked) is not None:
            raise bad_field("slot", checked, "one that memory is not promised to yet")
        return checked

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
            again = self._refills.for_step(self, missed, tuple(report.need), until)
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

    def _slot(self, slot: object) -> int:
        """Whether it is live is the native core's to say."""
        try:
            return validate.count("slot", slot, 0, self.geometry.slots - 1)
        except KvspanError as failure:
            raise error("SLOT_UNKNOWN", str(failure), field="slot") from None
