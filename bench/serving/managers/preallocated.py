"""The longest length for everybody, taken at the beginning."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..manager import Int64Array, Limits, Usage, token_bytes
from ..shapes import ModelShape


class Preallocated:
    name = "preallocated maximum"

    def __init__(
        self, shape: ModelShape, limits: Limits, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.stride = limits.tokens_max + limits.overread_tokens
        self._slot_bytes = self.stride * token_bytes(shape, dtype)
        self.slots = min(limits.batch_max, limits.pool_bytes // self._slot_bytes)
        if self.slots == 0:
            raise MemoryError(
                f"{limits.pool_bytes} bytes hold no request of {self.stride} tokens, "
                f"{self._slot_bytes} bytes"
            )
        size = (self.slots * self.stride, shape.kv_heads, shape.head_dim)
        self._flat = [
            tuple(torch.zeros(size, dtype=dtype, device=device) for _ in range(2))
            for _ in range(shape.layers)
        ]
        self._handles = list(range(self.slots - 1, -1, -1))

    def admit(self, tokens: int) -> int | None:
        return self._handles.pop() if self._handles else None

    def grow(self, lengths: Mapping[int, int]) -> list[int]:
        return []

    def free(self, handle: int) -> None:
        self._handles.append(handle)

    def flat(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        k, v = self._flat[layer]
        return k, v

    def places(self, handles: Int64Array, positions: Int64Array) -> Int64Array:
        return handles * self.stride + positions

    def usage(self) -> Usage:
        live = self.slots - len(self._handles)
        return Usage(live * self._slot_bytes, self.slots * self._slot_bytes)

    def close(self) -> None:
        self._flat.clear()
