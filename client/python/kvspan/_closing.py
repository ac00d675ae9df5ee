"""The end of a session: memory goes back, and the daemon hears of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ._grants import Grants
from ._native import NativeSession
from ._returns import ReturnPath, Returns

if TYPE_CHECKING:
    from .cache import Cache

#: How long closing waits for the daemon, in each of its steps, in seconds.
CLOSE_TIMEOUT: Final = 2.0
#: Between looks at what is still held.
_PAUSE: Final = 0.005


def give_back_all(
    memory: NativeSession,
    link: ReturnPath,
    grants: Grants,
    returns: Returns,
    hear: Callable[[], None],
    caches: Sequence[Cache],
) -> None:
    """Gives back until nothing is held and all of it is acknowledged, as long as it gets less: memory
    may be on its way out by other hands, and then is not here to be given, but still on the account.
    What arrays of the caches still show stays."""
    least = memory.stats().held_bytes
    until = time.monotonic() + CLOSE_TIMEOUT
    while link.is_open and time.monotonic() < until:
        grants.settle_all(CLOSE_TIMEOUT)
        memory.give_back(memory.stats().held_bytes)
        hear()
        returns.acknowledged(CLOSE_TIMEOUT)
        held = memory.stats().held_bytes
        done = held == 0 or any(cache.borrowed for cache in caches)
        if done and _all_told(memory, returns, hear):
            return
        if held < least:
            until = time.monotonic() + CLOSE_TIMEOUT
        least = held
        time.sleep(_PAUSE)


def _all_told(memory: NativeSession, returns: Returns, hear: Callable[[], None]) -> bool:
    """Whether the daemon has heard of everything that was released. Memory is off the native books a
    moment before its release is told; a pause waits for releases under way."""
    memory.pause_releases()
    memory.resume_releases()
    hear()
    return returns.told


def close_memory(memory: NativeSession, caches: Sequence[Cache]) -> None:
    """Once no array of a cache is alive, which may be at once."""
    waiting = [cache for cache in caches if cache.borrowed]
    if not waiting:
        return memory.close()
    memory.disconnect()
    left = len(waiting)
    lock = threading.Lock()

    def one_less() -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            memory.close()

    for cache in waiting:
        cache.when_unborrowed(one_less)
