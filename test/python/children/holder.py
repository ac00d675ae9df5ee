"""A serving process that does as it is told by lines of JSON: fill, step, free, and ways to end."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import kvspan  # noqa: E402
from kvspan import _abi  # noqa: E402
from support import QUIET, SMALL  # noqa: E402


class Fault(Exception):
    """What a program may raise."""


def say(message: object) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    session = kvspan.connect(sys.argv[1], **{**QUIET, "grant_wait": 2.0})
    cache = session.create_cache(**SMALL)
    slots: list[int] = []
    kept: list[Any] = []
    say("ready")
    for line in sys.stdin:
        order = json.loads(line)
        if order == "fill":
            slots.append(cache.allocate(400))
            cache.k(0, slots[-1])[:] = 1
        elif order == "keep":
            kept.append(cache.k(0, slots[-1]))
        elif order == "free behind a stream that is never done":
            cache.free(slots.pop(), stream=pending_stream())
        elif order == "churn":
            say("churning")
            churn(cache)
        elif order == "raise":
            raise Fault
        elif order == "raise in with":
            with session, cache:
                raise Fault
        elif order == "exit":
            sys.exit(3)
        elif order == "os._exit":
            os._exit(4)
        elif order == "thread":
            threading.Thread(target=churn, args=(cache,), daemon=True).start()
        elif order == "wait for Ctrl-C":
            say("waiting")
            wait_for_ctrl_c(session, cache)
            continue
        elif order == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        say({"held": session.stats().held_bytes, "slots": slots})


def pending_stream() -> int:
    stream = ctypes.c_uint64()
    _abi.call("host_stream_create", ctypes.byref(stream))
    _abi.call("host_stream_submit", stream)
    return stream.value


def churn(cache: kvspan.Cache) -> None:
    """Until somebody ends it."""
    while True:
        slot = cache.allocate(100)
        for length in range(101, 1000, 50):
            cache.step({slot: length})
        cache.free(slot)


def wait_for_ctrl_c(session: kvspan.Session, cache: kvspan.Cache) -> None:
    """In an allocation that never gets its memory."""
    before = time.monotonic()
    live = cache.stats().live_slots
    try:
        cache.allocate(4000, wait=60)
    except KeyboardInterrupt:
        waited = time.monotonic() - before
        say({"interrupted": True, "waited": waited, "more": cache.stats().live_slots - live})


if __name__ == "__main__":
    main()
