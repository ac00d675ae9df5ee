"""Blocks of 16 tokens from one pool, as paged engines have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch

from ..manager import Int64Array, Limits, Usage, token_bytes
from ..shapes import ModelShape

BLOCK_TOKENS: Final = 16


class Blocks:
    name = "paged, 16"

    def __init__(
        self, shape: ModelShape, limits: Limits, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._block_bytes = BLOCK_TOKENS * token_bytes(shape, dtype)
        count = limits.pool_bytes // self._block_bytes
        size = (count, BLOCK_TOKENS, shape.kv_heads, shape.head_dim)
        #: K and V of each layer, ``[blocks, 16, kv_heads, head_dim]``.
        self.pages = [
            tuple(torch.zeros(size, dtype=dtype, device=device) for _ in range(2))
            for _ in range(shape.layers)
        ]
        self._pool_bytes = count * self._block_bytes
        self._free = list(range(count))
        widest = -(-limits.tokens_max // BLOCK_TOKENS)
        #: By handle: which block holds its tokens 16 i .. 16 i + 15.
        self.table = np.zeros((limits.batch_max, widest), np.int32)
        self.counts = np.zeros(limits.batch_max, np.int64)
        self._handles = list(range(limits.batch_max - 1, -1, -1))

    def admit(self, tokens: int) -> int | None:
        if not self._handles:
            return None
        handle = self._handles[-1]
        if not self._room(handle, tokens):
            return None
        return self._handles.pop()

    def grow(self, lengths: Mapping[int, int]) -> list[int]:
        return [handle for handle, tokens in lengths.items() if not self._room(handle, tokens)]

    def free(self, handle: int) -> None:
        self._free += self.table[handle, : self.counts[handle]].tolist()
        self.counts[handle] = 0
        self._handles.append(handle)

    def _room(self, handle: int, tokens: int) -> bool:
        have = int(self.counts[handle])
        wanted = -(-tokens // BLOCK_TOKENS)
        more = wanted - have
        if more <= 0:
            return True
        if more > len(self._free):
            return False
        self.table[handle, have:wanted] = self._free[-more:]
        del self._free[-more:]
        self.counts[handle] = wanted
        return True

    def flat(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        k, v = self.pages[layer]
        return k.flatten(0, 1), v.flatten(0, 1)

    def places(self, handles: Int64Array, positions: Int64Array) -> Int64Array:
        blocks = self.table[handles, positions // BLOCK_TOKENS].astype(np.int64)
        return blocks * BLOCK_TOKENS + positions % BLOCK_TOKENS

    def usage(self) -> Usage:
        return Usage(int(self.counts.sum()) * self._block_bytes, self._pool_bytes)

    def close(self) -> None:
        self.pages.clear()
