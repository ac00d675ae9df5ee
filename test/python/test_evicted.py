"""An administrator evicts a session: it keeps its memory, gives it back, and gets nothing more."""

from __future__ import annotations

import os

import kvspan
import pytest
from kvspan import events
from support import PAGE, SMALL, TOKENS_PER_PAGE, Daemon, until
from test_daemon_away import Told


def test_it_is_told_keeps_its_spans_and_is_refused_all_else(daemon: Daemon) -> None:
    with daemon.connect() as session, session.create_cache(**SMALL) as cache:
        told = Told(session)
        slot = cache.allocate(3 * TOKENS_PER_PAGE)
        cache.k(1, slot)[:] = 7
        answer = daemon.evict(session.id)
        assert answer.session.pid == os.getpid()
        assert not answer.killed
        until("it is told", lambda: session.state == "evicted")
        until("the event", lambda: told.of(events.Disconnected) != [])
        last = told.of(events.Disconnected)[-1]
        assert last.error.code == "SESSION_EVICTED"
        assert not last.will_reconnect
        assert (cache.k(1, slot) == 7).all()
        assert cache.step({slot: 20 * TOKENS_PER_PAGE}).short_slots == (slot,)
        with pytest.raises(kvspan.PermissionDenied) as refused:
            session.create_cache(**SMALL)
        assert refused.value.code == "SESSION_EVICTED"
        assert not refused.value.retryable
        with pytest.raises(kvspan.PermissionDenied, match="evicted by an administrator"):
            cache.allocate(4000)
        with pytest.raises(kvspan.KvspanError) as again:
            daemon.connect()
        assert again.value.code == "SESSION_EVICTED"
        assert daemon.pool().used_bytes == session.stats().held_bytes
        assert session.stats().reconnects == 0


def test_it_gives_back_what_it_frees_and_all_of_it_when_it_closes(daemon: Daemon) -> None:
    session = daemon.connect()
    cache = session.create_cache(**SMALL)
    kept, freed = cache.allocate(2 * TOKENS_PER_PAGE), cache.allocate(TOKENS_PER_PAGE)
    daemon.evict(session.id)
    until("it is told", lambda: session.state == "evicted")
    held = session.stats().held_bytes
    cache.free(freed)
    assert session.give_back(PAGE) >= PAGE
    until("the books follow", lambda: daemon.pool().used_bytes == held - PAGE)
    assert cache.length(kept) == 2 * TOKENS_PER_PAGE
    session.close()
    pool = daemon.pool()
    assert (pool.used_bytes, pool.cache_count) == (0, 0)
    # Its process lives, and stays out.
    assert [one.held_bytes for one in daemon.sessions()] == [0]


def test_it_has_no_reservation_any_more(daemon: Daemon) -> None:
    with daemon.connect() as session, session.create_cache(**SMALL) as cache:
        cuts: list[events.PromiseCut] = []
        session.on("promise_cut", cuts.append)
        reservation = cache.reserve(8 * TOKENS_PER_PAGE)
        daemon.evict(session.id)
        until("it is told", lambda: session.state == "evicted")
        until("the cut", lambda: cuts != [])
        assert (reservation.ended, reservation.bytes) == ("lost", 0)
        assert [cut.reason for cut in cuts] == ["lost"]
        assert daemon.pool().promised_bytes == 0
