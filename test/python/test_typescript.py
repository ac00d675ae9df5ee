"""A TypeScript and a Python client in one daemon at once."""

from __future__ import annotations

import signal

import kvspan
import numpy as np
from support import PAGE, SMALL, Child, Daemon, rows, until

WIDTH = 512


def write(cache: kvspan.Cache, slot: int, seed: int) -> None:
    words = rows(0, cache.length(slot), seed, 4 * 2 * WIDTH)
    for layer in range(4):
        for part, view in enumerate((cache.k(layer, slot), cache.v(layer, slot))):
            first = (layer * 2 + part) * WIDTH
            wanted = words[:, first : first + WIDTH].reshape(view.shape)
            np.asarray(view)[:] = wanted.view(np.float32)


def intact(cache: kvspan.Cache, slot: int, seed: int) -> bool:
    words = rows(0, cache.length(slot), seed, 4 * 2 * WIDTH)
    return all(
        np.array_equal(
            cache.read_rows(part, layer, slot, 0, cache.length(slot)).view(np.uint32).reshape(-1, WIDTH),
            words[:, (layer * 2 + number) * WIDTH : (layer * 2 + number + 1) * WIDTH],
        )
        for layer in range(4)
        for number, part in enumerate(("key", "value"))
    )


def test_both_write_grow_and_read_their_own_bytes(daemon: Daemon) -> None:
    peer = Child.typescript("peer.js", daemon.directory)
    with daemon.connect(grant_wait=2.0) as session:
        cache = session.create_cache(**SMALL)
        there = peer.read()
        assert there["rowBytes"] == cache.plan.row_bytes
        assert there["base"] != cache.plan.base_address
        slots = [cache.allocate(200) for _ in range(2)]
        peer.ask({"order": "fill", "slots": 2, "tokens": 300})
        for length in (400, 700, 900):
            assert cache.step({slot: length for slot in slots}).short_slots == ()
            for slot in slots:
                write(cache, slot, slot)
            assert peer.ask({"order": "grow", "tokens": length + 50})["answer"] == []
            assert all(intact(cache, slot, slot) for slot in slots)
        assert peer.ask({"order": "check"})["answer"] is True
        accounts = {one.pid: one.held_bytes for one in daemon.sessions()}
        assert accounts[peer.process.pid] == peer.ask({"order": "check"})["held"]
        assert sum(accounts.values()) == daemon.pool().used_bytes
        assert peer.ask({"order": "close"})["held"] == 0
        assert peer.process.stdin is not None
        peer.process.stdin.close()
        assert all(intact(cache, slot, slot) for slot in slots)
        cache.close()
    assert peer.end() == 0
    until("the books are empty", daemon.empty)


def test_memory_flows_from_one_to_the_other(daemon: Daemon) -> None:
    peer = Child.typescript("peer.js", daemon.directory)
    peer.read()
    with daemon.connect(grant_wait=5.0) as session, session.create_cache(**SMALL) as cache:
        # Nearly the whole pool is idle with the other; it gives back what is asked for.
        peer.ask({"order": "fill", "slots": 1, "tokens": 3500})
        peer.ask({"order": "free"})
        assert daemon.pool().free_bytes < 8 * PAGE
        slot = cache.allocate(3000)
        write(cache, slot, 5)
        assert intact(cache, slot, 5)
        # And the other way round: a freed slot's memory goes to whoever waits.
        cache.free(slot)
        peer.ask({"order": "fill", "slots": 1, "tokens": 3000})
        assert peer.ask({"order": "check"})["answer"] is True
        assert session.stats().returned_bytes > 0
    peer.end(signal.SIGKILL)
    until("the books are empty", daemon.empty)


def test_a_killed_typescript_client_frees_its_memory_for_python(daemon: Daemon) -> None:
    peer = Child.typescript("peer.js", daemon.directory)
    peer.read()
    peer.ask({"order": "fill", "slots": 1, "tokens": 3500})
    with daemon.connect(grant_wait=5.0) as session, session.create_cache(**SMALL) as cache:
        peer.end(signal.SIGKILL)
        slot = cache.allocate(3500)
        # Fresh memory: nothing of the other's is in it.
        assert not any(cache.read_rows("key", layer, slot, 0, 3500).any() for layer in range(4))
