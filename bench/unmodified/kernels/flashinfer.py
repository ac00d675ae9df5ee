"""FlashInfer from its wheel. Contiguous memory in two ways: its ragged kernels by the gaps recipe, and
its paged kernels over pages that lie in order. Beside them its own paged kernels over shuffled pages."""

from __future__ import annotations

import importlib
import math
import os
from typing import Any, Final

import torch

from ..kernel import Call, Unsuitable, int32
from ..memories import Contiguous, Pages, Problem, cumulated

_WORKSPACE_BYTES: Final = 384 << 20
_IN_ORDER_PAGE_MAX: Final = 1024
_INDEXED_MAX: Final = 1 << 32

_workspaces: dict[torch.device, torch.Tensor] = {}


def _workspace(device: torch.device) -> torch.Tensor:
    """Of what is split between blocks; kernels of one stream may share it."""
    if device not in _workspaces:
        _workspaces[device] = torch.zeros(_WORKSPACE_BYTES, dtype=torch.uint8, device=device)
    return _workspaces[device]


def gaps(
    starts: tuple[int, ...], lengths: tuple[int, ...], queries: tuple[int, ...]
) -> tuple[list[int], list[int]]:
    """``qo_indptr`` and ``kv_indptr``: a segment for each request, and one with no queries for what lies
    between it and the next."""
    qo, kv = [0], [starts[0]]
    for index, (length, count) in enumerate(zip(lengths, queries)):
        end = starts[index] + length
        qo.append(qo[-1] + count)
        kv.append(end)
        if index + 1 < len(starts) and starts[index + 1] > end:
            qo.append(qo[-1])
            kv.append(starts[index + 1])
    return qo, kv


