"""How sessions, caches and processes end, and that nothing of them stays."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import kvspan
import pytest
from kvspan.errors import KvspanError
from support import PAGE, SMALL, Child, Daemon, until

KILLS = 20


def closed(call: Callable[[], Any]) -> None:
    with pytest.raises(kvspan.Closed) as caught:
        call()
    assert caught.value.code == "CLOSED"


def test_leaving_the_context_gives_everything_back(shared: Daemon) -> None:
    with shared.connect() as session, session.create_cache(**SMALL) as cache:
        cache.allocate(500)
        assert not shared.empty()
    shared.until_empty()


def test_an_exception_in_the_context_gives_everything_back(shared: Daemon) -> None:
    with pytest.raises(ZeroDivisionError):
        with shared.connect() as session, session.create_cache(**SMALL) as cache:
            cache.allocate(500)
            raise ZeroDivisionError
    shared.until_empty()


def test_closing_the_session_closes_its_caches(shared: Daemon) -> None:
    session = shared.connect()
    cache = session.create_cache(**SMALL)
    cache.allocate(10)
    session.close()
    assert cache.closed
    assert session.state == "closed"
    shared.until_empty()


def test_closing_twice_and_from_two_threads_is_closing_once(shared: Daemon) -> None:
    session = shared.connect()
    cache = session.create_cache(**SMALL)
    cache.allocate(10)
    threads = [threading.Thread(target=end) for end in (cache.close, session.close) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.close()
    cache.close()
    shared.until_empty()


def test_everything_after_the_caches_end_is_closed(session: kvspan.Session) -> None:
    cache = session.create_cache(**SMALL)
    slot = cache.allocate(10)
    cache.close()
    for call in (
        lambda: cache.allocate(1),
        lambda: cache.step({slot: 11}),
        lambda: cache.step(cache.lengths),
        lambda: cache.free(slot),
        lambda: cache.length(slot),
        lambda: cache.mapped_tokens(slot),
        lambda: cache.k(0),
        lambda: cache.v(0, slot),
        lambda: cache.view("key", 0),
        lambda: cache.ragged(),
        lambda: cache.read_rows("key", 0, slot, 0, 1),
        lambda: cache.stats(),
    ):
        closed(call)
    assert "closed" in repr(cache)


def test_everything_after_the_sessions_end_is_closed(shared: Daemon) -> None:
    session = shared.connect()
    session.close()
    for call in (
        lambda: session.create_cache(**SMALL),
        lambda: session.give_back(1),
        lambda: session.stats(),
        lambda: session.on("reclaim", print),
    ):
        closed(call)
    assert "closed" in repr(session)


def test_a_view_of_a_closed_cache_exports_nothing(session: kvspan.Session) -> None:
    cache = session.create_cache(**SMALL)
    cache.allocate(3)
    view = cache.view("key", 0)
    cache.close()
    closed(lambda: view.__dlpack__())


def test_closing_ends_an_allocation_that_waits(shared: Daemon) -> None:
    session = shared.connect()
    cache = session.create_cache(**SMALL)
    cache.allocate(3500)
    outcome: list[Any] = []

    def wait() -> None:
        try:
            outcome.append(cache.allocate(3500, wait=60))
        except KvspanError as failure:
            outcome.append(failure.code)

    thread = threading.Thread(target=wait)
    thread.start()
    until("it waits", lambda: shared.pool().waiting_grant_count == 1)
    session.close()
    thread.join(10)
    assert outcome and outcome[0] in ("CLOSED", "DAEMON_UNAVAILABLE", "GRANT_CANCELLED")
    shared.until_empty()


def test_no_thread_of_a_closed_session_is_left(shared: Daemon) -> None:
    before = threading.active_count()
    for _ in range(3):
        with shared.connect() as session, session.create_cache(**SMALL) as cache:
            cache.allocate(10)
    until("the threads end", lambda: threading.active_count() <= before)


def test_sessions_leave_no_descriptor_and_no_mapping(shared: Daemon) -> None:
    def once() -> None:
        with shared.connect() as session, session.create_cache(**SMALL) as cache:
            cache.allocate(1000)

    def counts() -> tuple[int, int]:
        with open("/proc/self/maps") as maps:
            memory = sum("memfd:" in line for line in maps)
        return len(os.listdir("/proc/self/fd")), memory

    for _ in range(3):
        once()
    before = counts()
    for _ in range(10):
        once()
    until("as before", lambda: counts() <= before)


# ── Forks ───────────────────────────────────────────────────────────────────────────────────────


def in_a_fork(work: Callable[[], Any]) -> str:
    """What a forked child says of it: the code of its error, or what it returned."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = f"{work()}"
        except KvspanError as failure:
            text = failure.code
        except BaseException as failure:
            text = repr(failure)
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    return text


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_is_refused_and_harms_nothing(
    shared: Daemon, session: kvspan.Session, cache: kvspan.Cache
) -> None:
    slot = cache.allocate(10)
    assert in_a_fork(lambda: cache.step({slot: 11})) == "CLOSED"
    assert in_a_fork(lambda: cache.allocate(1)) == "CLOSED"
    assert in_a_fork(lambda: cache.free(slot)) == "CLOSED"
    assert in_a_fork(lambda: session.stats()) == "CLOSED"
    assert in_a_fork(lambda: cache.k(0)) == "CLOSED"
    # The native library itself refuses too.
    assert in_a_fork(lambda: cache._native.stats()) == "CLOSED"
    # Closing what is not its own does nothing.
    assert in_a_fork(lambda: (cache.close(), session.close())) == "(None, None)"
    assert cache.step({slot: 12}).short_slots == ()
    assert cache.length(slot) == 12
    assert len(shared.sessions()) == 1


