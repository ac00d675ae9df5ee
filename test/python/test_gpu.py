"""The package on a real GPU: torch's CUDA tensors over spans, index arrays on the device, captured graphs
that replay while spans grow, reads past a length. One command runs all of it: bench/README.md, "On a GPU"."""

from __future__ import annotations

import gc
import importlib.util
import os
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import kvspan
import numpy as np
import pytest
from gpu_support import WHY_NOT, gpu, nothing_left, session, torch  # noqa: F401
from support import SMALL, TOKENS_PER_PAGE, Child, Daemon, until

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
HEADS, KV_HEADS, DIM = 8, 2, 64


@pytest.fixture
def cache(session: kvspan.Session) -> Iterator[kvspan.Cache]:
    with session.create_cache(**SMALL) as one:
        yield one


def bf16_cache(session: kvspan.Session, slots: int = 3, **options: Any) -> kvspan.Cache:
    return session.create_cache(4, KV_HEADS, DIM, "bf16", slots, 4096, lookahead_tokens=0, **options)


# ── Tensors ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("layout", ["token-major", "layer-major"])
def test_a_layer_is_a_tensor_over_the_span(session: kvspan.Session, layout: str) -> None:
    with session.create_cache(**{**SMALL, "layout": layout}) as cache:
        slot = cache.allocate(300)
        k, view = cache.k(2), cache.view("key", 2)
        assert k.device == torch.device("cuda", cache.ordinal)
        assert (k.data_ptr(), k.stride(), tuple(k.shape)) == (view.address, view.strides, view.shape)
        assert "key of layer 2" in f"{k} {k!r}"
        k[slot, :300] = torch.arange(300, device="cuda", dtype=torch.float32)[:, None, None]
        torch.cuda.synchronize()
        # What the driver copies from there is what torch wrote; and the other way round.
        rows = cache.read_rows("key", 2, slot, 0, 300)
        assert (rows == np.arange(300, dtype=np.float32)[:, None, None]).all()
        cache.write_rows("value", 2, slot, 100, rows[:50] + 7)
        assert (cache.v(2, slot)[100:150, 0, 0].cpu().numpy() == np.arange(50) + 7).all()
        assert not cache.v(2, slot)[:100].any()
        del k


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32", "float8_e4m3fn", "float8_e5m2"])
def test_every_dtype_is_torchs_own(session: kvspan.Session, name: str) -> None:
    dtype = getattr(torch, name)
    with session.create_cache(2, 2, 64, dtype, 2, 512, device="cuda") as cache:
        slot = cache.allocate(4)
        k = cache.k(1, slot)
        assert k.dtype is dtype and k.shape == (4, 2, 64)
        k.copy_(torch.ones(4, 2, 64, device="cuda"))
        assert (cache.k(1)[slot, :4].float() == 1).all()
        del k