class FlashInfer:
    """``template``: "fa2", "fa3", or "decode" (its kernel for the ordinary cores); ``way``: how
    contiguous memory is told to it, "gaps" or "in-order pages"."""

    def __init__(self, template: str, way: str) -> None:
        os.environ.setdefault("FLASHINFER_CUDA_ARCH_LIST", "9.0a")
        self._library = importlib.import_module("flashinfer")
        self._template = template
        self._way = way
        self.name = f"FlashInfer {template}, {way}"

    def contiguous(self, problem: Problem, memory: Contiguous) -> list[Call]:
        self._check(problem)
        if self._way == "in-order pages":
            return [self._in_order(problem, memory)]
        return [self._ragged(problem, memory)]

    def paged(self, problem: Problem, pages: Pages) -> list[Call]:
        self._check(problem)
        lengths = problem.case.lengths
        counts = tuple(len(one) for one in pages.lists)
        last = [tokens - (count - 1) * pages.size for tokens, count in zip(lengths, counts)]
        indices = torch.cat(pages.lists)
        return [
            self._over_pages(problem, pages.k, pages.v, list(cumulated(counts)), indices, last)
        ]

    def _check(self, problem: Problem) -> None:
        if self._template == "decode" and not problem.case.decode:
            raise Unsuitable("a kernel for decode alone")
        if self._template == "fa3" and problem.case.decode:
            raise Unsuitable("the fa3 template is for prefill; decode is the fa2 template's")

    def _ragged(self, problem: Problem, memory: Contiguous) -> Call:
        if self._template == "fa2" and memory.k.stride(0) * memory.k.shape[0] > _INDEXED_MAX:
            raise Unsuitable(
                "the fa2 template computes offsets with 32 bits, and this cache has more elements "
                "(Ragged.fits_32_bits)"
            )
        if memory.ragged is not None:
            host = memory.ragged.host
            qo, kv = torch.from_numpy(host["qo_indptr"]), torch.from_numpy(host["kv_indptr"])
        else:
            case = problem.case
            cpu = torch.device("cpu")
            qo, kv = (int32(one, cpu) for one in gaps(memory.starts, case.lengths, case.queries))
        wrapper = self._library.BatchPrefillWithRaggedKVCacheWrapper(
            _workspace(problem.device), "NHD", backend=self._template
        )
        shape = problem.shape

        def plan() -> None:
            wrapper.plan(
                *(qo, kv, shape.query_heads, shape.kv_heads, shape.head_dim),
                causal=not problem.case.decode,
                q_data_type=problem.queries.dtype,
                kv_data_type=problem.k.dtype,
            )

        plan()
        how = "BatchPrefillWithRaggedKVCacheWrapper, a segment without queries behind each request"
        return Call(lambda: wrapper.run(problem.queries, memory.k, memory.v), _same, how, plan)

    def _in_order(self, problem: Problem, memory: Contiguous) -> Call:
        """Addresses are computed with 64 bits there: for caches that the gaps recipe cannot index."""
        if memory.stride is None:
            raise Unsuitable("requests that do not begin at a page's beginning")
        size = math.gcd(memory.stride, _IN_ORDER_PAGE_MAX)
        row = memory.k.stride(0)
        sizes = (memory.k.shape[0] // size, size, *memory.k.shape[1:])
        strides = (size * row, *memory.k.stride())
        parts = [part.as_strided(sizes, strides) for part in (memory.k, memory.v)]
        counts = tuple(-(-tokens // size) for tokens in problem.case.lengths)
        firsts = [start // size for start in memory.starts]
        indices = torch.cat([torch.arange(a, a + n) for a, n in zip(firsts, counts)])
        indices = indices.to(torch.int32).to(problem.device)
        last = [tokens - (n - 1) * size for tokens, n in zip(problem.case.lengths, counts)]
        return self._over_pages(problem, *parts, list(cumulated(counts)), indices, last)

    def _over_pages(
        self,
        problem: Problem,
        k: torch.Tensor,
        v: torch.Tensor,
        begins: list[int],
        indices: torch.Tensor,
        last: list[int],
    ) -> Call:
        cpu = torch.device("cpu")
        table = (int32(begins, cpu), indices, int32(last, cpu))
        make = self._decode if problem.case.decode else self._prefill
        return make(problem, k, v, table)

    def _decode(self, problem: Problem, k: Any, v: Any, table: tuple[torch.Tensor, ...]) -> Call:
        cores = self._template != "decode"
        wrapper = self._library.BatchDecodeWithPagedKVCacheWrapper(
            _workspace(problem.device), "NHD", use_tensor_cores=cores, backend="fa2" if cores else "auto"
        )
        shape = problem.shape

        def plan() -> None:
            wrapper.plan(
                *(*table, shape.query_heads, shape.kv_heads, shape.head_dim, k.shape[1]),
                q_data_type=problem.queries.dtype,
                kv_data_type=problem.k.dtype,
            )

        plan()
        how = f"BatchDecodeWithPagedKVCacheWrapper(use_tensor_cores={cores}), pages of {k.shape[1]}"
        return Call(lambda: wrapper.run(problem.queries, (k, v)), _same, how, plan)

    def _prefill(self, problem: Problem, k: Any, v: Any, table: tuple[torch.Tensor, ...]) -> Call:
        wrapper = self._library.BatchPrefillWithPagedKVCacheWrapper(
            _workspace(problem.device), "NHD", backend=self._template
        )
        shape = problem.shape
        starts = int32(cumulated(problem.case.queries), torch.device("cpu"))

        def plan() -> None:
            wrapper.plan(
                *(starts, *table, shape.query_heads, shape.kv_heads, shape.head_dim, k.shape[1]),
                causal=True,
                q_data_type=problem.queries.dtype,
                kv_data_type=problem.k.dtype,
            )

        plan()
        how = f"BatchPrefillWithPagedKVCacheWrapper, pages of {k.shape[1]}"
        return Call(lambda: wrapper.run(problem.queries, (k, v)), _same, how, plan)


def _same(out: torch.Tensor) -> torch.Tensor:
    return out
