"""Bad input is refused by the argument's name, with what was given and what is allowed."""

from __future__ import annotations

from typing import Any

import kvspan
import numpy as np
import pytest
from kvspan.errors import KvspanError
from support import SMALL, Daemon


def refused(field: str, call: Any, code: str = "INVALID_ARGUMENT") -> KvspanError:
    with pytest.raises(KvspanError) as caught:
        call()
    assert caught.value.code == code, str(caught.value)
    assert caught.value.field == field, str(caught.value)
    assert "allowed:" in str(caught.value)
    return caught.value


CONNECT: list[tuple[str, Any]] = [
    *[("socket_directory", value) for value in (5, "", b"")],
    *[("name", value) for value in ("", "x" * 64, "n\n", 7, "é")],
    *[("connect_timeout", value) for value in (-1, "1", float("nan"), True)],
    *[("grant_wait", value) for value in (-0.1, "x", float("inf"))],
    *[("ordinal", value) for value in (-1, 1.5, "0", True)],
    *[("low_water_bytes", value) for value in (-1, 1.5, 2**64)],
    *[("high_water_bytes", value) for value in (-1, "1")],
    *[("reconnect", value) for value in (None, 1, "yes")],
]


@pytest.mark.parametrize(("field", "value"), CONNECT)
def test_connect(shared: Daemon, field: str, value: Any) -> None:
    options = {"socket_directory": shared.directory, field: value}
    refused(field, lambda: kvspan.connect(**options))


def test_water_marks_are_checked_together(shared: Daemon) -> None:
    low = 1 << 30
    refused(
        "options.highWaterBytes",
        lambda: kvspan.connect(shared.directory, low_water_bytes=low, high_water_bytes=1),
    )
    shared.until_empty()


CREATE: list[tuple[str, Any]] = [
    *[(name, value) for name in ("layers", "kv_heads", "head_dim", "slots", "max_tokens")
      for value in (0, -1, 2**31, 1.5, "4", None, True)],
    *[("dtype", value) for value in ("int8", "float64", np.float64, None, 3)],
    *[("layout", value) for value in ("paged", "", None, 1)],
    *[("device", value) for value in ("cuda", "cuda:0", "mps", 3)],
    *[("name", value) for value in ("x" * 64, 5, "\x01")],
    *[("wanted_base_address", value) for value in (-1, 1, 4097, 2**64, "0", 1.0)],
    *[("growth", value) for value in ("exponential", None, 2)],
    *[("lookahead_tokens", value) for value in (-1, 2**31, 0.5)],
    *[("overread_tokens", value) for value in (-1, 2**31, None)],
]


@pytest.mark.parametrize(("field", "value"), CREATE)
def test_create_cache(session: kvspan.Session, field: str, value: Any) -> None:
    options = {**SMALL, field: value}
    refused(field, lambda: session.create_cache(**options))


def test_a_cache_that_the_daemon_refuses_names_its_field(session: kvspan.Session) -> None:
    with pytest.raises(KvspanError) as caught:
        session.create_cache(4096, 4096, 4096, "fp32", 1, 1)
    assert caught.value.code in ("INVALID_ARGUMENT", "ADDRESS_PLAN_EXHAUSTED")


def test_an_overread_too_long_is_refused_and_the_plan_given_up(
    shared: Daemon, session: kvspan.Session
) -> None:
    options = {**SMALL, "overread_tokens": 1 << 20}
    refused("options.overreadTokens", lambda: session.create_cache(**options))
    assert shared.pool().cache_count == 0


def test_a_latent_cache_has_one_head_and_no_v(session: kvspan.Session) -> None:
    refused("kv_heads", lambda: session.create_cache(2, 2, 64, "fp32", 2, 64, "latent"))
    with session.create_cache(2, 1, 64, "fp32", 2, 64, "latent") as cache:
        refused("layout", lambda: cache.v(0))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "half", np.float32, "torch.float32"])
def test_dtypes_by_the_names_that_others_give_them(session: kvspan.Session, dtype: Any) -> None:
    with session.create_cache(1, 1, 64, dtype, 1, 64, device="cpu") as cache:
        assert cache.geometry.dtype in ("bf16", "fp16", "fp32")


@pytest.mark.parametrize("tokens", [0, -1, 4097, 1.5, "1", None, True, 2**40])
def test_allocate(cache: kvspan.Cache, tokens: Any) -> None:
    refused("tokens", lambda: cache.allocate(tokens))


@pytest.mark.parametrize("wait", [-1, "1", float("nan")])
def test_waits(cache: kvspan.Cache, wait: Any) -> None:
    refused("wait", lambda: cache.allocate(1, wait=wait))
    refused("wait", lambda: cache.step({}, wait=wait))


