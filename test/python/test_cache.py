"""Requests that come, grow and go."""

from __future__ import annotations

import threading

import kvspan
import numpy as np
import pytest
from support import PAGE, SMALL, TOKENS_PER_PAGE, Daemon, rows, until


def test_a_prompt_is_mapped_contiguous_and_zero(cache: kvspan.Cache) -> None:
    slot = cache.allocate(300)
    assert cache.length(slot) == 300
    assert cache.lengths[slot] == 300
    assert cache.mapped_tokens(slot) == 3 * TOKENS_PER_PAGE
    assert cache.k(0, slot).shape == (300, 8, 64)
    assert not np.asarray(cache.k(3, slot)).any()


def test_what_is_written_is_read_in_every_layer_and_part(cache: kvspan.Cache) -> None:
    slot = cache.allocate(200)
    for layer in range(4):
        cache.k(layer, slot)[:] = layer + 0.25
        cache.v(layer, slot)[:] = layer + 0.5
    for layer in range(4):
        assert (cache.read_rows("key", layer, slot, 0, 200) == layer + 0.25).all()
        assert (cache.read_rows("value", layer, slot, 0, 200) == layer + 0.5).all()
        assert (cache.k(layer)[slot, :200] == layer + 0.25).all()


@pytest.mark.parametrize("layout", ["token-major", "layer-major", "latent"])
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32", "fp8-e4m3", "fp8-e5m2"])
def test_every_layout_and_dtype(session: kvspan.Session, layout: str, dtype: str) -> None:
    heads = 1 if layout == "latent" else 2
    with session.create_cache(2, heads, 64, dtype, 2, 512, layout, lookahead_tokens=0) as cache:
        slot = cache.allocate(5)
        parts = ("key",) if layout == "latent" else ("key", "value")
        pattern = {}
        for layer in range(2):
            for part in parts:
                view = cache.k(layer, slot) if part == "key" else cache.v(layer, slot)
                assert view.shape == (5, heads, 64)
                assert view.strides[0] == cache.plan.row_bytes
                pattern[layer, part] = (rows(layer, 5, len(part), heads * 64) % 251).astype(view.dtype)
                view[:] = pattern[layer, part].reshape(view.shape)
        for (layer, part), wanted in pattern.items():
            got = cache.read_rows(part, layer, slot, 0, 5)
            assert np.array_equal(got.reshape(wanted.shape), wanted, equal_nan=got.dtype.kind == "f")


def test_addresses_never_change_while_slots_grow(cache: kvspan.Cache) -> None:
    slot = cache.allocate(10)
    before = cache.view("key", 1, slot).address
    cache.k(1, slot)[:] = 7
    cache.step({slot: 1500})
    assert cache.view("key", 1, slot).address == before
    assert (cache.k(1, slot)[:10] == 7).all()
    assert not np.asarray(cache.k(1, slot))[10:].any()


def test_a_step_takes_arrays_sequences_and_mappings(cache: kvspan.Cache) -> None:
    a, b = cache.allocate(10), cache.allocate(20)
    lengths = cache.lengths.copy()
    lengths[a] = 11
    assert cache.step(lengths).outcome in ("nothing", "ahead")
    lengths[b] = 21
    assert cache.step(lengths.astype(np.int64)).short_slots == ()
    lengths[a] = 12
    cache.step(lengths.tolist())
    cache.step({b: 22})
    assert [cache.length(a), cache.length(b)] == [12, 22]
    cache.step({})
    assert [cache.length(a), cache.length(b)] == [12, 22]


def test_a_step_without_anything_to_do_is_the_same_object(cache: kvspan.Cache) -> None:
    slot = cache.allocate(10)
    assert cache.step({slot: 11}) is cache.step({slot: 12})


def test_growth_is_refilled_by_the_daemon(cache: kvspan.Cache) -> None:
    slot = cache.allocate(100)
    result = cache.step({slot: 2000})
    assert result.outcome == "refilled"
    assert result.driver_calls > 0
    assert cache.mapped_tokens(slot) >= 2000


def test_a_slot_that_cannot_grow_is_reported_and_keeps_its_length(shared: Daemon) -> None:
    with shared.connect(grant_wait=0.1) as session:
        with session.create_cache(**SMALL) as cache:
            slots = [cache.allocate(1000) for _ in range(2)]
            result = cache.step({slots[0]: 4000, slots[1]: 1001})
            assert result.outcome == "short"
            assert result.short_slots == (slots[0],)
            assert [cache.length(slot) for slot in slots] == [1000, 1001]
            assert cache.lengths[slots[0]] == 1000


