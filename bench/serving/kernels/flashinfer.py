"""FlashInfer: its paged kernels over blocks; over contiguous requests its ragged kernels by the gaps recipe,
or its paged ones over pages that lie in order, where 32 bits do not reach."""

from __future__ import annotations

import importlib
import math
import os
from typing import Any, Final

import numpy as np
import torch

from ..manager import Manager, to_device
from ..managers.blocks import BLOCK_TOKENS, Blocks
from ..managers.spans import Spans
from ..shapes import ModelShape
from .base import Batch, Writer

_WORKSPACE_BYTES: Final = 384 << 20
_IN_ORDER_PAGE_MAX: Final = 1024
#: The fa2 template counts elements with 32 bits.
_INDEXED_MAX: Final = 1 << 32


class _Flash(Writer):
    """A wrapper for who decodes and one for who prefills."""

    def __init__(
        self, manager: Manager, shape: ModelShape, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(manager, shape, device)
        os.environ.setdefault("FLASHINFER_CUDA_ARCH_LIST", "9.0a")
        self.library = importlib.import_module("flashinfer")
        self.workspace = torch.zeros(_WORKSPACE_BYTES, dtype=torch.uint8, device=device)
        self.types: dict[str, Any] = {"q_data_type": dtype, "kv_data_type": dtype}
        self.heads = (shape.query_heads, shape.kv_heads, shape.head_dim)
        self.batch: Batch | None = None

    def publish(self, batch: Batch) -> None:
        super().publish(batch)
        self.tell(batch)

    def tell(self, batch: Batch) -> None:
        """Whom the wrappers are to serve."""
        self.batch = batch

    def parts(self) -> list[tuple[bool, Batch]]:
        assert self.batch is not None
        both = [(decode, self.batch.part(decode)) for decode in (True, False)]
        return [(decode, part) for decode, part in both if len(part.handles)]

    def attend(self, layer: int, q: torch.Tensor) -> torch.Tensor:
        assert self.batch is not None
        decodes, rows = self.batch.decodes, q.shape[0]
        if decodes == rows:
            return self.run(True, layer, q)
        if decodes == 0:
            return self.run(False, layer, q)
        return torch.cat((self.run(True, layer, q[:decodes]), self.run(False, layer, q[decodes:])))

    def run(self, decode: bool, layer: int, q: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class FlashInferPaged(_Flash):
    """Over blocks, or over contiguous requests as pages in order."""

    def __init__(
        self,
        manager: Manager,
        shape: ModelShape,
        dtype: torch.dtype,
        device: torch.device,
        prefill: str = "fa2",
    ) -> None:
        super().__init__(manager, shape, dtype, device)
        if isinstance(manager, Blocks):
            self._size = BLOCK_TOKENS
        else:
            self._size = math.gcd(manager.stride, _IN_ORDER_PAGE_MAX)  # type: ignore[attr-defined]
        self._pages = [self._paged(layer) for layer in range(shape.layers)]
        self._wrappers = {
            True: self.library.BatchDecodeWithPagedKVCacheWrapper(
                self.workspace, "NHD", use_tensor_cores=True, backend="fa2"
            ),
            False: self.library.BatchPrefillWithPagedKVCacheWrapper(
                self.workspace, "NHD", backend=prefill
            ),
        }
        order = "blocks" if isinstance(manager, Blocks) else "pages in order"
        self.how = f"FlashInfer's paged kernels over {order} of {self._size}: decode fa2, prefill {prefill}"
        self._tables: dict[bool, tuple[torch.Tensor, ...]] = {}

    def _paged(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(self.manager, Blocks):
            k, v = self.manager.pages[layer]
            return k, v
        flat = self.manager.flat(layer)
        sizes = (flat[0].shape[0] // self._size, self._size, *flat[0].shape[1:])
        k, v = (part.as_strided(sizes, (self._size * part.stride(0), *part.stride())) for part in flat)
        return k, v

    def tell(self, batch: Batch) -> None:
        super().tell(batch)
        self._tables = {decode: self._table(part) for decode, part in self.parts()}

    def _table(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Where each request's list begins, the lists, and what the last page of each holds."""
        counts = -(-batch.lengths // self._size)
        begins = np.concatenate(([0], np.cumsum(counts)))
        within = np.arange(int(begins[-1])) - np.repeat(begins[:-1], counts)
        handles = np.repeat(batch.handles, counts)
        if isinstance(self.manager, Blocks):
            pages = self.manager.table[handles, within]
        else:
            firsts = self.manager.places(batch.handles, np.zeros_like(batch.handles))
            pages = np.repeat(firsts // self._size, counts) + within
        last = batch.lengths - (counts - 1) * self._size
        return (
            torch.from_numpy(begins.astype(np.int32)),
            to_device(pages.astype(np.int32), self.device),
            torch.from_numpy(last.astype(np.int32)),
        )

    def plan(self) -> None:
        for decode, part in self.parts():
            table = self._tables[decode]
            arguments = (*table, *self.heads, self._size)
            if decode:
                self._wrappers[True].plan(*arguments, **self.types)
            else:
                starts = torch.from_numpy(part.row_starts.astype(np.int32))
                self._wrappers[False].plan(starts, *arguments, causal=True, **self.types)

    def run(self, decode: bool, layer: int, q: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self._wrappers[decode].run(q, self._pages[layer])
        return out


class FlashInferRagged(_Flash):
    """The gaps recipe, in decode by kvspan's own arrays where there are such."""

    def __init__(
        self,
        manager: Manager,
        shape: ModelShape,
        dtype: torch.dtype,
        device: torch.device,
        prefill: str = "fa2",
    ) -> None:
        super().__init__(manager, shape, dtype, device)
        self._wrappers = {
            decode: self.library.BatchPrefillWithRaggedKVCacheWrapper(
                self.workspace, "NHD", backend="fa2" if decode else prefill
            )
            for decode in (True, False)
        }
        self.how = f"FlashInfer's ragged kernels by the gaps recipe: decode fa2, prefill {prefill}"

    def tell(self, batch: Batch) -> None:
        super().tell(batch)
        if isinstance(self.manager, Spans):
            decoding = batch.handles[: batch.decodes].tolist()
            self.manager.decode.set_query_lengths(dict.fromkeys(decoding, 1))

    def plan(self) -> None:
        for decode, part in self.parts():
            qo, kv = self._segments(decode, part)
            self._wrappers[decode].plan(qo, kv, *self.heads, causal=not decode, **self.types)

    def _segments(self, decode: bool, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        if decode and isinstance(self.manager, Spans):
            host = self.manager.decode.host
            return torch.from_numpy(host["qo_indptr"]), torch.from_numpy(host["kv_indptr"])
        # A prompt has its memory from the beginning, and so its length: what is written is less.
        starts = self.manager.places(batch.handles, np.zeros_like(batch.handles))
        rows = batch.row_starts
        kv = np.stack((starts, starts + batch.lengths), 1).reshape(-1)
        qo = np.repeat(rows, 2)[1:-1]
        return torch.from_numpy(qo.astype(np.int32)), torch.from_numpy(kv.astype(np.int32))

    def run(self, decode: bool, layer: int, q: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self._wrappers[decode].run(q, *self.manager.flat(layer))
        return out


def contiguous(
    manager: Manager,
    shape: ModelShape,
    dtype: torch.dtype,
    device: torch.device,
    prefill: str,
) -> _Flash:
    """By the gaps recipe where 32 bits reach, as far as the template needs it."""
    k, _ = manager.flat(0)
    if k.shape[0] * k.stride(0) <= _INDEXED_MAX:
        return FlashInferRagged(manager, shape, dtype, device, prefill)
    if prefill == "fa3":
        return FlashInferMixed(manager, shape, dtype, device)
    return FlashInferPaged(manager, shape, dtype, device, prefill)


class FlashInferMixed(_Flash):
    """Decode over pages in order, prefill by the gaps recipe and the fa3 template, which counts with 64
    bits."""

    def __init__(
        self, manager: Manager, shape: ModelShape, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(manager, shape, dtype, device)
        self._decode = FlashInferPaged(manager, shape, dtype, device, "fa2")
        self._prefill = FlashInferRagged(manager, shape, dtype, device, "fa3")
        self.how = f"decode: {self._decode.how}; prefill: {self._prefill.how}"

    def tell(self, batch: Batch) -> None:
        super().tell(batch)
        self._decode.tell(batch.part(True))
        self._prefill.tell(batch.part(False))

    def plan(self) -> None:
        self._decode.plan()
        self._prefill.plan()

    def run(self, decode: bool, layer: int, q: torch.Tensor) -> torch.Tensor:
        return (self._decode if decode else self._prefill).run(decode, layer, q)
