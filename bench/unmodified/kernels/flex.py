"""FlexAttention: lengths are a mask, and blocks that the mask leaves out are not read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from ..kernel import Call, Unsuitable, int32
from ..memories import Contiguous, Pages, Problem

_BLOCK = 128


class Flex:
    name = "FlexAttention"

    def __init__(self, compiled: bool) -> None:
        self._attend: Callable[..., Any] = flex_attention
        self._compiled = compiled
        if compiled:
            self._attend = torch.compile(flex_attention, dynamic=False)

    def contiguous(self, problem: Problem, memory: Contiguous) -> list[Call]:
        case = problem.case
        if len(set(case.queries)) != 1:
            raise Unsuitable("FlexAttention takes as many queries of each request")
        if memory.stride is None:
            raise Unsuitable("requests that follow one another without gaps are no batch")
        if not self._compiled and not case.even:
            raise Unsuitable("uncompiled it reads what the mask leaves out, and that is not mapped")
        count, longest = case.queries[0], max(case.lengths)
        q = problem.queries.view(case.batch, count, *problem.queries.shape[1:]).transpose(1, 2)
        # Up to the end of the last block: the mask leaves out what lies past a length.
        padded = -(-longest // _BLOCK) * _BLOCK
        padded = min(padded, memory.stride)
        k, v = (
            memory.batched(part, case.batch, padded).transpose(1, 2) for part in (memory.k, memory.v)
        )
        lengths = int32(list(case.lengths), problem.device)

        def seen(batch: Any, head: Any, query: Any, key: Any) -> Any:
            return key <= query + lengths[batch] - count

        def plan() -> Any:
            return create_block_mask(
                seen, case.batch, None, count, padded, device=str(problem.device), BLOCK_SIZE=_BLOCK
            )

        mask = plan()

        def run() -> torch.Tensor:
            return self._attend(q, k, v, block_mask=mask, enable_gqa=True)  # type: ignore[no-any-return]

        how = "flex_attention(block_mask of the lengths, enable_gqa=True)"
        return [Call(run, lambda out: out.transpose(1, 2).reshape(problem.queries.shape), how, plan)]

    def paged(self, problem: Problem, pages: Pages) -> list[Call]:
        raise Unsuitable("its paged form is an experiment in Python that gathers, not a kernel")
