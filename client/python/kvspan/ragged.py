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
        self._host = {
            "qo_indptr": np.zeros(2 * slots + 1, np.int32),
            "kv_indptr": np.zeros(2 * slots + 1, np.int32),
            "cum_seq_q": np.zeros(slots + 1, np.int32),
            "cum_seq_k": np.arange(slots + 1, dtype=np.int32) * np.int32(self.stride),
            "seqused_k": np.zeros(slots, np.int32),
        }
        on_gpu = cache.backend == "cuda"
        device = f"cuda:{cache.ordinal}"
        self._device: dict[str, Any] = dict(_twins(self._host, device) if on_gpu else self._host)
        self._on_gpu = on_gpu
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
            for name in ("seqused_k", "cum_seq_q", "kv_indptr", "qo_indptr"):
                self._device[name].copy_(_pinned(host[name]), non_blocking=True)

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


def _twins(arrays: dict[str, Int32Array], device: str) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def _pinned(array: Int32Array) -> Any:
    """A copy that the GPU may still read while the array is written for the next step."""
    import torch

    return torch.from_numpy(array).pin_memory()
