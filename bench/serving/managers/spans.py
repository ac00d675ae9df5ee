"""kvspan: each request contiguous, mapped as far as it has grown."""

from __future__ import annotations

from collections.abc import Mapping

import kvspan
import torch

from ..manager import Int64Array, Limits, Usage
from ..shapes import ModelShape

#: Memory that was given back has to go through the daemon's books before it can be had again.
_SHORT_WAIT_S = 0.02
#: More than there is.
_EVERYTHING = 1 << 62


class Spans:
    name = "kvspan"

    def __init__(
        self,
        session: kvspan.Session,
        shape: ModelShape,
        limits: Limits,
        dtype: torch.dtype,
        device: torch.device,
        layout: str = "token-major",
    ) -> None:
        self._session = session
        self.cache = session.create_cache(
            layers=shape.layers,
            kv_heads=shape.kv_heads,
            head_dim=shape.head_dim,
            dtype=dtype,
            slots=limits.batch_max,
            max_tokens=limits.tokens_max,
            layout=layout,
            overread_tokens=limits.overread_tokens,
            device=device.type,
            name="bench-serving",
        )
        self.decode = self.cache.ragged()
        self._lengths = self.cache.lengths
        self.stride = self.decode.stride
        self.slots = limits.batch_max
        ragged = self.decode
        self._flat = [
            tuple(
                part(layer, framework="torch").as_subclass(torch.Tensor)
                for part in (ragged.k, ragged.v)
            )
            for layer in range(shape.layers)
        ]

    def admit(self, tokens: int) -> int | None:
        try:
            return self._allocate(tokens, 0.0)
        except kvspan.OutOfMemory:
            if self._session.give_back(_EVERYTHING) == 0:
                return None
        try:
            return self._allocate(tokens, _SHORT_WAIT_S)
        except (kvspan.OutOfMemory, kvspan.DeadlineExceeded):
            return None

    def _allocate(self, tokens: int, wait: float) -> int:
        slot: int = self.cache.allocate(tokens, wait=wait)
        return slot

    def grow(self, lengths: Mapping[int, int]) -> list[int]:
        # A prompt has its memory, and its length, from the beginning.
        lengths = {slot: tokens for slot, tokens in lengths.items() if tokens > self._lengths[slot]}
        if not lengths:
            return []
        short = self.cache.step(lengths, wait=0.0).short_slots
        if not short:
            return []
        short = self.cache.step(lengths, wait=_SHORT_WAIT_S).short_slots
        if short and self._session.give_back(_EVERYTHING) > 0:
            short = self.cache.step(lengths, wait=_SHORT_WAIT_S).short_slots
        return list(short)

    def free(self, handle: int) -> None:
        self.cache.free(handle)

    def flat(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        k, v = self._flat[layer]
        return k, v

    def places(self, handles: Int64Array, positions: Int64Array) -> Int64Array:
        return handles * self.stride + positions

    def usage(self) -> Usage:
        cache = self.cache.stats()
        return Usage(cache.mapped_bytes - cache.idle_bytes, self._session.stats().held_bytes)

    def close(self) -> None:
        self._flat.clear()
        del self.decode, self._lengths
        self.cache.close()
