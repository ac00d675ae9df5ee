"""The same keys and values in every kind of memory that is compared: spans of kvspan, memory of the
driver laid out in the same way, and pages in shuffled order."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import kvspan
import torch
from pybench.daemon import BenchError

from .cases import Case, Shape

PAGE_SIZES: Final = (16, 64)
#: What kernels that load whole tiles may read past a length, in tokens.
OVERREAD_TOKENS: Final = 256
MODEL_LAYERS: Final = 32
_SEED: Final = 1


@dataclass(frozen=True)
class Contiguous:
    """Requests whose tokens lie one behind the other, at any stride."""

    #: `kvspan`, or who gives the driver's own: `cudaMalloc`, `malloc`.
    owner: str
    #: With the layout, as the rows say it.
    name: str
    #: ``[tokens, kv_heads, head_dim]``: all requests as one row of tokens.
    k: torch.Tensor
    v: torch.Tensor
    #: Of each request, in that row.
    starts: tuple[int, ...]
    #: Tokens from one request to the next; None: they follow one another without gaps.
    stride: int | None
    #: The index arrays of kvspan's own cache; None: memory of the driver.
    ragged: kvspan.Ragged | None = None

    def batched(self, part: torch.Tensor, batch: int, tokens: int) -> torch.Tensor:
        """``[batch, tokens, kv_heads, head_dim]``, a view."""
        assert self.stride is not None
        return part.as_strided(
            (batch, tokens, *part.shape[1:]), (self.stride * part.stride(0), *part.stride())
        )


@dataclass(frozen=True)
class Pages:
    """Blocks of ``size`` tokens, wherever they lie; ``table`` says where."""

    size: int
    #: ``[pages, size, kv_heads, head_dim]``.
    k: torch.Tensor
    v: torch.Tensor
    #: ``[batch, pages of the longest]`` int32, on the device.
    table: torch.Tensor
    #: Of each request, in order.
    lists: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Problem:
    case: Case
    shape: Shape
    #: ``[all queries, query_heads, head_dim]``.
    queries: torch.Tensor
    #: ``[all tokens, kv_heads, head_dim]``, dense: what the float64 reference reads.
    k: torch.Tensor
    v: torch.Tensor

    @property
    def device(self) -> torch.device:
        return self.queries.device

    @property
    def offsets(self) -> list[int]:
        """Where each request begins in ``k`` and ``v``, and after the last where they end."""
        return cumulated(self.case.lengths)


def cumulated(counts: tuple[int, ...]) -> list[int]:
    sums = [0]
    for count in counts:
        sums.append(sums[-1] + count)
    return sums


def draw(case: Case, shape: Shape, dtype: torch.dtype, device: torch.device) -> Problem:
    torch.manual_seed(_SEED)

    def random(tokens: int, heads: int) -> torch.Tensor:
        return torch.randn(tokens, heads, shape.head_dim, dtype=dtype, device=device)

    tokens = sum(case.lengths)
    queries = random(sum(case.queries), shape.query_heads)
    return Problem(case, shape, queries, random(tokens, shape.kv_heads), random(tokens, shape.kv_heads))


@contextmanager
def memories(
    session: kvspan.Session, problem: Problem, span_bytes: int
) -> Iterator[tuple[list[Contiguous], list[Pages]]]:
    """All of them, filled. Token-major has as many layers of the model as ``span_bytes`` hold."""
    case, shape = problem.case, problem.shape
    token_bytes = 2 * shape.kv_heads * shape.head_dim * problem.k.element_size()
    whole = sum(case.lengths) + case.batch * OVERREAD_TOKENS
    layers = min(MODEL_LAYERS, max(1, span_bytes // (whole * token_bytes)))
    with ExitStack() as stack:
        found: list[Contiguous] = []
        for layout, count in (("token-major", layers), ("layer-major", 1)):
            spans = stack.enter_context(_spans(session, problem, layout, count))
            found += [spans, _like(spans, problem)]
        yield found, [pages_of(problem, size) for size in PAGE_SIZES]
        # Tensors of a cache that is closed keep its memory, those that wait for a collection too.
        found.clear()
        del spans
        gc.collect()


@contextmanager
def _spans(
    session: kvspan.Session, problem: Problem, layout: str, layers: int
) -> Iterator[Contiguous]:
    case, shape = problem.case, problem.shape
    options: dict[str, Any] = dict(
        layers=layers,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        dtype=problem.k.dtype,
        slots=case.batch,
        max_tokens=max(case.lengths),
        layout=layout,
        overread_tokens=OVERREAD_TOKENS,
        device=problem.device.type,
    )
    with session.create_cache(**options) as cache:
        slots = [cache.allocate(tokens, wait=60) for tokens in case.lengths]
        if slots != list(range(case.batch)):
            raise BenchError(f"slots {slots} of a new cache: a request's number is to be its slot's")
        ragged = cache.ragged(None if case.decode else dict(enumerate(case.queries)))
        layer = layers // 2
        name = f"{layout} ({layers} layers)" if layout == "token-major" else layout
        starts = tuple(slot * ragged.stride for slot in range(case.batch))
        flat = (ragged.k(layer, framework="torch"), ragged.v(layer, framework="torch"))
        # A plain tensor each: a subclass would be something that users do not pass either.
        k, v = (part.as_subclass(torch.Tensor) for part in flat)
        spans = Contiguous("kvspan", name, k, v, starts, ragged.stride, ragged)
        _fill(spans, problem)
        yield spans
        del spans, k, v, flat, ragged


def _like(spans: Contiguous, problem: Problem) -> Contiguous:
    """Memory of the driver in the same layout: the same strides, so that nothing but the memory
    differs. Requests of unequal lengths follow one another: a slot for the longest each would not
    fit, which is what spans are for."""
    case = problem.case
    stride = spans.stride if case.even else None
    starts = spans.starts if case.even else tuple(cumulated(case.lengths)[:-1])
    end = starts[-1] + case.lengths[-1] + OVERREAD_TOKENS
    tokens = end if stride is None else case.batch * stride
    row = spans.k.stride(0)
    apart = (spans.v.data_ptr() - spans.k.data_ptr()) // spans.k.element_size()
    joined = 0 < apart < row
    sizes, strides = (tokens, *spans.k.shape[1:]), spans.k.stride()
    # Token-major: K and V of a token lie in one row. Else each has memory of its own.
    room = torch.zeros(tokens * row, dtype=spans.k.dtype, device=problem.device)
    other = room[apart:] if joined else torch.zeros_like(room)
    k = room.as_strided(sizes, strides)
    v = other.as_strided(sizes, strides, other.storage_offset())
    name = spans.name if joined or spans.name != "layer-major" else "layer by layer"
    owner = "cudaMalloc" if problem.device.type == "cuda" else "malloc"
    plain = Contiguous(owner, name, k, v, starts, stride)
    _fill(plain, problem)
    return plain


def _fill(memory: Contiguous, problem: Problem) -> None:
    for part, data in ((memory.k, problem.k), (memory.v, problem.v)):
        for start, offset, tokens in zip(memory.starts, problem.offsets, problem.case.lengths):
            part[start : start + tokens].copy_(data[offset : offset + tokens])


def pages_of(problem: Problem, size: int) -> Pages:
    """Exactly the pages that the case needs, in shuffled order."""
    case, device = problem.case, problem.device
    counts = [(tokens + size - 1) // size for tokens in case.lengths]
    order = torch.randperm(sum(counts), device=device, dtype=torch.int32)
    lists = torch.split(order, counts)
    shape = (sum(counts), size, *problem.k.shape[1:])
    k, v = (torch.zeros(shape, dtype=problem.k.dtype, device=device) for _ in range(2))
    table = torch.zeros((case.batch, max(counts)), dtype=torch.int32, device=device)
    for request, (pages, offset, tokens) in enumerate(zip(lists, problem.offsets, case.lengths)):
        table[request, : len(pages)] = pages
        for part, data in ((k, problem.k), (v, problem.v)):
            padded = torch.zeros((len(pages) * size, *shape[2:]), dtype=part.dtype, device=device)
            padded[:tokens] = data[offset : offset + tokens]
            part[pages.long()] = padded.view(len(pages), size, *shape[2:])
    return Pages(size, k, v, table, tuple(lists))
