"""A Llama of random weights. It computes what a real one computes; what it says means nothing."""

from __future__ import annotations

from typing import Protocol

import torch
from torch.nn.functional import linear, rms_norm, silu

from .shapes import ModelShape

_SEED = 11
_DEVIATION = 0.02
_EPSILON = 1e-5


class Attention(Protocol):
    """Where new keys and values go, and what the queries make of all that are there."""

    def write(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> None:
        """``[rows, kv_heads, head_dim]``, of this pass's tokens."""

    def attend(self, layer: int, q: torch.Tensor) -> torch.Tensor:
        """``[rows, query_heads, head_dim]`` and the same back."""


class Model:
    def __init__(
        self, shape: ModelShape, positions_max: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.shape = shape
        generator = torch.Generator(device).manual_seed(_SEED)

        def weight(rows: int, columns: int) -> torch.Tensor:
            made = torch.empty(rows, columns, dtype=dtype, device=device)
            return made.normal_(0, _DEVIATION, generator=generator)

        heads, hidden = shape.query_heads + 2 * shape.kv_heads, shape.hidden
        self._embedding = weight(shape.vocabulary, hidden)
        self._head = weight(shape.vocabulary, hidden)
        self._layers = [
            (
                weight(heads * shape.head_dim, hidden),
                weight(hidden, shape.query_heads * shape.head_dim),
                weight(2 * shape.feed_forward, hidden),
                weight(hidden, shape.feed_forward),
            )
            for _ in range(shape.layers)
        ]
        self._norm = torch.ones(hidden, dtype=dtype, device=device)
        self._turns = _turns(shape, positions_max, dtype, device)

    @torch.inference_mode()
    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        last_rows: torch.Tensor,
        attention: Attention,
    ) -> torch.Tensor:
        """Greedy: the next token behind each of ``last_rows``. All int64, on the device."""
        cosines, sines = (part.index_select(0, positions)[:, None] for part in self._turns)
        x = self._embedding.index_select(0, tokens)
        for index, layer in enumerate(self._layers):
            x = self._layer(index, layer, x, (cosines, sines), attention)
        x = self._normed(x.index_select(0, last_rows))
        return linear(x, self._head).argmax(-1)

    def _layer(
        self,
        index: int,
        layer: tuple[torch.Tensor, ...],
        x: torch.Tensor,
        turns: tuple[torch.Tensor, torch.Tensor],
        attention: Attention,
    ) -> torch.Tensor:
        shape = self.shape
        into, out, up, down = layer
        qkv = linear(self._normed(x), into).view(x.shape[0], -1, shape.head_dim)
        turned = shape.query_heads + shape.kv_heads
        qk = _rotated(qkv[:, :turned], *turns)
        attention.write(index, qk[:, shape.query_heads :], qkv[:, turned:])
        seen = attention.attend(index, qk[:, : shape.query_heads].contiguous())
        x = x + linear(seen.reshape(x.shape[0], -1), out)
        gate, value = linear(self._normed(x), up).chunk(2, -1)
        return x + linear(silu(gate) * value, down)

    def _normed(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, self._norm.shape, self._norm, _EPSILON)


def _turns(
    shape: ModelShape, positions: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary embedding, ``[positions, head_dim / 2]``."""
    halves = torch.arange(0, shape.head_dim, 2, device=device, dtype=torch.float32) / shape.head_dim
    place = torch.arange(positions, device=device, dtype=torch.float32)
    angles = torch.outer(place, shape.rope_theta**-halves)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotated(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat((a * cosines - b * sines, b * cosines + a * sines), -1)
