"""Memory that is promised to a request, and what flows when others wait: Python beside TypeScript."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kvspan
import numpy as np
import pytest
from kvspan._native import Plan
from kvspan._reservation import Reservation
from kvspan._reservations import ReservationOwner, Reservations
from kvspan._span_need import SpanNeed
from kvspan.events import Listeners
from support import PAGE, SMALL, TOKENS_PER_PAGE, Child, Daemon, until

#: 16 of the pool's 32 pages.
HALF = 16 * TOKENS_PER_PAGE


@pytest.fixture
def peer(daemon: Daemon) -> Iterator[Child]:
    one = Child.typescript("peer.js", daemon.directory)
    one.read()
    yield one
    one.end(9)


def grow(cache: kvspan.Cache, slot: int, to: int) -> int:
    """As decoding does, writing every token; its length then."""
    length = cache.length(slot)
    while length < to:
        wanted = min(to, length + 64)
        if cache.step({slot: wanted}).short_slots:
            break
        np.asarray(cache.k(0, slot))[length:wanted] = np.arange(length, wanted)[:, None, None]
        length = wanted
    return length


def intact(cache: kvspan.Cache, slot: int) -> bool:
    rows = np.asarray(cache.k(0, slot))
    return bool((rows == np.arange(len(rows))[:, None, None]).all())


def test_a_reservation_stands_although_another_process_takes_all_it_can_get(
    daemon: Daemon, peer: Child
) -> None:
    with daemon.connect() as session, session.create_cache(**SMALL) as cache:
        reservation = cache.reserve(HALF)
        assert (reservation.bytes, reservation.slot, reservation.ended) == (16 * PAGE, None, None)
        slot = cache.allocate(TOKENS_PER_PAGE, reservation=reservation)
        np.asarray(cache.k(0, slot))[:] = np.arange(TOKENS_PER_PAGE)[:, None, None]
        assert (reservation.bytes, reservation.slot) == (15 * PAGE, slot)
        peer.ask({"order": "fill", "slots": 1, "tokens": 16 * TOKENS_PER_PAGE})
        pool = daemon.pool()
        assert (pool.free_bytes, pool.promised_bytes) == (15 * PAGE, 15 * PAGE)
        assert grow(cache, slot, HALF) == HALF
        assert intact(cache, slot)
        assert session.stats().grants.refused == 0
        assert peer.ask({"order": "check"})["answer"] is True
        assert daemon.pool().promised_bytes == 0
        # It has grown to the end: from here on it is one as any other, and there is nothing left.
        assert cache.step({slot: HALF + 1}).short_slots == (slot,)
        cache.free(slot)
        assert reservation.ended == "released"


def test_admission_waits_and_is_refused_like_any_grant(daemon: Daemon) -> None:
    with daemon.connect() as one, daemon.connect() as other:
        with one.create_cache(**SMALL) as cache, other.create_cache(**SMALL) as rival:
            with cache.reserve(HALF) as first, cache.reserve(HALF):
                with pytest.raises(kvspan.OutOfMemory) as refusal:
                    rival.reserve(1, wait=0)
                assert refusal.value.code == "POOL_EXHAUSTED"
                assert refusal.value.free_bytes == 0
                threading.Timer(0.05, first.release).start()
                third = rival.reserve(HALF, wait=10)
            assert third.bytes == 16 * PAGE
            third.release()
            assert third.ended == "released"
            until("nothing is promised", lambda: daemon.pool().promised_bytes == 0)


def test_it_lapses_without_a_request_and_is_told(daemon: Daemon) -> None:
    with daemon.connect() as session, session.create_cache(**SMALL) as cache:
        heard: list[Any] = []
        session.on("promise_cut", heard.append)
        reservation = cache.reserve(HALF, lapse=0.02)
        until("it lapses", lambda: reservation.ended == "lapsed")
        until("it is told", lambda: len(heard) == 1)
        assert (heard[0].reservation, heard[0].left_bytes) == (reservation, 0)
        with pytest.raises(kvspan.KvspanError) as failure:
            cache.allocate(1, reservation=reservation)
        assert (failure.value.code, failure.value.field) == ("PROMISE_UNKNOWN", "reservation")
        assert cache.stats().live_slots == 0
        # With one it is renewed, and shrinks as the slot grows.
        held = cache.reserve(HALF, lapse=0.3)
        slot = cache.allocate(TOKENS_PER_PAGE, reservation=held)
        assert grow(cache, slot, HALF) == HALF
        until("it shrinks", lambda: daemon.pool().promised_bytes == 0)
        assert held.ended is None


@pytest.mark.parametrize("tokens", [0, -1, 4097, 1.5, "1", None, 2**64])
def test_bad_lengths_are_refused(cache: kvspan.Cache, shared: Daemon, tokens: Any) -> None:
    with pytest.raises(kvspan.InvalidArgument) as failure:
        cache.reserve(tokens)
    assert failure.value.field == "tokens"
    assert shared.pool().promised_bytes == 0


def test_bad_uses_are_refused(session: kvspan.Session, cache: kvspan.Cache) -> None:
    def field(act: Any) -> str:
        with pytest.raises(kvspan.KvspanError) as failure:
            act()
        return failure.value.field

    reservation = cache.reserve(100)
    assert field(lambda: cache.reserve(1, lapse=0)) == "lapse"
    assert field(lambda: cache.reserve(1, wait=-1)) == "wait"
    assert field(lambda: cache.reserve(1, slot=99)) == "slot"
    assert field(lambda: cache.allocate(1, reservation=object())) == "reservation"  # type: ignore[arg-type]
    assert field(lambda: cache.allocate(101, reservation=reservation)) == "tokens"
    with session.create_cache(**SMALL) as other:
        assert field(lambda: other.allocate(1, reservation=reservation)) == "reservation"
    cache.allocate(100, reservation=reservation)
    assert field(lambda: cache.allocate(1, reservation=reservation)) == "reservation"
    assert cache.stats().live_slots == 1


def test_what_to_draw() -> None:
    plan = Plan(0, 0, 2, PAGE // 4, 64 * PAGE, 64 * PAGE)
    need = SpanNeed(plan, PAGE, 0, False)
    assert need.whole_bytes(5) == 2 * 2 * PAGE
    assert need.gap_bytes(64, 4) == 2 * 15 * PAGE
    # Each lane lacks one page; with 32 mapped it takes four at once, but never past what is reserved.
    assert need.extents_for(129, 256, 128)[:4] == [0, 0, 2, 0]
    assert need.extents_for(129, 136, 128)[:4] == [0, 2, 0, 0]
    assert SpanNeed(plan, PAGE, 0, True).extents_for(136, 256, 128)[:2] == [4, 0]


def tenants(tmp_path: Path) -> str:
    config = tmp_path / "tenants.toml"
    config.write_text(
        '[[tenants]]\nname = "chat"\nclients = ["chat"]\n\n[[tenants]]\nname = "rest"\n'
    )
    return str(config)


def test_idle_memory_flows_and_live_memory_does_not(tmp_path: Path) -> None:
    daemon = Daemon(config=tenants(tmp_path))
    try:
        calls: list[int] = []
        heard: list[Any] = []
        with daemon.connect(on_reclaim=lambda size, _: calls.append(size)) as session:
            session.on("reclaim", heard.append)
            with session.create_cache(**SMALL) as cache, daemon.connect(name="chat") as chat:
                live, idle = cache.allocate(HALF // 2), cache.allocate(HALF // 2)
                cache.free(idle)
                with chat.create_cache(**SMALL) as other:
                    other.allocate(HALF)
                    # Half of the pool: the rest of it is the other's fair share, idle or not.
                    other.allocate(HALF // 2, wait=10)
                    with pytest.raises(kvspan.OutOfMemory) as refusal:
                        other.allocate(1, wait=0.4)
                    assert "not given back in time" not in str(refusal.value)
                assert cache.length(live) == HALF // 2
                assert cache.mapped_tokens(live) == HALF // 2
                assert calls == []
                assert all(one.idle_only and one.shortfall_bytes == 0 for one in heard)
                assert sum(one.returned_bytes for one in heard) == 8 * PAGE
                assert not any(one.served_last for one in daemon.sessions())
    finally:
        daemon.stop()


def test_on_reclaim_preempts_and_says_how_much(daemon: Daemon, peer: Child) -> None:
    calls: list[tuple[int, bool]] = []
    slots: list[int] = []

    def preempt(missing: int, seconds: float) -> int:
        calls.append((missing, 0 < seconds <= 0.25))
        cache.free(slots.pop())
        return 8 * PAGE

    with daemon.connect(on_reclaim=preempt) as session, session.create_cache(**SMALL) as cache:
        slots += [cache.allocate(8 * TOKENS_PER_PAGE) for _ in range(4)]
        peer.ask({"order": "fill", "slots": 1, "tokens": 8 * TOKENS_PER_PAGE})
        assert calls == [(8 * PAGE, True)]
        assert session.stats().held_bytes == 24 * PAGE
        assert peer.ask({"order": "check"})["answer"] is True


@pytest.mark.parametrize("how", ["raises", "blocks"])
def test_an_on_reclaim_that_misbehaves_harms_nobody(
    daemon: Daemon, peer: Child, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []
    blocked = threading.Event()

    def misbehave(missing: int, seconds: float) -> int:
        calls.append(missing)
        if how == "raises":
            raise RuntimeError("preempting went wrong")
        blocked.wait(60)
        return 0

    with caplog.at_level(logging.ERROR, "kvspan"):
        with daemon.connect(on_reclaim=misbehave) as session, session.create_cache(**SMALL) as cache:
            slots = [cache.allocate(8 * TOKENS_PER_PAGE) for _ in range(4)]
            peer.tell({"order": "fill", "slots": 1, "tokens": 8 * TOKENS_PER_PAGE})
            until("it is called", lambda: len(calls) >= 1)
            # Steps go on meanwhile, and what is idle by then is given all the same.
            assert cache.step({slots[0]: 8 * TOKENS_PER_PAGE}).outcome == "nothing"
            cache.free(slots.pop())
            peer.read()
            assert session.stats().held_bytes == 24 * PAGE
            threads = [one.name for one in threading.enumerate()]
            assert threads.count("kvspan preempt") == (1 if how == "blocks" else 0)
            blocked.set()
    if how == "raises":
        assert "on_reclaim failed" in caplog.text
        assert "preempting went wrong" in caplog.text
    else:
        assert len(calls) == 1


def test_what_another_request_took_is_drawn_on_its_promise() -> None:
    """Two slots of a page a token, and a book that believes what the test says is mapped."""
    mapped = [2, 2]
    draws: list[tuple[int, int]] = []

    def begin(_: object, wish: Any) -> Any:
        draws.append((wish.promise_id, wish.counts[0]))
        outcome: Future[None] = Future()
        outcome.set_result(None)
        return SimpleNamespace(outcome=outcome)

    link: Any = SimpleNamespace(
        server=SimpleNamespace(extents_per_grant_max=64, page_bytes=PAGE),
        update_promise=lambda *_: None,
    )
    nothing: Any = lambda *_: None  # noqa: E731
    book = Reservations(
        ReservationOwner(lambda: link, lambda: 9, begin, nothing, nothing, Listeners())
    )
    need = SimpleNamespace(
        page_bytes=PAGE,
        whole_bytes=lambda tokens: tokens * PAGE,
        gap_bytes=lambda tokens, have: max(0, tokens - have) * PAGE,
        extents_for=lambda tokens, _, have: (max(0, tokens - have),),
    )
    cache: Any = SimpleNamespace(
        need=need, closed=False, promised=nothing, mapped_of=lambda slot: mapped[slot]
    )
    both = [Reservation(book, cache, 4, 600.0, promise, 2 * PAGE) for promise in (1, 2)]
    book._all.extend(both)
    for slot, one in enumerate(both):
        book.bind(one, slot)
    assert book.draw(cache, {0: 4})
    # The other slot took both pages: what is promised to it is not given up while this one lacks them.
    mapped[1] = 4
    book._settle(both[1])
    assert [one.bytes for one in both] == [0, 2 * PAGE]
    assert book.draw(cache, {0: 4})
    assert draws == [(1, 2), (2, 2)]
    mapped[0] = 4
    book._settle(both[1])
    assert [one.bytes for one in both] == [0, 0]
    book.stop()