def test_growth_keeps_addresses_and_contents_and_adds_zeros(cache: kvspan.Cache) -> None:
    slot = cache.allocate(TOKENS_PER_PAGE)
    k = cache.k(0)
    address = k.data_ptr()
    wanted = torch.randn(TOKENS_PER_PAGE, 8, 64, device="cuda")
    k[slot, :TOKENS_PER_PAGE] = wanted
    for length in range(TOKENS_PER_PAGE, 12 * TOKENS_PER_PAGE, TOKENS_PER_PAGE // 2):
        assert cache.step({slot: length}).short_slots == ()
        assert torch.equal(k[slot, :TOKENS_PER_PAGE], wanted)
        assert not k[slot, TOKENS_PER_PAGE:length].any()
    assert cache.k(0).data_ptr() == address
    del k


def test_a_tensor_keeps_its_cache_mapped_after_close(session: kvspan.Session, gpu: Daemon) -> None:
    before = gpu.pool().cache_count
    cache = session.create_cache(**SMALL)
    slot = cache.allocate(100)
    k = cache.k(0)
    k[slot, :100] = 5
    with pytest.warns(ResourceWarning):
        cache.close()
    assert (k[slot, :100] == 5).all()
    with pytest.raises(kvspan.Closed):
        cache.k(0)
    with pytest.raises(kvspan.Closed):
        cache.step({slot: 101})
    del k
    gc.collect()
    until("its addresses are given up", lambda: gpu.pool().cache_count == before)


def test_memory_of_a_freed_slot_waits_for_the_streams_work(session: kvspan.Session) -> None:
    with session.create_cache(**SMALL) as cache:
        slot = cache.allocate(1000)
        k = cache.k(0)
        k[slot, :1000] = 3
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # Some tenths of a second, and then a read of what is freed meanwhile.
            torch.cuda._sleep(400_000_000)
            total = k[slot, :1000].sum()
        cache.free(slot, stream)
        held = session.stats().held_bytes
        session.give_back(1 << 40)
        busy = not stream.query()
        kept = session.stats().held_bytes
        if busy:
            assert kept > 0 and held >= kept
        stream.synchronize()
        assert total.item() == 3 * 1000 * 8 * 64
        until("the memory is given back", lambda: _given_back(session))
        del k


def _given_back(session: kvspan.Session) -> bool:
    session.give_back(1 << 40)
    return session.stats().held_bytes == 0


def test_streams_of_another_device_are_refused(cache: kvspan.Cache) -> None:
    slot = cache.allocate(5)
    elsewhere = SimpleNamespace(cuda_stream=0, device_index=cache.ordinal + 1)
    with pytest.raises(kvspan.InvalidArgument) as caught:
        cache.free(slot, elsewhere)
    assert caught.value.field == "stream"
    cache.free(slot, torch.cuda.Stream())
    with pytest.raises(kvspan.InvalidArgument) as caught:
        cache.k(0, framework="numpy")
    assert caught.value.field == "framework"


def test_lengths_may_be_a_tensor_of_the_device(cache: kvspan.Cache) -> None:
    slot = cache.allocate(4)
    lengths = torch.zeros(8, dtype=torch.int32, device="cuda")
    lengths[slot] = 9
    assert cache.step(lengths).short_slots == ()
    assert cache.length(slot) == 9


# ── Index arrays ────────────────────────────────────────────────────────────────────────────────

ARRAYS = ("qo_indptr", "kv_indptr", "cum_seq_q", "cum_seq_k", "seqused_k")


def test_index_arrays_on_the_device_follow_every_call(cache: kvspan.Cache) -> None:
    ragged = cache.ragged()
    places = {name: getattr(ragged, name).data_ptr() for name in ARRAYS}
    slots = [cache.allocate(tokens) for tokens in (10, 200)]

    def same() -> None:
        for name in ARRAYS:
            array = getattr(ragged, name)
            assert array.is_cuda and array.dtype == torch.int32
            assert array.data_ptr() == places[name]
            assert array.tolist() == ragged.host[name].tolist(), name

    same()
    assert ragged.seqused_k.tolist()[:3] == [10, 200, 0]
    cache.step({slots[0]: 11})
    same()
    ragged.set_query_lengths({slots[1]: 7})
    same()
    cache.free(slots[0])
    same()
    assert ragged.seqused_k.tolist()[:2] == [0, 200]


def test_a_kernel_sees_the_lengths_of_its_own_step(cache: kvspan.Cache) -> None:
    """Steps run ahead of the device; what they write must not overtake what is read before."""
    ragged = cache.ragged()
    slot = cache.allocate(1)
    seen = torch.zeros(300, dtype=torch.int32, device="cuda")
    torch.cuda._sleep(20_000_000)
    for length in range(1, 301):
        cache.step({slot: length})
        seen[length - 1].copy_(ragged.seqused_k[slot])
    assert seen.tolist() == list(range(1, 301))


def flash(ragged: kvspan.Ragged, q: Any, layer: int, longest: int) -> Any:
    return torch.ops.aten._flash_attention_forward(
        *(q, ragged.k(layer), ragged.v(layer), ragged.cum_seq_q, ragged.cum_seq_k),
        *(max(1, ragged.queries - len(ragged.slots) + 1), longest, 0.0, True, False),
        seqused_k=ragged.seqused_k,
    )[0]


def reference(q: Any, k: Any, v: Any) -> Any:
    """``[tokens, heads, dim]``, the queries last; float32."""
    q, k, v = (part.float().transpose(0, 1)[None] for part in (q, k, v))
    count, length = q.shape[2], k.shape[2]
    seen = torch.ones(count, length, dtype=torch.bool, device=q.device).tril(length - count)
    attend = torch.nn.functional.scaled_dot_product_attention
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return attend(q, k, v, attn_mask=seen, enable_gqa=True)[0].transpose(0, 1)


def fill(cache: kvspan.Cache, layer: int) -> None:
    for slot in np.flatnonzero(cache.lengths).tolist():
        for part in (cache.k(layer, slot), cache.v(layer, slot)):
            part.normal_()


def test_flash_attention_runs_on_the_arrays_as_they_grow(session: kvspan.Session) -> None:
    torch.manual_seed(1)
    with bf16_cache(session) as cache:
        slots = [cache.allocate(tokens) for tokens in (100, 7, 1500)]
        ragged = cache.ragged()
        for more in (0, 40, 700):
            lengths = {slot: cache.length(slot) + more for slot in slots}
            cache.step(lengths)
            fill(cache, 1)
            q = torch.randn(3, HEADS, DIM, device="cuda", dtype=torch.bfloat16)
            out = flash(ragged, q, 1, 4096)
            for slot in slots:
                wanted = reference(q[slot : slot + 1], cache.k(1, slot), cache.v(1, slot))
                assert torch.allclose(out[slot].float(), wanted[0], atol=2e-2), (slot, more)
        gc.collect()


def test_flash_attention_prefills_behind_a_context(session: kvspan.Session) -> None:
    torch.manual_seed(2)
    with bf16_cache(session) as cache:
        slots = [cache.allocate(tokens) for tokens in (300, 64, 129)]
        fill(cache, 0)
        counts = {slots[0]: 50, slots[1]: 64, slots[2]: 1}
        ragged = cache.ragged(counts)
        q = torch.randn(ragged.queries, HEADS, DIM, device="cuda", dtype=torch.bfloat16)
        out = flash(ragged, q, 0, 4096)
        first = 0
        for slot, count in counts.items():
            rows = slice(first, first + count)
            wanted = reference(q[rows], cache.k(0, slot), cache.v(0, slot))
            assert torch.allclose(out[rows].float(), wanted, atol=2e-2), slot
            first += count
        gc.collect()


# ── CUDA graphs ─────────────────────────────────────────────────────────────────────────────────


def test_a_captured_decode_step_replays_while_spans_grow(session: kvspan.Session) -> None:
    """Captured once: a new token's K and V are written behind each request, and attended to. Between
    replays spans grow by many pages, with no capture anew."""
    torch.manual_seed(3)
    with bf16_cache(session) as cache:
        slots = [cache.allocate(tokens) for tokens in (100, 7, 1500)]
        fill(cache, 2)
        ragged = cache.ragged()
        k, v = ragged.k(2), ragged.v(2)
        q = torch.zeros(3, HEADS, DIM, device="cuda", dtype=torch.bfloat16)
        new = torch.zeros(2, 3, KV_HEADS, DIM, device="cuda", dtype=torch.bfloat16)

        def decode() -> Any:
            places = (ragged.cum_seq_k[:-1] + ragged.seqused_k - 1).long()
            k.index_copy_(0, places, new[0])
            v.index_copy_(0, places, new[1])
            return flash(ragged, q, 2, 4096)

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            decode()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = decode()

        before = cache.stats().mapped_extents
        for length in range(8, 2400, 83):
            # All of one length behind their beginnings; the first ones are shorter than what is there.
            grown = {slot: max(cache.length(slot), length) + 1 for slot in slots}
            assert cache.step(grown).short_slots == ()
            for slot in slots:
                # What lies between the old length and the new one is zero; rows of real requests are not.
                cache.k(2, slot)[-90:].normal_()
                cache.v(2, slot)[-90:].normal_()
            q.normal_()
            new.normal_()
            graph.replay()
            for slot in slots:
                mine = cache.k(2, slot)
                assert torch.equal(mine[-1], new[0, slot])
                wanted = reference(q[slot : slot + 1], mine, cache.v(2, slot))
                assert torch.allclose(out[slot].float(), wanted[0], atol=3e-2), (slot, length)
        assert cache.stats().mapped_extents > before
        del k, v, mine
        gc.collect()


# ── Reading too far ─────────────────────────────────────────────────────────────────────────────


def overread(gpu: Daemon, overread_tokens: int, rows: int, where: str) -> str:
    arguments = (gpu.directory, str(overread_tokens), str(rows), where)
    child = Child.python("overreader.py", *arguments)
    told: str = child.read()
    child.end()
    return told


@pytest.mark.parametrize("where", ["middle", "end"])
def test_the_slack_covers_what_whole_tiles_read(gpu: Daemon, where: str) -> None:
    """A length that ends with a page, and so does the slack; "end": the longest request of a cache."""
    with nothing_left(gpu):
        assert overread(gpu, 256, 256, where) == "read"


def test_without_slack_such_a_read_is_an_illegal_address(gpu: Daemon) -> None:
    with nothing_left(gpu):
        assert "illegal memory access" in overread(gpu, 0, 256, "middle")
        assert "illegal memory access" in overread(gpu, 256, 257 + TOKENS_PER_PAGE, "middle")


@pytest.mark.skipif(importlib.util.find_spec("flashinfer") is None, reason="flashinfer is not installed")
@pytest.mark.skipif(
    os.environ.get("KVSPAN_TEST_FA3") != "1",
    reason="FlashInfer builds its fa3 template for minutes: KVSPAN_TEST_FA3=1 runs it",
)
@pytest.mark.parametrize("tokens", [1, 127, 128, 1024, 4096])
def test_a_kernel_that_loads_whole_tiles_is_right_over_slack(
    session: kvspan.Session, tokens: int
) -> None:
    """FlashInfer's fa3 template reads up to 191 rows past a segment: mapped, and zero."""
    os.environ.setdefault("FLASHINFER_CUDA_ARCH_LIST", "9.0a")
    import flashinfer

    torch.manual_seed(4)
    # 32 KiB a token in 8 layers: 4,096 tokens and the slack end with pages.
    options: dict[str, Any] = {"lookahead_tokens": 0, "overread_tokens": 256, "growth": "linear"}
    with session.create_cache(8, 8, 128, "bf16", 2, 4096, **options) as cache:
        slots = [cache.allocate(tokens) for _ in range(2)]
        fill(cache, 5)
        count = min(tokens, 64)
        ragged = cache.ragged(dict.fromkeys(slots, count))
        workspace = torch.zeros(128 << 20, dtype=torch.uint8, device="cuda")
        wrapper = flashinfer.BatchPrefillWithRaggedKVCacheWrapper(workspace, "NHD", backend="fa3")
        starts = (torch.from_numpy(ragged.host[name]) for name in ("qo_indptr", "kv_indptr"))
        types = {"q_data_type": torch.bfloat16, "kv_data_type": torch.bfloat16}
        wrapper.plan(*starts, 32, 8, 128, causal=True, **types)
        q = torch.randn(2 * count, 32, 128, device="cuda", dtype=torch.bfloat16)
        out = wrapper.run(q, ragged.k(5), ragged.v(5))
        for index, slot in enumerate(slots):
            rows = slice(index * count, (index + 1) * count)
            wanted = reference(q[rows], cache.k(5, slot), cache.v(5, slot))
            assert torch.allclose(out[rows].float(), wanted, atol=2e-2), slot
        gc.collect()


def test_a_tensor_outlives_its_session(gpu: Daemon) -> None:
    """The daemon charges for what it shows until the process ends: this test comes last."""
    session = gpu.connect()
    cache = session.create_cache(**SMALL)
    slot = cache.allocate(50)
    k = cache.k(0)
    k[slot, :50] = 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        session.close()
    assert (k[slot, :50] == 4).all()
    with pytest.raises(kvspan.Closed):
        session.create_cache(**SMALL)
