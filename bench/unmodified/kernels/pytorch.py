"""PyTorch's own attention: FlashAttention-2 by its operator, and the kernels behind SDPA."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from ..kernel import Call, Unsuitable, int32
from ..memories import Contiguous, Pages, Problem, cumulated

_aten = torch.ops.aten
#: Elements of one request that the memory-efficient kernel can address.
_REACH = 1 << 31
#: `custom_mask_type` of the memory-efficient kernel: none, causal for the last queries.
_NO_MASK, _CAUSAL_FROM_BOTTOM_RIGHT = 0, 2


class FlashAttention2:
    name = "PyTorch FlashAttention-2"

    def contiguous(self, problem: Problem, memory: Contiguous) -> list[Call]:
        case, device = problem.case, problem.device
        if memory.ragged is not None:
            # kvspan's own arrays, where the cache is: on a device already.
            arrays = (memory.ragged.cum_seq_k, memory.ragged.seqused_k)
            begins, used = (torch.as_tensor(one) for one in arrays)
        else:
            begins = int32([*memory.starts, memory.k.shape[0]], device)
            used = int32(list(case.lengths), device)
        run = partial(self._forward, problem, memory.k, memory.v, begins, seqused_k=used)
        how = "aten::_flash_attention_forward(cum_seq_k, seqused_k) over [slots * stride, heads, dim]"
        return [Call(run, _first, how)]

    def paged(self, problem: Problem, pages: Pages) -> list[Call]:
        schema = str(_aten._flash_attention_forward.default._schema)
        if "block_table" not in schema:
            raise Unsuitable(f"PyTorch {torch.__version__}: the operator takes no block table")
        if pages.size % 256:
            raise Unsuitable("FlashAttention-2 takes pages of a multiple of 256 tokens only")
        lengths = int32(list(problem.case.lengths), problem.device)
        begins = int32(cumulated(problem.case.lengths), problem.device)
        extra = {"seqused_k": lengths, "block_table": pages.table}
        run = partial(self._forward, problem, pages.k, pages.v, begins, **extra)
        return [Call(run, _first, "aten::_flash_attention_forward(block_table)")]

    def _forward(
        self, problem: Problem, k: Any, v: Any, begins: torch.Tensor, **extra: Any
    ) -> Any:
        return _aten._flash_attention_forward(
            *(problem.queries, k, v, _query_starts(problem), begins),
            *(max(problem.case.queries), max(problem.case.lengths), 0.0),
            *(not problem.case.decode, False),
            **extra,
        )


_starts: dict[tuple[tuple[int, ...], torch.device], torch.Tensor] = {}


def _query_starts(problem: Problem) -> torch.Tensor:
    key = (problem.case.queries, problem.device)
    if key not in _starts:
        _starts[key] = int32(cumulated(problem.case.queries), problem.device)
    return _starts[key]


def _first(outputs: Any) -> torch.Tensor:
    out: torch.Tensor = outputs[0]
    return out


class Sdpa:
    """`torch.nn.functional.scaled_dot_product_attention`, by one backend alone. It takes whole batches:
    all requests as long as one another."""

    def __init__(self, backend: str) -> None:
        self.name = f"SDPA {backend}" if backend != "efficient" else "SDPA memory-efficient"
        self._backend = backend
        self._chosen = {
            "flash": SDPBackend.FLASH_ATTENTION,
            "cudnn": SDPBackend.CUDNN_ATTENTION,
            "efficient": SDPBackend.EFFICIENT_ATTENTION,
        }[backend]

    def contiguous(self, problem: Problem, memory: Contiguous) -> list[Call]:
        case = problem.case
        if self._backend == "efficient" and max(case.lengths) * memory.k.stride(0) >= _REACH:
            raise Unsuitable("it computes offsets within a request with 31 bits: strides too large")
        if not case.even or memory.stride is None:
            if self._backend == "efficient":
                return [self._gappy(problem, memory)]
            raise Unsuitable("SDPA takes no lengths: the requests must be equally long")
        chunked = not case.decode and case.queries[0] != case.lengths[0]
        ways = [] if self._backend == "efficient" and chunked else [self._grouped(problem, memory)]
        if chunked:
            # SDPA's causal mask is for the first queries; these are the last.
            ways = [self._last_queries(problem, memory)] if self._backend == "flash" else []
        if self._backend == "efficient":
            ways.append(self._gappy(problem, memory))
        if case.decode:
            ways.append(self._heads_as_queries(problem, memory))
        if not ways:
            raise Unsuitable("SDPA's causal mask is not for queries behind a context")
        return ways

    def paged(self, problem: Problem, pages: Pages) -> list[Call]:
        raise Unsuitable("SDPA takes no block table")

    def _parts(self, problem: Problem, memory: Contiguous) -> tuple[torch.Tensor, ...]:
        """``[batch, heads, tokens, dim]``, K and V as views."""
        case = problem.case
        q = problem.queries.view(case.batch, case.queries[0], *problem.queries.shape[1:])
        k, v = (
            memory.batched(part, case.batch, case.lengths[0]) for part in (memory.k, memory.v)
        )
        return tuple(part.transpose(1, 2) for part in (q, k, v))

    def _attend(self, *parts: torch.Tensor, **options: Any) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            with sdpa_kernel(self._chosen):
                return scaled_dot_product_attention(*parts, **options)

        return run

    def _grouped(self, problem: Problem, memory: Contiguous) -> Call:
        causal = not problem.case.decode
        run = self._attend(*self._parts(problem, memory), is_causal=causal, enable_gqa=True)
        how = "F.scaled_dot_product_attention(enable_gqa=True) over [slots, heads, tokens, dim]"
        return Call(run, _from_heads_first, how)

    def _heads_as_queries(self, problem: Problem, memory: Contiguous) -> Call:
        """For backends without groups: in decode the query heads of a group may stand as queries."""
        shape, batch = problem.shape, problem.case.batch
        _, k, v = self._parts(problem, memory)
        q = problem.queries.view(batch, shape.kv_heads, shape.group, shape.head_dim)
        how = "F.scaled_dot_product_attention, the heads of a group as queries"
        return Call(self._attend(q, k, v), lambda out: out.reshape(problem.queries.shape), how)

    def _last_queries(self, problem: Problem, memory: Contiguous) -> Call:
        parts = self._parts(problem, memory)
        run = partial(_aten._scaled_dot_product_flash_attention, *parts, 0.0, True, False)
        how = "aten::_scaled_dot_product_flash_attention(is_causal=True), the queries last"
        return Call(run, lambda outputs: _from_heads_first(outputs[0]), how)

    def _gappy(self, problem: Problem, memory: Contiguous) -> Call:
        """The kernel behind the backend, with lengths; a group's heads as a request's queries in
        decode, else as requests of their own over the same keys (a stride of nothing)."""
        case, shape, device = problem.case, problem.shape, problem.device
        begins = int32([*memory.starts, memory.k.shape[0]], device)
        used = int32(list(case.lengths), device)
        k, v = memory.k[None], memory.v[None]
        options = {"seqlen_k": used}
        if case.decode:
            q = problem.queries.view(case.batch, shape.kv_heads, shape.group, shape.head_dim)
            q = q.transpose(1, 2).reshape(1, case.batch * shape.group, shape.kv_heads, shape.head_dim)
            starts = int32([index * shape.group for index in range(case.batch + 1)], device)
            sizes = (shape.group, max(case.lengths))
            run = partial(
                *(_aten._efficient_attention_forward, q, k, v, None, starts, begins),
                *(*sizes, 0.0, _NO_MASK),
                **options,
            )

            def back(outputs: Any) -> torch.Tensor:
                out = outputs[0].view(case.batch, shape.group, shape.kv_heads, shape.head_dim)
                return out.transpose(1, 2).reshape(problem.queries.shape)

            how = "aten::_efficient_attention_forward(seqlen_k), the heads of a group as queries"
            return Call(run, back, how)
        return self._groups_as_batch(problem, memory)

    def _groups_as_batch(self, problem: Problem, memory: Contiguous) -> Call:
        case, shape = problem.case, problem.shape
        if case.batch != 1:
            raise Unsuitable("several prompts of grouped heads at once")
        k, v = (
            part[: case.lengths[0]].expand(shape.group, *(-1,) * 3) for part in (memory.k, memory.v)
        )
        q = problem.queries.view(-1, shape.kv_heads, shape.group, shape.head_dim)
        q = q.permute(2, 0, 1, 3).contiguous()
        run = partial(
            *(_aten._efficient_attention_forward, q, k, v, None, None, None, None, None),
            *(0.0, _CAUSAL_FROM_BOTTOM_RIGHT),
        )

        def back(outputs: Any) -> torch.Tensor:
            out: torch.Tensor = outputs[0].permute(1, 2, 0, 3)
            return out.reshape(problem.queries.shape)

        how = "aten::_efficient_attention_forward, the heads of a group as a batch over the same keys"
        return Call(run, back, how)


def _from_heads_first(out: torch.Tensor) -> torch.Tensor:
    return out.transpose(1, 2).reshape(-1, out.shape[1], out.shape[3])
