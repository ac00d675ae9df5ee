"""The models: Llama's architecture in two sizes, and one for a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class ModelShape:
    name: str
    layers: int
    hidden: int
    query_heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    rope_theta: float = 500_000.0

    def token_bytes(self, element_bytes: int) -> int:
        """K and V of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * element_bytes


SHAPES: Final = {
    "tiny": ModelShape("tiny", 3, 64, 4, 2, 16, 96, 199),
    "1b": ModelShape("1B", 16, 2048, 32, 8, 64, 8192, 128_256),
    "8b": ModelShape("8B", 32, 4096, 32, 8, 128, 14_336, 128_256),
}
