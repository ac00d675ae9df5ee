"""What attention is measured on: the shapes of bench/attention, one layer of Llama-3-8B."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from pybench.trace import Trace

K: Final = 1024
_SKEWED_SEED: Final = 7


@dataclass(frozen=True)
class Shape:
    query_heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128

    @property
    def group(self) -> int:
        """Query heads that share a KV head."""
        return self.query_heads // self.kv_heads


@dataclass(frozen=True)
class Case:
    """New queries, the last tokens of each request, over all of its tokens; one each in decode."""

    kind: str
    name: str
    lengths: tuple[int, ...]
    queries: tuple[int, ...]

    @property
    def even(self) -> bool:
        """All requests alike: what kernels of whole batches, which take no lengths, can do."""
        return len(set(self.lengths)) == 1 and len(set(self.queries)) == 1

    @property
    def batch(self) -> int:
        return len(self.lengths)

    @property
    def decode(self) -> bool:
        return self.kind == "decode"

    def kv_bytes(self, shape: Shape, element_bytes: int) -> int:
        """K and V that must be read, each once."""
        return 2 * sum(self.lengths) * shape.kv_heads * shape.head_dim * element_bytes

    def flops(self, shape: Shape) -> int:
        """Two multiply-adds for each pair of a query and a key that it sees, element and head."""
        pairs = sum(
            count * (length - count) + count * (count + 1) // 2
            for length, count in zip(self.lengths, self.queries)
        )
        return 4 * pairs * shape.query_heads * shape.head_dim


def decode(name: str, lengths: list[int]) -> Case:
    return Case("decode", f"decode, {name}", tuple(lengths), (1,) * len(lengths))


def prefill(queries: int, context: int = 0) -> Case:
    name = f"{queries}" if context == 0 else f"{queries} over {context}"
    return Case("prefill", f"prefill, {name}", (queries + context,), (queries,))


def skewed(trace: Trace, batch: int) -> Case:
    """A batch as it stands at some moment: requests of the trace, each a way into its answer."""
    source = random.Random(_SKEWED_SEED)
    drawn = [source.choice(trace.requests) for _ in range(batch)]
    lengths = [one.prompt_tokens + source.randint(0, one.answer_tokens) for one in drawn]
    return decode(f"{batch} of unequal lengths ({trace.name})", lengths)


def cases_of(smoke: bool, trace: Trace) -> list[Case]:
    if smoke:
        even = [decode("1 x 96", [96]), decode("3 x 40", [40] * 3)]
        return [*even, skewed(trace, 4), prefill(48), prefill(16, 80)]
    batches = [(1, 16 * K), (8, 16 * K), (16, 8 * K), (64, 4 * K), (32, 16 * K)]
    decodes = [decode(f"{batch} x {tokens}", [tokens] * batch) for batch, tokens in batches]
    prefills = [(4 * K, 0), (16 * K, 0), (2 * K, 16 * K), (2 * K, 64 * K), (64 * K, 0)]
    return [*decodes, skewed(trace, 64), *(prefill(*sizes) for sizes in prefills)]
