"""The index arrays of the live slots: the gaps recipe, and what attention makes of it."""

from __future__ import annotations

import kvspan
import numpy as np
import pytest
from support import SMALL


def test_the_arrays_are_those_of_the_recipe(cache: kvspan.Cache) -> None:
    a, b = cache.allocate(10), cache.allocate(20)
    ragged = cache.ragged()
    stride = cache.plan.slot_stride_bytes // cache.plan.row_bytes
    assert ragged.stride == stride >= 4096
    assert ragged.seqused_k.tolist() == [10, 20, 0, 0, 0, 0, 0, 0]
    assert ragged.cum_seq_k.tolist() == [slot * stride for slot in range(9)]
    assert ragged.cum_seq_q.tolist() == [0, 1, 2, 2, 2, 2, 2, 2, 2]
    starts = ragged.kv_indptr.reshape(-1)
    assert starts[:5].tolist() == [0, 10, stride, stride + 20, 2 * stride]
    assert starts[-1] == 8 * stride
    assert ragged.qo_indptr[:6].tolist() == [0, 1, 1, 2, 2, 2]
    assert (a, b) == (0, 1)


def test_every_call_writes_them_in_place(cache: kvspan.Cache) -> None:
    ragged = cache.ragged()
    arrays = (ragged.qo_indptr, ragged.kv_indptr, ragged.cum_seq_q, ragged.seqused_k)
    a, b = cache.allocate(10), cache.allocate(20)
    assert ragged.seqused_k[:2].tolist() == [10, 20]
    cache.step({b: 25})
    assert ragged.kv_indptr[3] == ragged.stride + 25
    lengths = cache.lengths.copy()
    lengths[a] = 11
    cache.step(lengths)
    assert ragged.kv_indptr[1] == 11
    cache.free(a)
    assert ragged.seqused_k[:2].tolist() == [0, 25]
    assert ragged.slots.tolist() == [b]
    assert ragged.queries == 1
    assert arrays[0] is ragged.qo_indptr
    assert arrays[1] is ragged.kv_indptr


def test_a_short_slot_keeps_its_length_in_them(cache: kvspan.Cache) -> None:
    slot = cache.allocate(10)
    ragged = cache.ragged()
    other = cache.allocate(1500)
    third = cache.allocate(1500)
    result = cache.step({slot: 4000, other: 1501, third: 1501}, wait=0)
    assert result.short_slots == (slot,)
    assert ragged.seqused_k[:3].tolist() == [10, 1501, 1501]


def test_queries_of_a_prefill(cache: kvspan.Cache) -> None:
    a, b = cache.allocate(10), cache.allocate(20)
    ragged = cache.ragged({a: 10})
    assert ragged.queries == 10
    assert ragged.qo_indptr[:4].tolist() == [0, 10, 10, 10]
    ragged.set_query_lengths([2, 5, 0, 0, 0, 0, 0, 0])
    assert ragged.cum_seq_q[:3].tolist() == [0, 2, 7]
    ragged.set_query_lengths({b: 50})
    assert ragged.queries == 20
    with pytest.raises(kvspan.InvalidArgument) as caught:
        ragged.set_query_lengths({9: 1})
    assert caught.value.field == "query_lengths"


def test_the_arrays_are_to_be_had_on_the_host(cache: kvspan.Cache) -> None:
    ragged = cache.ragged()
    slot = cache.allocate(7)
    assert ragged.host["seqused_k"][slot] == 7
    assert ragged.host["kv_indptr"].tolist() == ragged.kv_indptr.tolist()
    before = {name: array.ctypes.data for name, array in ragged.host.items()}
    cache.step({slot: 9})
    assert ragged.host["kv_indptr"][1] == 9
    assert {name: array.ctypes.data for name, array in ragged.host.items()} == before
    # No two of them share a word.
    spans = sorted((array.ctypes.data, array.nbytes) for array in ragged.host.values())
    assert all(a + size <= b for (a, size), (b, _) in zip(spans, spans[1:]))


def test_it_is_known_whether_32_bits_reach(session: kvspan.Session) -> None:
    options = {**SMALL, "slots": 8, "layers": 32, "head_dim": 128}
    for max_tokens, layout, fits in (
        *((8192, "token-major", True), (8193, "token-major", False)),
        *((8193, "layer-major", True), (524_289, "layer-major", False)),
    ):
        with session.create_cache(**{**options, "max_tokens": max_tokens}, layout=layout) as cache:
            assert cache.ragged().fits_32_bits is fits


def test_the_longest_request_has_slack_behind_it_too(session: kvspan.Session) -> None:
    options = {**SMALL, "slots": 2, "max_tokens": 512}
    with session.create_cache(**options, overread_tokens=256) as cache:
        row = cache.plan.row_bytes
        assert cache.plan.slot_stride_bytes >= (512 + 256) * row
        cache.allocate(512)
        cache.allocate(512)
        assert cache.stats().mapped_bytes >= 2 * (512 + 256) * row
        assert cache.k(0).shape == (2, 512, 8, 64)
        with pytest.raises(kvspan.InvalidArgument):
            cache.step([513, 512])


def test_a_cache_that_int32_cannot_index_is_refused(session: kvspan.Session) -> None:
    options = {**SMALL, "slots": 1024, "max_tokens": 4 << 20, "layers": 1}
    with session.create_cache(**options) as cache:
        with pytest.raises(kvspan.InvalidArgument) as caught:
            cache.ragged()
    assert caught.value.field == "slots"


def attention(
    queries: np.ndarray, keys: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """One sequence, ``[tokens, heads, dim]`` each, the queries its last tokens; float64."""
    q, k, v = (array.astype(np.float64) for array in (queries, keys, values))
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1])
    ahead = np.arange(len(k))[None, :] > np.arange(len(k) - len(q), len(k))[:, None]
    scores[:, ahead] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("hqk,khd->qhd", weights / weights.sum(-1, keepdims=True), v)


def ragged_attention(
    queries: np.ndarray, qo_indptr: np.ndarray, kv_indptr: np.ndarray, k: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """What a ragged kernel does: one segment after the other; it knows of no slots and no gaps."""
    out = np.zeros(queries.shape)
    for segment in range(len(qo_indptr) - 1):
        q = slice(qo_indptr[segment], qo_indptr[segment + 1])
        kv = slice(kv_indptr[segment], kv_indptr[segment + 1])
        if q.stop > q.start:
            out[q] = attention(queries[q], k[kv], v[kv])
    return out


def test_a_ragged_kernel_over_the_gaps_gives_each_sequence_its_attention(
    cache: kvspan.Cache,
) -> None:
    random = np.random.default_rng(1)
    lengths = {cache.allocate(n): n for n in (37, 5, 200)}
    for slot, length in lengths.items():
        cache.k(1, slot)[:] = random.standard_normal((length, 8, 64))
        cache.v(1, slot)[:] = random.standard_normal((length, 8, 64))
    ragged = cache.ragged({0: 3, 1: 5, 2: 1})
    queries = random.standard_normal((ragged.queries, 8, 64))
    got = ragged_attention(
        queries, ragged.qo_indptr, ragged.kv_indptr, ragged.k(1), ragged.v(1)
    )
    first = 0
    for slot in ragged.slots:
        count = int(ragged.cum_seq_q[slot + 1] - ragged.cum_seq_q[slot])
        wanted = attention(queries[first : first + count], cache.k(1, slot), cache.v(1, slot))
        assert np.allclose(got[first : first + count], wanted)
        first += count
    assert first == ragged.queries == 9
