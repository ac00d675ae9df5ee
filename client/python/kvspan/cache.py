"""A KV cache of a session: slots, their lengths, and the rows in them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _validate as validate
from ._background import finish
from ._requests import Requests
from ._rows import copy_rows, empty_rows
from ._step import stream_number
from .geometry import Part
from .ragged import Ragged
from .stats import CacheStats, cache_stats
from .views import StridedView, flat_of, view_of


class Cache(Requests):
    """A KV cache, made by :meth:`Session.create_cache`. A context manager.

    Slots are used by one thread at a time (the engine's loop): ``step``, ``free`` and the rows of a
    slot. ``allocate`` may run on another thread beside steps that name their slots. InvalidArgument
    (SLOT_UNKNOWN) and SlotFreed name a slot that is not live.
    """

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

    def _destroy(self) -> None:
        try:
            self._native.destroy()
            self._session.cache_closed(self)
        finally:
            self._gone.set()