def test_a_spawned_child_has_a_session_of_its_own(shared: Daemon) -> None:
    context = multiprocessing.get_context("spawn")
    with shared.connect() as session, session.create_cache(**SMALL) as cache:
        cache.allocate(10)
        with context.Pool(1) as pool:
            assert pool.apply(use, (shared.directory,)) == 10
        assert cache.length(0) == 10


def use(directory: str) -> int:
    with kvspan.connect(directory) as session, session.create_cache(**SMALL) as cache:
        return cache.length(cache.allocate(10))


# ── Processes that end ──────────────────────────────────────────────────────────────────────────

ENDS = {"raise": 1, "raise in with": 1, "exit": 3, "os._exit": 4, "segfault": -signal.SIGSEGV}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_ends_leaves_nothing(shared: Daemon, end: str) -> None:
    child = Child.python("holder.py", shared.directory)
    child.read()
    child.ask("fill")
    assert child.ask("fill")["held"] == 8 * PAGE
    child.tell(end)
    assert child.end() == ENDS[end]
    until("the books are empty", shared.empty)


@pytest.mark.parametrize("order", ["keep", "thread"])
def test_a_process_that_ends_in_the_middle_of_work_exits_as_it_should(
    shared: Daemon, order: str
) -> None:
    child = Child.python("holder.py", shared.directory)
    child.read()
    child.ask("fill")
    child.ask(order)
    child.tell("exit")
    assert child.end() == 3
    until("the books are empty", shared.empty)


def test_a_process_ends_though_a_stream_is_never_done(shared: Daemon) -> None:
    child = Child.python("holder.py", shared.directory)
    child.read()
    child.ask("fill")
    child.ask("free behind a stream that is never done")
    child.tell("exit")
    assert child.end() == 3
    until("the books are empty", shared.empty)


def test_the_end_of_input_ends_it_cleanly(shared: Daemon) -> None:
    child = Child.python("holder.py", shared.directory)
    child.read()
    child.ask("fill")
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.end() == 0
    until("the books are empty", shared.empty)


def test_ctrl_c_ends_a_wait_and_nothing_else(shared: Daemon) -> None:
    child = Child.python("holder.py", shared.directory)
    child.read()
    for _ in range(7):
        child.ask("fill")
    assert child.ask("wait for Ctrl-C") == "waiting"
    until("it waits", lambda: shared.pool().waiting_grant_count == 1)
    child.process.send_signal(signal.SIGINT)
    said = child.read()
    assert said["interrupted"] is True
    assert said["waited"] < 10
    assert said["more"] == 0
    # The grant was withdrawn, and the session goes on.
    until("nobody waits", lambda: shared.pool().waiting_grant_count == 0)
    assert child.ask("keep")["held"] == 28 * PAGE
    child.tell("exit")
    assert child.end() == 3
    until("the books are empty", shared.empty)


def test_ctrl_c_in_the_middle_of_work_leaves_nothing(shared: Daemon) -> None:
    child = Child.python("holder.py", shared.directory)
    child.read()
    assert child.ask("churn") == "churning"
    time.sleep(0.3)
    child.process.send_signal(signal.SIGINT)
    # As Python ends for a KeyboardInterrupt that nobody catches.
    assert child.end() == -signal.SIGINT
    until("the books are empty", shared.empty)


def test_killed_at_random_moments_it_leaves_nothing(shared: Daemon) -> None:
    def kill_one() -> None:
        child = Child.python("holder.py", shared.directory)
        child.read()
        child.ask("fill")
        assert child.ask("churn") == "churning"
        time.sleep(random.random() * 0.15)
        assert child.end(signal.SIGKILL) == -signal.SIGKILL

    for _ in range(2):
        kill_one()
    until("the books are empty", shared.empty)
    fds = shared.open_fds()
    for _ in range(KILLS):
        kill_one()
    until("the books are empty again", shared.empty)
    until("the daemon has the fds it had", lambda: shared.open_fds() <= fds)


def test_importing_needs_neither_the_library_nor_a_daemon() -> None:
    environment = {**os.environ, "KVSPAN_LIBRARY": "/nowhere/libkvspan.so"}
    script = (
        "import kvspan, sys\n"
        "try: kvspan.connect('/nowhere', connect_timeout=0.1)\n"
        "except kvspan.DaemonUnavailable: sys.exit(7)\n"
    )
    status = subprocess.run([sys.executable, "-c", script], env=environment).returncode
    assert status == 7
