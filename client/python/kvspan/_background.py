"""Calls that may take long, on threads of their own: Ctrl-C ends the wait, never the call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from ._link import fail, settle


def finish(work: Callable[[], None], name: str, limit: float | None = None) -> None:
    """Runs ``work`` and waits for it, for at most ``limit`` seconds. A wait that ends early leaves it
    running: what is being closed will be closed."""
    done: Future[None] = Future()

    def body() -> None:
        try:
            work()
        except BaseException as failure:
            fail(done, failure)
        else:
            settle(done, None)

    try:
        threading.Thread(target=body, name=name, daemon=True).start()
    except RuntimeError:
        # No thread can be started any more while the interpreter ends.
        body()
    if limit is None or wait([done], limit).done:
        done.result()
