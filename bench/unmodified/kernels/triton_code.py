"""The device side of triton.py."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def attend(
    queries,
    k,
    v,
    out,
    partial,
    sums,
    lengths,
    firsts,
    starts,
    table,
    k_stride,
    v_stride,
    pages_each,
    scale,
    HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    PARTS: tl.constexpr,
    PAGE: tl.constexpr,
):
    """A tile of rows (a query and a head of the group each) of one request and KV head, over one part of
    its keys. Rows of a request are its last tokens."""
    request = tl.program_id(2)
    head = tl.program_id(1) // PARTS
    part = tl.program_id(1) % PARTS
    length = tl.load(lengths + request)
    first = tl.load(firsts + request)
    count = tl.load(firsts + request + 1) - first
    start = tl.load(starts + request)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    query = row // GROUP
    there = query < count
    dims = tl.arange(0, DIM)
    place = ((first + query) * HEADS * GROUP + head * GROUP + row % GROUP).to(tl.int64)
    q = tl.load(queries + place[:, None] * DIM + dims[None, :], mask=there[:, None], other=0.0)
    position = length - count + query

    highest = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    mean = tl.zeros((ROWS, DIM), tl.float32)
    # Whole blocks of keys a part; the last row of the tile sees the farthest.
    farthest = tl.minimum(length, length - count + (tl.program_id(0) * ROWS + ROWS - 1) // GROUP + 1)
    each = tl.cdiv(tl.cdiv(length, KEYS), PARTS) * KEYS
    for begin in range(part * each, tl.minimum(farthest, (part + 1) * each), KEYS):
        key = begin + tl.arange(0, KEYS)
        known = key < length
        if PAGE > 0:
            page = tl.load(table + request * pages_each + key // PAGE, mask=known, other=0)
            at = page.to(tl.int64) * PAGE + key % PAGE
        else:
            at = start + key
        lane = head * DIM + dims
        keys = tl.load(k + at[:, None] * k_stride + lane[None, :], mask=known[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(keys)) * scale
        seen = known[None, :] & (key[None, :] <= position[:, None])
        scores = tl.where(seen, scores, float("-inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        # A row that has seen nothing yet has no highest score to subtract.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp(scores - base[:, None])
        shrink = tl.exp(highest - base)
        total = total * shrink + tl.sum(weights, 1)
        values = tl.load(v + at[:, None] * v_stride + lane[None, :], mask=known[:, None], other=0.0)
        mean = mean * shrink[:, None] + tl.dot(weights.to(values.dtype), values)
        highest = higher

    if PARTS == 1:
        result = mean / total[:, None]
        tl.store(
            out + place[:, None] * DIM + dims[None, :],
            result.to(out.dtype.element_ty),
            mask=there[:, None],
        )
    else:
        slot = place * PARTS + part
        tl.store(partial + slot[:, None] * DIM + dims[None, :], mean, mask=there[:, None])
        tl.store(sums + slot * 2, highest, mask=there)
        tl.store(sums + slot * 2 + 1, total, mask=there)


@triton.jit
def join(partial, sums, out, PARTS: tl.constexpr, DIM: tl.constexpr):
    """The parts of one query head's keys, put together."""
    place = (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)).to(tl.int64)
    parts = tl.arange(0, PARTS)
    dims = tl.arange(0, DIM)
    slot = place * PARTS + parts
    highest = tl.load(sums + slot * 2)
    total = tl.load(sums + slot * 2 + 1)
    weight = tl.exp(highest - tl.max(highest, 0))
    means = tl.load(partial + slot[:, None] * DIM + dims[None, :])
    result = tl.sum(means * weight[:, None], 0) / tl.sum(total * weight, 0)
    tl.store(out + place * DIM + dims, result.to(out.dtype.element_ty))
