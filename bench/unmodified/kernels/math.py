"""SDPA without a kernel of its own: what a CPU has, and what it makes of strided memory."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from ..kernel import Call, Unsuitable
from ..memories import Contiguous, Pages, Problem, cumulated


class Math:
    name = "SDPA math, a request at a time"

    def contiguous(self, problem: Problem, memory: Contiguous) -> list[Call]:
        firsts = cumulated(problem.case.queries)

        def one(request: int) -> torch.Tensor:
            start, tokens = memory.starts[request], problem.case.lengths[request]
            count = problem.case.queries[request]
            q = problem.queries[firsts[request] : firsts[request + 1]].transpose(0, 1)[None]
            k, v = (
                part[start : start + tokens].transpose(0, 1)[None] for part in (memory.k, memory.v)
            )
            seen = torch.ones(count, tokens, dtype=torch.bool, device=q.device).tril(tokens - count)
            with sdpa_kernel(SDPBackend.MATH):
                out = scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)
            return out[0].transpose(0, 1)

        def run() -> torch.Tensor:
            return torch.cat([one(request) for request in range(problem.case.batch)])

        return [Call(run, lambda out: out, "F.scaled_dot_product_attention(enable_gqa=True)")]

    def paged(self, problem: Problem, pages: Pages) -> list[Call]:
        raise Unsuitable("PyTorch has no paged attention on a CPU")
