"""The cuda backend over the stand-in driver (test/native/standin): everything but the driver, the GPU
and torch's view of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import kvspan
import numpy as np
import pytest
from kvspan.errors import KvspanError
from support import PAGE, ROOT, SMALL, Daemon, rows, until

LIBRARY = ROOT / "build/native/standin/libcuda.so.1"
pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the stand-in driver is not built")


@pytest.fixture(scope="module")
def gpu() -> Iterator[Daemon]:
    daemon = Daemon(backend="cuda", cuda_library=LIBRARY)
    yield daemon
    daemon.stop()


@pytest.fixture
def cache(gpu: Daemon) -> Iterator[kvspan.Cache]:
    with gpu.connect(cuda_library=str(LIBRARY)) as session:
        with session.create_cache(**SMALL, device="cuda") as cache:
            yield cache
    until("the books are empty", gpu.empty)


def test_a_session_is_of_the_daemons_gpu(gpu: Daemon) -> None:
    with gpu.connect(cuda_library=str(LIBRARY)) as session:
        assert session.server.backend == "cuda"
        assert session.server.uuid != ""
        assert session.ordinal == 0


def test_another_gpu_under_the_same_number_is_refused(
    gpu: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVSPAN_STANDIN_SERIAL", "9")
    with pytest.raises(KvspanError, match="CUDA_VISIBLE_DEVICES") as caught:
        gpu.connect(cuda_library=str(LIBRARY))
    assert caught.value.code == "DEVICE_UNAVAILABLE"
    gpu.until_empty()


def test_no_driver_is_device_unavailable(gpu: Daemon) -> None:
    with pytest.raises(KvspanError) as caught:
        gpu.connect(cuda_library="/nowhere/libcuda.so.1")
    assert caught.value.code == "DEVICE_UNAVAILABLE"
    gpu.until_empty()


def test_rows_travel_through_the_driver(cache: kvspan.Cache) -> None:
    slot = cache.allocate(200)
    wanted = rows(0, 200, 3, 512).view(np.float32).reshape(200, 8, 64)
    cache.write_rows("key", 2, slot, 0, wanted)
    got = cache.read_rows("key", 2, slot, 0, 200)
    assert np.array_equal(got.view(np.uint32), wanted.view(np.uint32))
    assert not cache.read_rows("value", 2, slot, 0, 200).any()
    assert cache.step({slot: 900}).short_slots == ()
    assert not cache.read_rows("key", 2, slot, 200, 700).any()


def test_a_view_is_of_the_device(cache: kvspan.Cache) -> None:
    slot = cache.allocate(5)
    view = cache.view("key", 0, slot)
    assert view.__dlpack_device__() == (2, 0)
    capsule = view.__dlpack__()
    assert "dltensor" in repr(capsule)
    assert cache.borrowed
    del capsule
    assert not cache.borrowed
    with pytest.raises(kvspan.InvalidArgument) as caught:
        cache.k(0, framework="numpy")
    assert caught.value.field == "framework"


def test_a_cache_is_where_the_caller_expects_it(gpu: Daemon) -> None:
    with gpu.connect(cuda_library=str(LIBRARY)) as session:
        session.create_cache(**SMALL, device="cuda:0").close()
        for device in ("cpu", "cuda:1", "host"):
            with pytest.raises(kvspan.InvalidArgument) as caught:
                session.create_cache(**SMALL, device=device)
            assert caught.value.field == "device"


def test_streams_of_the_device_and_of_another(cache: kvspan.Cache) -> None:
    slot = cache.allocate(5)
    elsewhere = SimpleNamespace(cuda_stream=0, device_index=1)
    with pytest.raises(kvspan.InvalidArgument) as caught:
        cache.free(slot, elsewhere)
    assert caught.value.field == "stream"
    assert cache.length(slot) == 5
    cache.free(slot, SimpleNamespace(cuda_stream=0, device_index=0))
    second = cache.allocate(5)
    cache.free(second, stream=0)


def test_memory_given_back_is_off_the_account(gpu: Daemon) -> None:
    with gpu.connect(cuda_library=str(LIBRARY)) as session:
        with session.create_cache(**SMALL) as cache:
            cache.free(cache.allocate(500), stream=0)
            until("the stream is done", lambda: session.give_back(PAGE) > 0)
            assert gpu.sessions()[0].held_bytes == session.stats().held_bytes


@pytest.mark.skipif("torch" in sys.modules, reason="torch is loaded")
def test_without_torch_no_work_is_taken_to_be_pending(cache: kvspan.Cache) -> None:
    slot = cache.allocate(5)
    cache.free(slot)
    assert cache.stats().idle_slots == 1


@pytest.mark.parametrize("end", ["cache", "session"])
def test_what_is_live_at_the_end_is_unmapped_behind_torchs_stream(
    gpu: Daemon, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    asked: list[int] = []

    def current_stream(ordinal: int) -> SimpleNamespace:
        asked.append(ordinal)
        return SimpleNamespace(cuda_stream=0)

    cuda = SimpleNamespace(is_initialized=lambda: True, current_stream=current_stream)
    with gpu.connect(cuda_library=str(LIBRARY)) as session:
        cache = session.create_cache(**SMALL)
        slot = cache.allocate(500)
        freed: list[tuple[int, int | None]] = []
        free = cache._native.free
        monkeypatch.setattr(
            cache._native, "free", lambda *what: (freed.append(what), free(*what))[1]
        )
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        (cache if end == "cache" else session).close()
        assert freed == [(slot, 0)]
        assert asked[0] == 0
        monkeypatch.delitem(sys.modules, "torch")
    until("the books are empty", gpu.empty)
