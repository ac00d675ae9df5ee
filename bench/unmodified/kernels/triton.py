"""An attention kernel as people write them in Triton: over base addresses and strides, or over a block
table. It knows nothing of kvspan; the loads of K and V are the same code but for the row they name."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..kernel import Call, int32
from ..memories import Contiguous, Pages, Problem, cumulated

_BLOCK_KEYS = 64
_BLOCK_ROWS_DECODE = 16
_BLOCK_ROWS_PREFILL = 64
#: Blocks of a decode that fill the device twice over.
_PARTS_MAX = 32
_SPLIT_TOKENS_MIN = 512


class Triton:
    name = "Triton"

    def __init__(self) -> None:
        from . import triton_code

        self._code = triton_code

    def contiguous(self, problem: Problem, memory: Contiguous) -> list[Call]:
        starts = torch.tensor(memory.starts, dtype=torch.int64, device=problem.device)
        run = self._bind(problem, memory.k, memory.v, starts, None)
        return [Call(run, lambda out: out, "a kernel over base, token stride and starts")]

    def paged(self, problem: Problem, pages: Pages) -> list[Call]:
        flat = [part.flatten(0, 1) for part in (pages.k, pages.v)]
        starts = torch.zeros(problem.case.batch, dtype=torch.int64, device=problem.device)
        run = self._bind(problem, *flat, starts, pages)
        return [Call(run, lambda out: out, "the same kernel over a block table")]

    def _bind(
        self,
        problem: Problem,
        k: torch.Tensor,
        v: torch.Tensor,
        starts: torch.Tensor,
        pages: Pages | None,
    ) -> Callable[[], torch.Tensor]:
        case, shape, device = problem.case, problem.shape, problem.device
        lengths = int32(list(case.lengths), device)
        firsts = int32(cumulated(case.queries), device)
        rows = _BLOCK_ROWS_DECODE if case.decode else _BLOCK_ROWS_PREFILL
        tiles = -(-max(case.queries) * shape.group // rows)
        parts = self._parts(problem)
        common = dict(
            HEADS=shape.kv_heads,
            GROUP=shape.group,
            DIM=shape.head_dim,
            ROWS=rows,
            KEYS=_BLOCK_KEYS,
            PARTS=parts,
            PAGE=0 if pages is None else pages.size,
        )
        table = lengths if pages is None else pages.table
        pages_each = 0 if pages is None else pages.table.stride(0)
        split = (problem.queries.shape[0], shape.query_heads, parts)
        partial = torch.empty((*split, shape.head_dim), dtype=torch.float32, device=device)
        sums = torch.empty((*split, 2), dtype=torch.float32, device=device)
        out = torch.empty_like(problem.queries)
        grid = (tiles, shape.kv_heads * parts, case.batch)
        arguments = (problem.queries, k, v, out, partial, sums, lengths, firsts, starts, table)
        strides = (k.stride(0), v.stride(0), pages_each, shape.head_dim**-0.5)

        def run() -> torch.Tensor:
            self._code.attend[grid](*arguments, *strides, **common, num_warps=4)
            if parts > 1:
                self._code.join[split[:2]](partial, sums, out, PARTS=parts, DIM=shape.head_dim)
            return out

        return run

    def _parts(self, problem: Problem) -> int:
        """Of the keys, so that a small batch fills the device in decode too."""
        case = problem.case
        if not case.decode or problem.device.type == "cpu" and max(case.lengths) < _SPLIT_TOKENS_MIN:
            return 1
        wanted = max(1, 2 * 132 * 2 // (case.batch * problem.shape.kv_heads))
        fitting = max(1, max(case.lengths) // _SPLIT_TOKENS_MIN)
        return min(_PARTS_MAX, 1 << (min(wanted, fitting).bit_length() - 1))
