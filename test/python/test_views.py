"""Arrays over a cache: what they show, and that nothing unmapped is touched."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
from typing import Any

import kvspan
import numpy as np
import pytest
from support import PAGE, SMALL, Daemon, until

TOUCHING: dict[str, Any] = {
    "sum": lambda k: k.sum(),
    "max": lambda k: k.max(),
    "np.sum": lambda k: np.sum(k),
    "ufunc": lambda k: k + 1,
    "in place": lambda k: np.add(k[0], 1, out=k[0]),
    "comparison": lambda k: k == 0,
    "copy": lambda k: k.copy(),
    "copy module": lambda k: copy.deepcopy(k),
    "pickle": lambda k: pickle.dumps(k),
    "tolist": lambda k: k.tolist(),
    "tobytes": lambda k: k.tobytes(),
    "astype": lambda k: k.astype(np.float64),
    "fill": lambda k: k.fill(0),
    "concatenate": lambda k: np.concatenate([k, k]),
    "where": lambda k: np.where(k > 0),
    "array_equal": lambda k: np.array_equal(k, k),
    "an element": lambda k: k[0, 4000, 0, 0],
    "an element set": lambda k: k.__setitem__((0, 4000, 0, 0), 1),
    "a slice set": lambda k: k.__setitem__((0, slice(0, 4000)), 1),
    "a mask": lambda k: k[k[:, 0] > 0],
    "fancy": lambda k: k[[0, 1]],
    "another slot": lambda k: k[1, :1].sum(),
    "set from it": lambda k: k[0, :1].__setitem__(slice(None), k[0, 3999:4000]),
    "reversed": lambda k: k[0, ::-1].sum(),
    "format": lambda k: format(k, ">10"),
}


@pytest.mark.parametrize("name", TOUCHING)
def test_what_would_touch_unmapped_memory_is_refused(cache: kvspan.Cache, name: str) -> None:
    slot = cache.allocate(5)
    assert slot == 0
    with pytest.raises(kvspan.InvalidArgument, match="mapped"):
        TOUCHING[name](cache.k(0))
    # Nothing of the refused array stays behind.
    gc.collect()
    assert not cache.borrowed


def test_printing_never_touches_unmapped_memory(cache: kvspan.Cache) -> None:
    cache.allocate(5)
    k = cache.k(0)
    for text in (repr(k), str(k), f"{k}", repr(k[0]), repr(k[3]), repr(k[:, 0])):
        assert "mapped" in text
    assert repr(k[0, :2, 0, :2]) == repr(np.zeros((2, 2), np.float32))


def test_what_is_mapped_reads_and_writes_as_any_array(cache: kvspan.Cache) -> None:
    a, b = cache.allocate(5), cache.allocate(9)
    k = cache.k(2)
    k[a, :5] = 3
    k[b, 8, 7, 63] = 4
    assert k[b, 8, 7, 63] == 4
    assert k[a, :5].sum() == 3 * 5 * 8 * 64
    assert k[:2, :5].mean() == 1.5
    assert np.allclose(k[a, 1], 3)
    k[a, :5] += 1
    k[a, :2] = k[b, :2]
    assert k[a, :5].max() == 4
    assert type(k[a, :5] * 2) is np.ndarray
    assert cache.v(2)[a, :5].any() is np.False_


def test_a_requests_view_ends_with_its_length(cache: kvspan.Cache) -> None:
    slot = cache.allocate(5)
    first = cache.k(0, slot)
    first[:] = 2
    cache.step({slot: 7})
    assert first.shape == (5, 8, 64)
    assert cache.k(0, slot).shape == (7, 8, 64)
    assert cache.k(0, slot).sum() == first.sum()
    with pytest.raises(IndexError):
        first[5]


def test_what_a_request_once_had_stays_mapped_while_it_lives(
    session: kvspan.Session, cache: kvspan.Cache
) -> None:
    slot = cache.allocate(100)
    for length in (300, 600, 1000):
        cache.step({slot: length})
    view = cache.k(0, slot)
    cache.step({slot: 10})
    session.give_back(64 * PAGE)
    assert view.sum() == 0
    assert cache.k(0, slot).shape[0] == 10


def test_a_freed_slot_stays_mapped_while_arrays_of_it_live(
    session: kvspan.Session, cache: kvspan.Cache
) -> None:
    slot = cache.allocate(500)
    view = cache.k(0, slot)
    view[:] = 9
    cache.free(slot)
    assert session.give_back(64 * PAGE) == 0
    assert np.asarray(view).sum() == 9 * view.size
    part = view[3:5]
    del view
    assert session.give_back(64 * PAGE) == 0
    del part
    assert session.give_back(64 * PAGE) == 4 * PAGE


def test_a_closed_cache_keeps_what_arrays_show(daemon: Daemon) -> None:
    session = daemon.connect()
    cache = session.create_cache(**SMALL)
    slot = cache.allocate(5)
    view = cache.k(1, slot)
    view[:] = 6
    with pytest.warns(ResourceWarning, match="alive"):
        cache.close()
    assert (np.asarray(view) == 6).all()
    with pytest.raises(kvspan.Closed):
        cache.k(1, slot)
    session.close()
    assert (np.asarray(view) == 6).all()
    assert daemon.pool().used_bytes == PAGE
    del view
    until("the memory is gone", lambda: mappings_of(cache) == 0)


def mappings_of(cache: kvspan.Cache) -> int:
    """Lines of /proc/self/maps within the cache's addresses."""
    low, high = cache.plan.base_address, cache.plan.base_address + cache.plan.total_bytes
    with open("/proc/self/maps") as maps:
        return sum(low <= int(line.split("-")[0], 16) < high for line in maps)


def test_an_array_without_its_cache_keeps_nothing(daemon: Daemon) -> None:
    with daemon.connect() as session:
        with session.create_cache(**SMALL) as cache:
            del cache.k(0, cache.allocate(5)).origin
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                cache.close()
    assert daemon.pool().used_bytes == 0


def test_the_flat_address_arithmetic_is_the_plans(cache: kvspan.Cache) -> None:
    plan = cache.plan
    view = cache.view("value", 3)
    assert view.address == plan.base_address + (3 * 2 + 1) * 8 * 64 * 4
    assert view.stride_bytes == (plan.slot_stride_bytes, plan.row_bytes, 256, 4)
    slot = cache.allocate(2)
    assert cache.view("value", 3, slot).address == view.address + slot * plan.slot_stride_bytes
    assert cache.k(0).__array_interface__["data"][0] == cache.view("key", 0).address


def test_dlpack_shares_the_memory_and_says_when_it_is_gone(cache: kvspan.Cache) -> None:
    slot = cache.allocate(5)
    view = cache.view("key", 0, slot)
    assert view.__dlpack_device__() == (1, 0)
    taken = np.from_dlpack(view)
    assert taken.shape == (5, 8, 64)
    cache.k(0, slot)[:] = 8
    assert (taken == 8).all()
    assert cache.borrowed
    del taken
    assert not cache.borrowed
    capsule = view.__dlpack__()
    assert cache.borrowed
    del capsule
    assert not cache.borrowed


def test_views_describe_themselves(cache: kvspan.Cache) -> None:
    text = repr(cache.view("key", 1))
    assert "key of layer 1" in text
    assert "[8, 4096, 8, 64] fp32" in text