@pytest.mark.parametrize("slot", [-1, 8, 2**33, 1.5, "0", None, True])
def test_slots_out_of_range(cache: kvspan.Cache, slot: Any) -> None:
    for call in (
        lambda: cache.free(slot),
        lambda: cache.length(slot),
        lambda: cache.mapped_tokens(slot),
        lambda: cache.step({slot: 1}),
        lambda: cache.read_rows("key", 0, slot, 0, 1),
    ):
        refused("slot", call, "SLOT_UNKNOWN")


def test_slots_that_are_not_live(cache: kvspan.Cache) -> None:
    freed = cache.allocate(1)
    cache.free(freed)
    for slot, code in ((freed, "SLOT_FREED"), (7, "SLOT_UNKNOWN")):
        for call in (
            lambda: cache.free(slot),
            lambda: cache.length(slot),
            lambda: cache.k(0, slot),
            lambda: cache.step({slot: 1}),
        ):
            with pytest.raises(KvspanError) as caught:
                call()
            assert caught.value.code == code


LENGTHS: list[tuple[str, Any]] = [
    *[("lengths", value) for value in (None, 5, "lengths", [1.0] * 8, [True] * 8, np.zeros(7, np.int32))],
    *[("lengths", value) for value in (np.zeros(9, np.int64), np.zeros((8, 1), np.int32), object())],
    ("lengths[3]", [0, 0, 0, -1, 0, 0, 0, 0]),
    ("lengths[2]", np.array([0, 0, 2**31, 0, 0, 0, 0, 0])),
    ("lengths[0]", {0: 0}),
    ("lengths[0]", {0: 4097}),
    ("lengths[0]", {0: 1.5}),
]


@pytest.mark.parametrize(("field", "lengths"), LENGTHS)
def test_step(cache: kvspan.Cache, field: str, lengths: Any) -> None:
    slot = cache.allocate(3)
    assert slot == 0
    refused(field, lambda: cache.step(lengths))
    assert cache.length(slot) == 3


@pytest.mark.parametrize("lengths", [[0] * 8, [4097] + [0] * 7, [3, 1] + [0] * 6, [-5] + [0] * 7])
def test_a_step_that_does_not_fit_the_live_slots_changes_nothing(
    cache: kvspan.Cache, lengths: list[int]
) -> None:
    slot = cache.allocate(3)
    with pytest.raises(KvspanError) as caught:
        cache.step(np.array(lengths, np.int32))
    assert caught.value.code in ("INVALID_ARGUMENT", "SLOT_UNKNOWN", "SLOT_FREED")
    assert cache.length(slot) == 3
    assert cache.lengths.tolist() == [3] + [0] * 7


@pytest.mark.parametrize("layer", [-1, 4, 1.5, "0", None, True])
def test_layers(cache: kvspan.Cache, layer: Any) -> None:
    slot = cache.allocate(1)
    refused("layer", lambda: cache.k(layer))
    refused("layer", lambda: cache.v(layer, slot))


@pytest.mark.parametrize("framework", ["jax", 1, ""])
def test_frameworks(cache: kvspan.Cache, framework: Any) -> None:
    if framework == "":
        cache.k(0, framework=None)
        return
    refused("framework", lambda: cache.k(0, framework=framework))


@pytest.mark.parametrize("stream", [-1, "default", 1.5, 2**64])
def test_streams(cache: kvspan.Cache, stream: Any) -> None:
    slot = cache.allocate(1)
    refused("stream", lambda: cache.free(slot, stream=stream))
    assert cache.length(slot) == 1


def test_a_stream_that_nobody_has_made(cache: kvspan.Cache) -> None:
    slot = cache.allocate(1)
    with pytest.raises(kvspan.InvalidArgument):
        cache.free(slot, stream=987654)
    assert cache.length(slot) == 1


def test_rows(cache: kvspan.Cache) -> None:
    slot = cache.allocate(4)
    good = np.zeros((2, 8, 64), np.float32)
    refused("part", lambda: cache.write_rows("q", 0, slot, 0, good))  # type: ignore[arg-type]
    refused("rows", lambda: cache.write_rows("key", 0, slot, 0, good[:, :3]))
    refused("rows", lambda: cache.write_rows("key", 0, slot, 0, np.zeros((5, 8, 64), np.float32)))
    refused("first_token", lambda: cache.write_rows("key", 0, slot, 3, good))
    refused("tokens", lambda: cache.read_rows("key", 0, slot, 0, 0))
    refused("rows", lambda: cache.read_rows("key", 0, slot, 0, 5))


def test_events(session: kvspan.Session) -> None:
    refused("event", lambda: session.on("rained", print))
    refused("listener", lambda: session.on("reclaim", 5))  # type: ignore[arg-type]
    refused("size_bytes", lambda: session.give_back(-1))


def test_nobody_there_is_daemon_unavailable(tmp_path: Any) -> None:
    with pytest.raises(kvspan.DaemonUnavailable) as caught:
        kvspan.connect(tmp_path, connect_timeout=0.5)
    assert str(tmp_path) in str(caught.value)
    assert isinstance(caught.value, ConnectionError)
