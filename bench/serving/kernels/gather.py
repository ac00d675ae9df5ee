"""Attention by gathering: each request's rows, found through the manager's own addresses, and SDPA over
them. Slow, the same for every manager to the last bit: what verifies them, and what a CPU has."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from ..manager import Manager, to_device
from ..shapes import ModelShape
from .base import Batch, Writer


class Gather(Writer):
    how = "rows gathered request by request, F.scaled_dot_product_attention"

    def __init__(self, manager: Manager, shape: ModelShape, device: torch.device) -> None:
        super().__init__(manager, shape, device)
        self._batch: Batch | None = None
        self._rows: list[torch.Tensor] = []

    def publish(self, batch: Batch) -> None:
        super().publish(batch)
        self._batch = batch
        self._rows = []
        for handle, length in zip(batch.handles.tolist(), batch.lengths.tolist()):
            handles = np.full(length, handle, np.int64)
            places = self.manager.places(handles, np.arange(length, dtype=np.int64))
            self._rows.append(to_device(places, self.device))

    def plan(self) -> None:
        pass

    def attend(self, layer: int, q: torch.Tensor) -> torch.Tensor:
        batch = self._batch
        assert batch is not None
        starts = batch.row_starts.tolist()
        keys, values = self.manager.flat(layer)
        out = []
        for index, rows in enumerate(self._rows):
            count, length = starts[index + 1] - starts[index], len(rows)
            k, v = (part.index_select(0, rows).transpose(0, 1)[None] for part in (keys, values))
            mine = q[starts[index] : starts[index + 1]].transpose(0, 1)[None]
            seen = torch.ones(count, length, dtype=torch.bool, device=self.device).tril(length - count)
            one = scaled_dot_product_attention(mine, k, v, attn_mask=seen, enable_gqa=True)
            out.append(one[0].transpose(0, 1))
        return torch.cat(out)
