"""Calls that may take long, on threads of their own: Ctrl-C ends the wait, never the call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from ._link import fail, settle


def finish(work: Callable[[], None], name: str) -> None:
    """Runs ``work`` and waits for it. An interrupted wait leaves it running: what is being closed
    will be closed."""
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
    done.result()
