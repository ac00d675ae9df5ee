"""Arrays over a cache's memory that are still alive: what they show must stay mapped.

Each is a piece of work on a host stream, complete when the array is gone. So a slot that is freed
while arrays of it are alive is unmapped when the last of them has gone, and a cache that is closed
keeps its memory as long. No lock is taken when an array goes: that may happen anywhere.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from . import _abi
from .errors import KvspanError

_LOOK_EVERY: Final = 0.02


def complete(stream: int, pid: int) -> None:
    """An array has gone. Not in a forked child: the array that counts is the parent's."""
    if os.getpid() == pid:
        _abi.call("host_stream_complete", stream)


def _create() -> int:
    stream = ctypes.c_uint64()
    _abi.call("host_stream_create", ctypes.byref(stream))
    return stream.value


def _idle(stream: int) -> bool:
    idle = ctypes.c_int32()
    _abi.call("host_stream_idle", stream, ctypes.byref(idle))
    return idle.value != 0


class Borrows:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: By slot; None: of the cache as a whole.
        self._streams: dict[int | None, int] = {}
        #: Of slots that were freed meanwhile.
        self._retired: list[int] = []

    def begin(self, slot: int | None) -> int:
        """One more array of the slot, or of the whole cache. Returns the stream to complete."""
        with self._lock:
            if slot not in self._streams:
                self._streams[slot] = _create()
            stream = self._streams[slot]
            _abi.call("host_stream_submit", stream)
            return stream

    def of_slot(self, slot: int) -> int | None:
        """The stream that a slot's memory has to wait for, if arrays of it are alive."""
        with self._lock:
            stream = self._streams.get(slot)
            return None if stream is None or _idle(stream) else stream

    def slot_freed(self, slot: int) -> None:
        with self._lock:
            stream = self._streams.pop(slot, None)
            self._retired = [one for one in self._retired if not self._over(one)]
            if stream is not None and not self._over(stream):
                self._retired.append(stream)

    @staticmethod
    def _over(stream: int) -> bool:
        if not _idle(stream):
            return False
        _abi.call("host_stream_destroy", stream)
        return True

    @property
    def any(self) -> bool:
        with self._lock:
            return any(not _idle(one) for one in (*self._streams.values(), *self._retired))

    def when_none(self, work: Callable[[], None]) -> None:
        """Now, or on a thread of its own once no array is alive any more."""
        if not self.any:
            return work()

        def wait() -> None:
            while self.any:
                time.sleep(_LOOK_EVERY)
            try:
                work()
            except KvspanError:
                # Closed by other hands.
                pass

        threading.Thread(target=wait, name="kvspan borrowed", daemon=True).start()
