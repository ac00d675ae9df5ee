"""kvspan: KV-cache memory for serving engines, owned by a daemon and lent by the page.

    import kvspan

    with kvspan.connect() as session:
        model = dict(layers=32, kv_heads=8, head_dim=128, dtype="bf16")
        with session.create_cache(**model, slots=64, max_tokens=32768) as cache:
            slot = cache.allocate(1200)          # a prompt: mapped, contiguous
            k = cache.k(0)                       # [64, 32768, 8, 128], the same address for ever
            result = cache.step({slot: 1201})    # before each forward pass
            cache.free(slot)

Needs a kvspan daemon on the same machine.
"""

from __future__ import annotations

import os

from . import _validate as validate
from ._establish import Daemon, Meeting, default_socket_directory, find_daemon
from ._grants import GrantCounts
from ._native import NativeSession, Plan
from ._reclaiming import OnReclaim
from ._reservation import Reservation, ReservationEnd
from ._service import ServerInfo
from ._step import StepResult
from .cache import Cache
from .errors import (
    Closed,
    DaemonUnavailable,
    DeadlineExceeded,
    Holder,
    InvalidArgument,
    KvspanError,
    OutOfMemory,
    PermissionDenied,
    SlotFreed,
    SlotsExhausted,
    bad_field,
    error,
)
from .geometry import Geometry
from .ragged import Ragged
from .session import Session
from .span_array import SpanArray
from .stats import CacheStats, SessionStats, StepTimes
from .views import StridedView

__version__ = "0.1.0"

_GRANT_WAIT_DEFAULT = 1.0
_CONNECT_TIMEOUT_DEFAULT = 5.0
#: The magazine is kept at 1/64 of what the session may hold, but not above 64 MiB.
_LOW_WATER_MAX_BYTES = 64 << 20
_LOW_WATER_SHARE = 64
#: What is above four times the low mark is more than the mapper will soon map.
_HIGH_WATER_FACTOR = 4


def connect(
    socket_directory: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    cuda_library: str | None = None,
    ordinal: int | None = None,
    low_water_bytes: int | None = None,
    high_water_bytes: int | None = None,
    grant_wait: float | None = None,
    connect_timeout: float | None = None,
    reconnect: bool = True,
    on_reclaim: OnReclaim | None = None,
) -> Session:
    """Connects to the daemon of this machine and opens its device in this process.

    Args:
        socket_directory: where the daemon's sockets are. Default: ``KVSPAN_SOCKET_DIR``, else
            ``/run/kvspan`` for root, else ``$XDG_RUNTIME_DIR/kvspan``, else ``/tmp/kvspan-<uid>``.
        name: for people, shown by the admin service: printable ASCII, 1 .. 63 bytes.
        cuda_library: path of libcuda. Default: ``KVSPAN_CUDA_LIBRARY``, else the system's.
        ordinal: CUDA ordinal of the daemon's device in this process. Default: the daemon's own.
        low_water_bytes: of imported, unmapped memory; below it more is asked for. 0: never.
        high_water_bytes: above it memory is returned. 0: never.
        grant_wait: seconds that ``allocate`` and ``step`` wait for memory. Default 1.
        connect_timeout: seconds for connecting, and for each attempt to connect again. Default 5.
        reconnect: establish the session again when the daemon went away and is back.
        on_reclaim: called on a background thread when others wait for memory and what was idle here
            has been given back: ``on_reclaim(missing_bytes, seconds)`` preempts requests, frees their
            slots, and returns how many bytes they had; those are given back as soon as the GPU is
            done with them. For one reclaim at a time, never for idle memory alone; what it raises is
            logged.

    Raises:
        DaemonUnavailable (nobody answers), PermissionDenied, InvalidArgument, KvspanError with
        SESSION_LIMIT, or with DEVICE_UNAVAILABLE (the daemon's device is not to be had here).
    """
    meeting = Meeting(
        _directory(socket_directory),
        validate.name("name", f"pid {os.getpid()}" if name is None else name, 1),
        max(0.001, validate.seconds("connect_timeout", connect_timeout, _CONNECT_TIMEOUT_DEFAULT)),
    )
    wait = validate.seconds("grant_wait", grant_wait, _GRANT_WAIT_DEFAULT)
    validate.flag("reconnect", reconnect)
    if on_reclaim is not None and not callable(on_reclaim):
        raise bad_field("on_reclaim", on_reclaim, "a callable of bytes and seconds")
    number = None if ordinal is None else validate.count("ordinal", ordinal, 0)
    low = None if low_water_bytes is None else validate.size("low_water_bytes", low_water_bytes)
    high = None if high_water_bytes is None else validate.size("high_water_bytes", high_water_bytes)
    library = cuda_library or os.environ.get("KVSPAN_CUDA_LIBRARY") or None
    daemon = find_daemon(meeting)
    try:
        low = _low_water_default(daemon.server) if low is None else low
        high = low * _HIGH_WATER_FACTOR if high is None else high
        number = daemon.server.ordinal if number is None else number
        memory = _open_the_same(daemon, number, library, low, high)
        return Session(daemon, meeting, memory, wait, reconnect, number, on_reclaim)
    except BaseException:
        daemon.service.close()
        raise


def _directory(given: str | os.PathLike[str] | None) -> str:
    if given is None:
        return default_socket_directory()
    if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
        raise bad_field("socket_directory", given, "a path that is not empty")
    return os.fspath(given)


def _low_water_default(server: ServerInfo) -> int:
    share = min(server.session_limit_bytes // _LOW_WATER_SHARE, _LOW_WATER_MAX_BYTES)
    return max(1, share // server.page_bytes) * server.page_bytes


def _open_the_same(
    daemon: Daemon, ordinal: int, library: str | None, low: int, high: int
) -> NativeSession:
    """The daemon's device in this process. CUDA_VISIBLE_DEVICES numbers GPUs anew for each process,
    and memory of one GPU mapped for another would be found out only by a kernel that faults."""
    server = daemon.server
    memory = NativeSession(server.backend, ordinal, library, low, high)
    device = memory.device()
    if device.uuid.decode() == server.uuid:
        return memory
    memory.close()
    raise error(
        "DEVICE_UNAVAILABLE",
        f"ordinal {ordinal} is {device.name.decode()} {device.uuid.decode()} in this process, but "
        f"the daemon serves {server.device_name} {server.uuid}: set `ordinal`, or "
        "CUDA_VISIBLE_DEVICES",
    )


__all__ = [
    "Cache",
    "CacheStats",
    "Closed",
    "DaemonUnavailable",
    "DeadlineExceeded",
    "Geometry",
    "GrantCounts",
    "Holder",
    "InvalidArgument",
    "KvspanError",
    "OnReclaim",
    "OutOfMemory",
    "PermissionDenied",
    "Plan",
    "Ragged",
    "Reservation",
    "ReservationEnd",
    "ServerInfo",
    "Session",
    "SessionStats",
    "SlotFreed",
    "SlotsExhausted",
    "SpanArray",
    "StepResult",
    "StepTimes",
    "StridedView",
    "connect",
]
