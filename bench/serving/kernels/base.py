"""What the engine needs of the attention of a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..manager import Int64Array, Manager, to_device
from ..scheduler import Pass
from ..shapes import ModelShape


@dataclass(frozen=True)
class Batch:
    """A pass as arrays. Rows are its new tokens, request by request."""

    handles: Int64Array
    counts: Int64Array
    #: Of each request when its new tokens are written.
    lengths: Int64Array
    decodes: int

    @property
    def row_starts(self) -> Int64Array:
        return np.concatenate(([0], np.cumsum(self.counts)))

    @property
    def positions(self) -> Int64Array:
        """Of each row, within its request."""
        ends = np.repeat(self.lengths - np.cumsum(self.counts), self.counts)
        return ends + np.arange(int(self.counts.sum()))

    def part(self, decode: bool) -> Batch:
        """Those who decode, or those who prefill."""
        chosen = slice(0, self.decodes) if decode else slice(self.decodes, None)
        count = self.decodes if decode else 0
        return Batch(self.handles[chosen], self.counts[chosen], self.lengths[chosen], count)


def batch_of(one: Pass) -> Batch:
    handles = np.array([request.handle for request in one.requests], np.int64)
    counts = np.array(one.counts, np.int64)
    return Batch(handles, counts, np.array(one.lengths, np.int64), one.decodes)


class Kernels(Protocol):
    #: For the notes: what ran.
    how: str

    def publish(self, batch: Batch) -> None:
        """Tells the device where the requests lie."""

    def plan(self) -> None:
        """What the library wants to know before the layers run."""

    def write(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> None: ...

    def attend(self, layer: int, q: torch.Tensor) -> torch.Tensor: ...


class Writer:
    """New rows go where they belong by one and the same operation, for every manager."""

    def __init__(self, manager: Manager, shape: ModelShape, device: torch.device) -> None:
        self.manager, self.shape, self.device = manager, shape, device
        self._places: torch.Tensor | None = None

    def publish(self, batch: Batch) -> None:
        handles = np.repeat(batch.handles, batch.counts)
        self._places = to_device(self.manager.places(handles, batch.positions), self.device)

    def write(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> None:
        assert self._places is not None
        keys, values = self.manager.flat(layer)
        keys.index_copy_(0, self._places, k)
        values.index_copy_(0, self._places, v)
