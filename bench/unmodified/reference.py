"""Attention in float64, of a sample of the queries: what every kernel's result is measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from .memories import Problem, cumulated

#: Of each request, spread from its first query to its last.
_QUERIES_EACH: Final = 24
#: Requests that are looked at: the shortest, the longest, and some between.
_REQUESTS: Final = 8


@dataclass(frozen=True)
class Reference:
    #: Rows of the query tensor that were computed.
    rows: torch.Tensor
    #: ``[rows, query_heads, head_dim]``, float64.
    wanted: torch.Tensor

    def error(self, out: torch.Tensor) -> float:
        """The largest difference, as a share of the largest value. NaN is infinitely wrong."""
        got = out.index_select(0, self.rows).double()
        difference = (got - self.wanted).abs().max() / self.wanted.abs().max()
        return float(difference) if torch.isfinite(got).all() else float("inf")


def reference(problem: Problem) -> Reference:
    case = problem.case
    by_length = sorted(range(case.batch), key=lambda index: case.lengths[index])
    step = max(1, (case.batch - 1) // (_REQUESTS - 1)) if case.batch > 1 else 1
    chosen = sorted({*by_length[::step], by_length[-1]})
    firsts = cumulated(case.queries)
    rows: list[torch.Tensor] = []
    wanted: list[torch.Tensor] = []
    for request in chosen:
        count = case.queries[request]
        picked = _spread(count).to(problem.device)
        rows.append(firsts[request] + picked)
        positions = case.lengths[request] - count + picked
        wanted.append(_attend(problem, request, rows[-1], positions))
    return Reference(torch.cat(rows), torch.cat(wanted))


def _spread(count: int) -> torch.Tensor:
    if count <= _QUERIES_EACH:
        return torch.arange(count)
    return torch.linspace(0, count - 1, _QUERIES_EACH).round().long().unique()


def _attend(
    problem: Problem, request: int, rows: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Query heads of a group share a KV head, so they stand side by side."""
    shape = problem.shape
    begin, end = problem.offsets[request], problem.offsets[request + 1]
    q = problem.queries.index_select(0, rows).double()
    q = q.view(len(rows), shape.kv_heads, shape.group, shape.head_dim)
    out = torch.empty_like(q)
    seen = torch.arange(end - begin, device=problem.device)[None, :] <= positions[:, None]
    for head in range(shape.kv_heads):
        k, v = (part[begin:end, head].double() for part in (problem.k, problem.v))
        scores = torch.einsum("qgd,kd->qgk", q[:, head], k) * shape.head_dim**-0.5
        weights = scores.masked_fill(~seen[:, None, :], float("-inf")).softmax(-1)
        out[:, head] = torch.einsum("qgk,kd->qgd", weights, v)
    return out.reshape(len(rows), shape.query_heads, shape.head_dim)
