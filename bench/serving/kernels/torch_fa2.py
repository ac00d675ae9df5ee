"""PyTorch's FlashAttention-2 over requests that are contiguous, and over blocks if its operator takes a
table; else over a copy of each request's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..manager import Int64Array, Manager, to_device
from ..managers.blocks import Blocks
from ..shapes import ModelShape
from .base import Batch, Writer

_aten = torch.ops.aten


@dataclass(frozen=True)
class _Part:
    """Decode and prefill are calls of their own: the kernel splits the keys only for the former."""

    rows: slice
    starts_q: torch.Tensor
    #: Where each request begins, and one entry more.
    starts_k: torch.Tensor
    used: torch.Tensor
    queries_max: int
    keys_max: int
    #: Rows to be copied together first; None: they lie one behind the other.
    copied: torch.Tensor | None


class TorchFa2(Writer):
    def __init__(self, manager: Manager, shape: ModelShape, device: torch.device) -> None:
        super().__init__(manager, shape, device)
        self._copies = isinstance(manager, Blocks)
        self.how = "aten::_flash_attention_forward(cum_seq_k, seqused_k)"
        if self._copies:
            self.how += " over a copy of each request's rows: no paged kernel is at hand"
        self._parts: list[_Part] = []

    def publish(self, batch: Batch) -> None:
        super().publish(batch)
        parts = [(True, 0, batch.decodes), (False, batch.decodes, len(batch.handles))]
        rows = batch.row_starts
        self._parts = [
            self._part(batch.part(decode), slice(int(rows[begin]), int(rows[end])))
            for decode, begin, end in parts
            if end > begin
        ]

    def _part(self, batch: Batch, rows: slice) -> _Part:
        # Every sequence of the arrays has queries: the kernel's decode counts on it.
        copied: torch.Tensor | None = None
        if self._copies:
            starts = np.concatenate(([0], np.cumsum(batch.lengths)))
            copied = to_device(self._rows_of(batch), self.device)
        else:
            first = self.manager.places(batch.handles, np.zeros_like(batch.handles))
            starts = np.concatenate((first, first[-1:] + batch.lengths[-1:]))
        packed = np.concatenate((batch.row_starts, starts, batch.lengths)).astype(np.int32)
        count = len(batch.handles) + 1
        q, k, used = to_device(packed, self.device).split([count, count, count - 1])
        return _Part(rows, q, k, used, int(batch.counts.max()), int(batch.lengths.max()), copied)

    def _rows_of(self, batch: Batch) -> Int64Array:
        handles = np.repeat(batch.handles, batch.lengths)
        firsts = np.repeat(np.cumsum(batch.lengths) - batch.lengths, batch.lengths)
        return self.manager.places(handles, np.arange(len(handles), dtype=np.int64) - firsts)

    def plan(self) -> None:
        pass

    def attend(self, layer: int, q: torch.Tensor) -> torch.Tensor:
        k, v = self.manager.flat(layer)
        out = [self._call(part, q, k, v) for part in self._parts]
        return out[0] if len(out) == 1 else torch.cat(out)

    def _call(self, part: _Part, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Any:
        if part.copied is not None:
            k, v = (whole.index_select(0, part.copied) for whole in (k, v))
        return _aten._flash_attention_forward(
            *(q[part.rows], k, v, part.starts_q, part.starts_k),
            *(part.queries_max, part.keys_max, 0.0, part.queries_max > 1, False),
            seqused_k=part.used,
        )[0]
