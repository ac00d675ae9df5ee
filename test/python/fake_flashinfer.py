"""A FlashInfer that computes on a CPU: the wrappers that the benches call, with the arguments of 0.6.17 in
their order, and what its kernels do with them. It fails where the real one fails or reads elsewhere:
wrong dtypes, offsets that 32 bits do not hold, queries that the plan does not know."""

from __future__ import annotations

import types
from typing import Any

import torch

__version__ = "0.6.17"


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """One request: ``[tokens, heads, dim]``, the queries its last tokens if causal."""
    group = q.shape[1] // k.shape[1]
    k, v = (part.repeat_interleave(group, 1).double() for part in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q.double(), k) / q.shape[-1] ** 0.5
    if causal:
        ahead = torch.ones(scores.shape[1:], dtype=torch.bool).triu(len(k) - len(q) + 1)
        scores = scores.masked_fill(ahead, float("-inf"))
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).to(q.dtype)


def _int32(*tensors: torch.Tensor) -> None:
    for tensor in tensors:
        assert tensor.dtype == torch.int32, tensor.dtype


class _Wrapper:
    def __init__(self, workspace: torch.Tensor, kv_layout: str = "NHD", **options: Any) -> None:
        assert workspace.dtype == torch.uint8 and kv_layout == "NHD"
        assert options.pop("backend", "auto") in ("auto", "fa2", "fa3")
        assert not options.keys() - {"use_tensor_cores"}


class BatchPrefillWithRaggedKVCacheWrapper(_Wrapper):
    def plan(
        self,
        qo_indptr: torch.Tensor,
        kv_indptr: torch.Tensor,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim_qk: int,
        causal: bool = False,
        q_data_type: torch.dtype = torch.float16,
        kv_data_type: torch.dtype | None = None,
    ) -> None:
        _int32(qo_indptr, kv_indptr)
        assert len(qo_indptr) == len(kv_indptr)
        assert (qo_indptr.diff() >= 0).all() and (kv_indptr.diff() >= 0).all()
        self._segments = (qo_indptr.clone(), kv_indptr.clone())
        self._heads, self._causal = (num_qo_heads, num_kv_heads, head_dim_qk), causal

    def run(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        qo, kv = (one.tolist() for one in self._segments)
        assert q.shape == (qo[-1], self._heads[0], self._heads[2])
        assert k.shape[1:] == v.shape[1:] == self._heads[1:]
        out = torch.full_like(q, float("nan"))
        for segment in range(len(qo) - 1):
            rows, keys = slice(*qo[segment : segment + 2]), slice(*kv[segment : segment + 2])
            if rows.stop > rows.start:
                out[rows] = attend(q[rows], k[keys], v[keys], self._causal)
        return out


class _Paged(_Wrapper):
    def _keep(self, table: Any, heads: Any, page_size: int, causal: bool, starts: Any) -> None:
        indptr, indices, last = table
        _int32(indptr, indices, last)
        assert len(indptr) == len(last) + 1 and int(indptr[-1]) == len(indices)
        assert (last >= 1).all() and (last <= page_size).all()
        self._table, self._heads, self._size = [part.tolist() for part in table], heads, page_size
        self._causal, self._starts = causal, starts

    def run(self, q: torch.Tensor, paged_kv_cache: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        k, v = paged_kv_cache
        # Offsets of pages are 64 bits wide; what is multiplied, and a page itself, 32.
        assert k.stride() == v.stride() and k.stride(0) < 1 << 32
        assert k.shape[1:] == (self._size, *self._heads[1:])
        indptr, indices, last = self._table
        out = torch.full_like(q, float("nan"))
        for request in range(len(last)):
            pages = indices[indptr[request] : indptr[request + 1]]
            tokens = (len(pages) - 1) * self._size + last[request]
            keys, values = (_rows(part, pages, tokens) for part in (k, v))
            rows = slice(*self._starts[request : request + 2])
            out[rows] = attend(q[rows], keys, values, self._causal)
        assert len(q) == self._starts[-1]
        return out


def _rows(part: torch.Tensor, pages: list[int], tokens: int) -> torch.Tensor:
    """No more of the last page than there is: the rest of it may not be mapped."""
    size = part.shape[1]
    left = [min(size, tokens - index * size) for index in range(len(pages))]
    return torch.cat([part[page, :count] for page, count in zip(pages, left)])


class BatchDecodeWithPagedKVCacheWrapper(_Paged):
    def plan(
        self,
        indptr: torch.Tensor,
        indices: torch.Tensor,
        last_page_len: torch.Tensor,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim: int,
        page_size: int,
        q_data_type: torch.dtype = torch.float16,
        kv_data_type: torch.dtype | None = None,
    ) -> None:
        heads = (num_qo_heads, num_kv_heads, head_dim)
        starts = list(range(len(last_page_len) + 1))
        self._keep((indptr, indices, last_page_len), heads, page_size, False, starts)


class BatchPrefillWithPagedKVCacheWrapper(_Paged):
    def plan(
        self,
        qo_indptr: torch.Tensor,
        paged_kv_indptr: torch.Tensor,
        paged_kv_indices: torch.Tensor,
        paged_kv_last_page_len: torch.Tensor,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim_qk: int,
        page_size: int,
        causal: bool = False,
        q_data_type: torch.dtype = torch.float16,
        kv_data_type: torch.dtype | None = None,
    ) -> None:
        _int32(qo_indptr)
        heads = (num_qo_heads, num_kv_heads, head_dim_qk)
        table = (paged_kv_indptr, paged_kv_indices, paged_kv_last_page_len)
        self._keep(table, heads, page_size, causal, qo_indptr.tolist())


def module() -> types.ModuleType:
    """To stand in `sys.modules`."""
    made = types.ModuleType("flashinfer")
    made.__dict__.update(
        __version__=__version__,
        BatchPrefillWithRaggedKVCacheWrapper=BatchPrefillWithRaggedKVCacheWrapper,
        BatchPrefillWithPagedKVCacheWrapper=BatchPrefillWithPagedKVCacheWrapper,
        BatchDecodeWithPagedKVCacheWrapper=BatchDecodeWithPagedKVCacheWrapper,
    )
    return made


def flash_attention_forward(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cum_seq_q: torch.Tensor,
    cum_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    dropout_p: float,
    is_causal: bool,
    return_debug_mask: bool,
    *,
    seqused_k: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """What `aten::_flash_attention_forward` does with ragged batches."""
    _int32(cum_seq_q, cum_seq_k)
    assert seqused_k is not None and len(cum_seq_q) == len(cum_seq_k) == len(seqused_k) + 1
    assert dropout_p == 0 and not return_debug_mask
    starts_q, starts_k, used = cum_seq_q.tolist(), cum_seq_k.tolist(), seqused_k.tolist()
    # One query each and grouped heads: the kernel takes a row for every sequence of the arrays.
    assert max_q > 1 or len(query) == len(used)
    assert max(used) <= max_k
    out = torch.full_like(query, float("nan"))
    for index, length in enumerate(used):
        rows = slice(*starts_q[index : index + 2])
        keys = slice(starts_k[index], starts_k[index] + length)
        assert rows.stop - rows.start <= max_q
        if rows.stop > rows.start:
            out[rows] = attend(query[rows], key[keys], value[keys], is_causal)
    return (out,)
