"""The daemon dies, freezes, comes back; others want memory."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import kvspan
import pytest
from kvspan import events
from kvspan.errors import KvspanError
from support import PAGE, SMALL, Daemon, until


class Told:
    """What a session tells."""

    def __init__(self, session: kvspan.Session) -> None:
        self.events: list[Any] = []
        for name in ("disconnected", "reconnected", "draining", "reclaim"):
            session.on(name, self.events.append)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def engine(daemon: Daemon) -> Iterator[tuple[kvspan.Session, kvspan.Cache, Told]]:
    with daemon.connect() as session:
        told = Told(session)
        with session.create_cache(**SMALL) as cache:
            yield session, cache, told


def test_spans_outlive_the_daemon_and_a_new_one_adopts_them(
    daemon: Daemon, engine: tuple[kvspan.Session, kvspan.Cache, Told]
) -> None:
    session, cache, told = engine
    slot = cache.allocate(300)
    address = cache.view("key", 0).address
    cache.k(2, slot)[:] = 5
    daemon.kill()
    until("it is noticed", lambda: session.state == "disconnected")
    assert cache.step({slot: 350}).short_slots == ()
    result = cache.step({slot: 3000})
    assert result.outcome == "short"
    with pytest.raises(kvspan.DaemonUnavailable):
        cache.allocate(1000)
    until("it is told", lambda: len(told.of(events.Disconnected)) == 1)
    assert told.of(events.Disconnected)[0].will_reconnect

    daemon.start()
    until("it is connected again", lambda: session.state == "connected")
    until("it is told", lambda: len(told.of(events.Reconnected)) == 1)
    assert told.of(events.Reconnected)[0].adopted_bytes == 3 * PAGE
    assert session.stats().reconnects == 1
    assert daemon.pool().used_bytes == session.stats().held_bytes == 3 * PAGE
    assert daemon.pool().cache_count == 1
    assert cache.view("key", 0).address == address
    assert (cache.k(2, slot)[:300] == 5).all()
    assert cache.step({slot: 3000}).outcome == "refilled"
    cache.free(cache.allocate(10))


def test_what_was_released_and_closed_while_it_was_away_is_not_adopted(
    daemon: Daemon, engine: tuple[kvspan.Session, kvspan.Cache, Told]
) -> None:
    session, cache, _ = engine
    other = session.create_cache(**SMALL)
    other.allocate(300)
    cache.allocate(100)
    daemon.kill()
    until("it is noticed", lambda: session.state == "disconnected")
    other.close()
    assert session.give_back(64 * PAGE) >= 3 * PAGE
    daemon.start()
    until("it is connected again", lambda: session.state == "connected")
    until("one cache", lambda: daemon.pool().cache_count == 1)
    assert daemon.pool().used_bytes == session.stats().held_bytes == PAGE


def test_a_smaller_daemon_takes_what_is_in_use_once_idle_memory_is_given_up(
    daemon: Daemon, engine: tuple[kvspan.Session, kvspan.Cache, Told]
) -> None:
    session, cache, _ = engine
    slot = cache.allocate(500)
    cache.free(cache.allocate(2000))
    daemon.kill()
    until("it is noticed", lambda: session.state == "disconnected")
    daemon.start(pool_bytes="16MiB")
    until("it is connected again", lambda: session.state == "connected")
    assert cache.length(slot) == 500
    assert daemon.pool().used_bytes == 4 * PAGE


def test_without_reconnecting_it_stays_away(daemon: Daemon) -> None:
    with daemon.connect(reconnect=False) as session, session.create_cache(**SMALL) as cache:
        told = Told(session)
        slot = cache.allocate(100)
        daemon.kill()
        until("it is told", lambda: len(told.of(events.Disconnected)) == 1)
        assert not told.of(events.Disconnected)[0].will_reconnect
        daemon.start()
        time.sleep(0.5)
        assert session.state == "disconnected"
        assert cache.step({slot: 110}).short_slots == ()
        with pytest.raises(kvspan.DaemonUnavailable):
            session.create_cache(**SMALL)


def test_the_daemon_ends_the_session_of_a_client_whose_channel_broke(
    daemon: Daemon, engine: tuple[kvspan.Session, kvspan.Cache, Told]
) -> None:
    session, cache, told = engine
    slot = cache.allocate(300)
    cache.k(0, slot)[:] = 3
    # As if the daemon had given this client up: it lives on, and its books still have the memory.
    session._memory.disconnect()
    until("a new session", lambda: len(told.of(events.Reconnected)) == 1)
    until("the old one is gone", lambda: len(daemon.sessions()) == 1)
    assert daemon.pool().used_bytes == session.stats().held_bytes
    assert (cache.k(0, slot) == 3).all()
    assert cache.step({slot: 1000}).short_slots == ()


def test_a_frozen_daemon_is_waited_for_no_longer_than_asked(
    daemon: Daemon, engine: tuple[kvspan.Session, kvspan.Cache, Told]
) -> None:
    session, cache, _ = engine
    slot = cache.allocate(100)
    daemon.signal(signal.SIGSTOP)
    before = time.monotonic()
    with pytest.raises(kvspan.DeadlineExceeded):
        cache.allocate(500, wait=0.2)
    result = cache.step({slot: 2000}, wait=0.2)
    assert result.short_slots == (slot,)
    # Twice 0.2 s, not twice the 5 s of the session.
    assert time.monotonic() - before < 8
    daemon.signal(signal.SIGCONT)
    assert cache.step({slot: 2000}, wait=10).short_slots == ()
    assert session.state == "connected"


def test_a_session_closes_though_its_daemon_is_dead_or_frozen(daemon: Daemon) -> None:
    for number in (signal.SIGSTOP, signal.SIGKILL):
        session = daemon.connect()
        session.create_cache(**SMALL).allocate(100)
        daemon.signal(number)
        before = time.monotonic()
        session.close()
        assert time.monotonic() - before < 60
        daemon.signal(signal.SIGCONT)


def test_a_daemon_that_shuts_down_says_so(
    daemon: Daemon, engine: tuple[kvspan.Session, kvspan.Cache, Told]
) -> None:
    session, cache, told = engine
    slot = cache.allocate(100)
    daemon.signal(signal.SIGTERM)
    until("it is told", lambda: len(told.of(events.Draining)) == 1)
    until("it is away", lambda: session.state == "disconnected")
    assert cache.step({slot: 120}).short_slots == ()


def test_idle_memory_goes_to_whoever_waits(daemon: Daemon) -> None:
    with daemon.connect() as first, first.create_cache(**SMALL) as idle:
        told = Told(first)
        idle.free(idle.allocate(3500))
        with daemon.connect(grant_wait=5.0) as second, second.create_cache(**SMALL) as cache:
            cache.allocate(3000)
            until("it is told", lambda: len(told.of(events.Reclaim)) >= 1)
            asked = told.of(events.Reclaim)[0]
            assert asked.shortfall_bytes == 0
            assert asked.returned_bytes >= asked.wanted_bytes > 0
            assert sum(one.held_bytes for one in daemon.sessions()) <= 32 * PAGE


def test_an_engine_that_is_asked_preempts(daemon: Daemon) -> None:
    with daemon.connect() as first, first.create_cache(**SMALL) as busy:
        slots = [busy.allocate(1000) for _ in range(4)]

        def preempt(asked: events.Reclaim) -> None:
            while slots and asked.shortfall_bytes > 0:
                busy.free(slots.pop())

        first.on("reclaim", preempt)
        with daemon.connect(grant_wait=5.0) as second, second.create_cache(**SMALL) as cache:
            cache.allocate(3000)
        assert slots == []


def test_a_listener_that_fails_harms_nobody(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    with daemon.connect() as first, first.create_cache(**SMALL) as idle:
        first.on("reclaim", lambda asked: 1 / 0)
        idle.free(idle.allocate(3500))
        with daemon.connect(grant_wait=5.0) as second, second.create_cache(**SMALL) as cache:
            cache.allocate(3000)
        until("it is logged", lambda: "ZeroDivisionError" in caplog.text)


def test_many_clients_share_a_small_pool_without_losing_a_byte(daemon: Daemon) -> None:
    failures: list[BaseException] = []

    def client(seed: int) -> None:
        try:
            with daemon.connect(grant_wait=10.0) as session, session.create_cache(**SMALL) as cache:
                for round_number in range(10):
                    try:
                        slot = cache.allocate(900)
                    except KvspanError as failure:
                        assert failure.retryable
                        continue
                    cache.k(0, slot)[:] = seed + round_number
                    # All may hold a slot and want one page more: none waits long for it.
                    cache.step({slot: 1100}, wait=0.05)
                    assert (cache.k(0, slot)[:900] == seed + round_number).all()
                    cache.free(slot)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=client, args=(100 * number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    until("the books are empty", daemon.empty)
