"""Index arrays for kernels that take a batch of sequences of unequal lengths ("ragged", "varlen").

The cache lies there as ``[slots, stride, kv_heads, head_dim]``; seen as one long row of tokens, with
a slot's tokens at ``slot * stride``, unmodified kernels of two kinds run on it:

* ``cum_seq_k`` with ``seqused_k`` (PyTorch's ``aten::_flash_attention_forward``, FlashAttention's
  varlen functions): sequence ``s`` begins at ``cum_seq_k[s]`` and has ``seqused_k[s]`` tokens.
* ``qo_indptr`` and ``kv_indptr`` (FlashInfer's ragged wrappers), by the *gaps recipe* of
  docs/measured.md: each slot is two segments, its tokens and then the unused rest of the slot, which
  has no queries. So segment ``2 s`` is slot ``s``, and segment ``2 s + 1`` the gap behind it.

Kernels that read past a segment's end (FlashInfer's fa3 template, FlashAttention-3) need a cache
made with ``overread_tokens=256``: what they read is then mapped, and zero where nothing was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _validate as validate
from ._native import Int32Array
from ._step import lengths_array
from .errors import bad_field

if TYPE_CHECKING:
    from .cache import Cache
    from .geometry import Part


class Ragged:
    """Arrays of a cache's live slots, all int32, of fixed shapes and addresses. Every ``step``,
    ``allocate`` and ``free`` of the cache writes them anew in place, so that captured graphs that
    read them stay valid.

    On the host backend they are numpy arrays; on the cuda backend torch tensors of the device,
    written on torch's current stream, so not while a graph is being captured.

    Attributes:
        qo_indptr: ``[2 slots + 1]``, where each segment's queries begin.
        kv_indptr: ``[2 slots + 1]``, where each segment's keys begin, in tokens.
        cum_seq_q: ``[slots + 1]``, where each slot's queries begin.
        cum_seq_k: ``[slots + 1]``, where each slot begins, in tokens: never changes.
        seqused_k: ``[slots]``, the lengths.
    """

    def __init__(self, cache: Cache, query_lengths: object = None) -> None:
        geometry, plan = cache.geometry, cache.plan
        #: Tokens from one slot to the next.
        self.stride = plan.slot_stride_bytes // plan.row_bytes
        if self.stride * geometry.slots > validate.COUNT_MAX:
            raise bad_field(
                "slots",
                f"{geometry.slots} slots {self.stride} tokens apart",
                f"at most {validate.COUNT_MAX} tokens in all: kernels index them with int32",
            )
        self._cache = cache
        slots = geometry.slots
        self._queries: Int32Array | None = None
        sizes = {
            "cum_seq_k": slots + 1,
            "seqused_k": slots,
            "cum_seq_q": slots + 1,
            "kv_indptr": 2 * slots + 1,
            "qo_indptr": 2 * slots + 1,
        }
        self._packed, self._host = _packed(sizes)
        self._host["cum_seq_k"][:] = np.arange(slots + 1, dtype=np.int32) * np.int32(self.stride)
        #: The first array never changes.
        self._changing = self._packed.size - _places(sizes)["seqused_k"]
        self._on_gpu = cache.backend == "cuda"
        self._device: dict[str, Any] = dict(self._host)
        if self._on_gpu:
            self._twin, self._device = _twins(self._packed, sizes, f"cuda:{cache.ordinal}")
        self.qo_indptr, self.kv_indptr = self._device["qo_indptr"], self._device["kv_indptr"]
        self.cum_seq_q, self.cum_seq_k = self._device["cum_seq_q"], self._device["cum_seq_k"]
        self.seqused_k = self._device["seqused_k"]
        self.set_query_lengths(query_lengths)

    def set_query_lengths(self, query_lengths: object) -> None:
        """How many queries each slot has in the passes that follow.

        None: one for each live slot (decode). Else ``[slots]`` integers or a mapping of slot to
        count, the others having none; at most a slot's length, since queries are its last tokens.
        """
        slots = self._cache.geometry.slots
        if query_lengths is None:
            self._queries = None
        elif isinstance(query_lengths, Mapping):
            queries = np.zeros(slots, np.int32)
            for slot, count in query_lengths.items():
                index = validate.count("query_lengths", slot, 0, slots - 1)
                queries[index] = validate.count(f"query_lengths[{slot}]", count, 0)
            self._queries = queries
        else:
            self._queries = lengths_array(query_lengths, slots).copy()
        self.update()

    def update(self) -> None:
        """Writes the arrays; the cache's calls do it by themselves."""
        lengths = self._cache.lengths
        queries = np.minimum(lengths, 1 if self._queries is None else self._queries)
        host = self._host
        host["seqused_k"][:] = lengths
        np.cumsum(queries, out=host["cum_seq_q"][1:], dtype=np.int32)
        host["kv_indptr"][0::2] = host["cum_seq_k"]
        host["kv_indptr"][1::2] = host["cum_seq_k"][:-1] + lengths
        # No queries in a gap: it ends where the slot before it did.
        host["qo_indptr"][0::2] = host["cum_seq_q"]
        host["qo_indptr"][1::2] = host["cum_seq_q"][1:]
        if self._on_gpu:
            changed = _pinned(self._packed[-self._changing :])
            self._twin[-self._changing :].copy_(changed, non_blocking=True)

    @property
    def host(self) -> Mapping[str, Int32Array]:
        """The same arrays on the host, by name, for libraries that plan there (FlashInfer's ``plan``):
        theirs need not wait for the device then. Written in place, and not to be written by others."""
        return self._host

    @property
    def fits_32_bits(self) -> bool:
        """Whether the offset of every element of :meth:`k` is below 2^32.

        Kernels that compute offsets with 32 bits read elsewhere if it is not: FlashInfer's fa2
        template is one (token x stride, both 32 bits wide). The layer-major layout reaches far more
        tokens, and fewer slots or shorter ones help; FlashInfer's fa3 template, PyTorch's
        FlashAttention-2 and *in-order pages* (client/python/README.md) need none of it.
        """
        elements = self._cache.plan.row_bytes // self._cache.geometry.element_bytes
        return self.stride * self._cache.geometry.slots * elements <= 1 << 32

    @property
    def queries(self) -> int:
        """Of all slots together: how many rows the query tensor has."""
        return int(self._host["cum_seq_q"][-1])

    @property
    def slots(self) -> npt.NDArray[np.int64]:
        """The live slots, ascending: the order of the query tensor's rows."""
        return np.flatnonzero(self._cache.lengths)

    def k(self, layer: int, *, framework: str | None = None) -> Any:
        """K of a layer as ``[slots * stride, kv_heads, head_dim]``: what the index arrays index."""
        return self._flat("key", layer, framework)

    def v(self, layer: int, *, framework: str | None = None) -> Any:
        """V of a layer, as :meth:`k`."""
        return self._flat("value", layer, framework)

    def _flat(self, part: Part, layer: int, framework: str | None) -> Any:
        return self._cache.flat(part, layer, self.stride, framework)


def _places(sizes: Mapping[str, int]) -> dict[str, int]:
    """Where each array begins in one that holds them all; on multiples of 16 bytes."""
    places: dict[str, int] = {}
    end = 0
    for name, size in sizes.items():
        places[name] = end
        end += (size + 3) // 4 * 4
    return places


def _packed(sizes: Mapping[str, int]) -> tuple[Int32Array, dict[str, Int32Array]]:
    """One array, and the parts of it: one copy brings all of them to the device."""
    places = _places(sizes)
    last = list(sizes)[-1]
    whole = np.zeros(places[last] + sizes[last], np.int32)
    return whole, {name: whole[places[name] : places[name] + sizes[name]] for name in sizes}


def _twins(whole: Int32Array, sizes: Mapping[str, int], device: str) -> tuple[Any, dict[str, Any]]:
    import torch

    twin = torch.from_numpy(whole).to(device)
    places = _places(sizes)
    return twin, {name: twin[places[name] : places[name] + sizes[name]] for name in sizes}


def _pinned(array: Int32Array) -> Any:
    """A copy that the GPU may still read while the array is written for the next step."""
    import torch

    return torch.from_numpy(array).pin_memory()