def test_a_prompt_too_large_for_the_pool_says_what_is_asked_and_free(shared: Daemon) -> None:
    with shared.connect(grant_wait=0.0) as session:
        with session.create_cache(**{**SMALL, "max_tokens": 8192}) as cache:
            with pytest.raises(kvspan.OutOfMemory) as caught:
                cache.allocate(8192)
    failure = caught.value
    assert failure.code in ("POOL_EXHAUSTED", "QUOTA_EXHAUSTED")
    assert failure.asked_bytes == 64 * PAGE
    assert failure.limit_bytes == 32 * PAGE
    assert isinstance(failure, MemoryError)


def test_a_refused_prompt_leaves_the_slot_free(shared: Daemon) -> None:
    with shared.connect(grant_wait=0.0) as session:
        with session.create_cache(**SMALL) as cache:
            cache.allocate(3000)
            with pytest.raises(kvspan.OutOfMemory):
                cache.allocate(3000)
            assert cache.stats().live_slots == 1
            cache.allocate(100)


def test_every_slot_taken_is_slots_exhausted(cache: kvspan.Cache) -> None:
    for _ in range(8):
        cache.allocate(1)
    with pytest.raises(kvspan.SlotsExhausted) as caught:
        cache.allocate(1)
    assert caught.value.retryable


def test_a_freed_slot_stays_warm_for_the_next_request(cache: kvspan.Cache) -> None:
    slot = cache.allocate(500)
    maps = cache.stats().mapped_extents
    cache.free(slot)
    assert cache.stats().idle_slots == 1
    assert cache.allocate(400) == slot
    assert cache.stats().mapped_extents == maps
    assert cache.lengths[slot] == 400


def test_freed_memory_waits_for_its_stream(session: kvspan.Session, cache: kvspan.Cache) -> None:
    import ctypes

    from kvspan import _abi

    stream = ctypes.c_uint64()
    _abi.call("host_stream_create", ctypes.byref(stream))
    _abi.call("host_stream_submit", stream)
    slot = cache.allocate(500)
    cache.free(slot, stream=stream.value)
    assert session.give_back(64 * PAGE) == 0
    assert session.stats().pending_unmap_bytes == 4 * PAGE
    _abi.call("host_stream_complete", stream)
    assert session.give_back(64 * PAGE) == 4 * PAGE
    _abi.call("host_stream_destroy", stream)


def test_given_back_memory_is_off_the_daemons_account(shared: Daemon) -> None:
    with shared.connect() as session:
        with session.create_cache(**SMALL) as cache:
            cache.free(cache.allocate(500))
            assert shared.sessions()[0].held_bytes == 4 * PAGE
            assert session.give_back(PAGE) >= PAGE
            assert shared.sessions()[0].held_bytes == session.stats().held_bytes
            assert session.stats().returned_bytes >= PAGE


def test_the_mapper_keeps_ahead_of_a_decoding_slot(shared: Daemon) -> None:
    with shared.connect(low_water_bytes=4 * PAGE, high_water_bytes=16 * PAGE) as session:
        with session.create_cache(**{**SMALL, "lookahead_tokens": 64}) as cache:
            slot = cache.allocate(10)
            until("memory ahead", lambda: session.stats().magazine_bytes >= 2 * PAGE)
            for length in range(11, 1500):
                cache.step({slot: length})
                if length % 50 == 0:
                    threading.Event().wait(0.002)
            stats = cache.stats()
            assert session.stats().mapper_maps > 0
            assert stats.steps_with_driver_call < 20
            assert stats.steps["all"].count == 1489


def test_an_allocation_beside_steps_of_another_thread(shared: Daemon) -> None:
    with shared.connect() as session, session.create_cache(**SMALL) as cache:
        first = cache.allocate(10)
        stop = threading.Event()
        failures: list[BaseException] = []

        def engine() -> None:
            length = 10
            try:
                while not stop.is_set():
                    length = 10 + (length - 9) % 200
                    cache.step({first: length})
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=engine)
        thread.start()
        try:
            for _ in range(30):
                slots = [cache.allocate(100) for _ in range(3)]
                for slot in slots:
                    cache.free(slot)
        finally:
            stop.set()
            thread.join()
        assert failures == []


def test_stats_and_reprs_say_what_there_is(session: kvspan.Session, cache: kvspan.Cache) -> None:
    slot = cache.allocate(100)
    stats = cache.stats()
    assert (stats.live_slots, stats.live_bytes) == (1, 100 * 16384)
    assert stats.mapped_bytes == PAGE
    assert session.stats().held_bytes == PAGE
    # The memory is here before the daemon's word on it.
    until("the grant is settled", lambda: session.stats().grants.met == 1)
    assert "1 live" in repr(cache)
    assert "connected" in repr(session)
    cache.free(slot)


def test_a_wanted_address_is_honoured(shared: Daemon) -> None:
    with shared.connect() as session:
        with session.create_cache(**SMALL) as cache:
            base = cache.plan.base_address
        with session.create_cache(**SMALL, wanted_base_address=base) as cache:
            assert cache.plan.base_address == base
