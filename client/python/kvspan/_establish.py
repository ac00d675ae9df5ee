"""Establishing a session: once when a client connects, and again each time the daemon was away, or
had given the client up: then its former session's memory and addresses move to the new one."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final, Protocol

from ._link import Link, LinkEvents
from ._native import NativeSession, Plan
from ._service import ServerInfo, Service
from .errors import KvspanError, error
from .geometry import Geometry

SERVICE_SOCKET: Final = "kvspan.sock"
EXTENT_SOCKET: Final = "extents.sock"
#: Extents in one Adopt message: 144 KiB, well within what a daemon takes.
_ADOPT_EXTENTS_MAX: Final = 16_384
_NO_ROOM: Final = frozenset({"QUOTA_EXHAUSTED", "TENANT_LIMIT", "POOL_EXHAUSTED"})
_NO_PLACE: Final = frozenset({"ADDRESS_PLAN_EXHAUSTED", "CACHE_LIMIT"})


def default_socket_directory() -> str:
    """``KVSPAN_SOCKET_DIR``, else ``/run/kvspan`` for root, else ``$XDG_RUNTIME_DIR/kvspan``, else
    ``/tmp/kvspan-<uid>``: where the daemon of the same user is."""
    if given := os.environ.get("KVSPAN_SOCKET_DIR"):
        return given
    if os.getuid() == 0:
        return "/run/kvspan"
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(runtime, "kvspan")
    return f"/tmp/kvspan-{os.getuid()}"


@dataclass(frozen=True)
class Meeting:
    socket_directory: str
    name: str
    #: For each attempt, in seconds.
    timeout: float


@dataclass(frozen=True)
class Daemon:
    service: Service
    server: ServerInfo


_WHERE_TO_LOOK = (
    "start one with `kvspan serve`, or say where it is: socket_directory, KVSPAN_SOCKET_DIR"
)


def find_daemon(meeting: Meeting) -> Daemon:
    """Asks who is there, before anything is opened for it. DAEMON_UNAVAILABLE."""
    path = os.path.join(meeting.socket_directory, SERVICE_SOCKET)
    service = Service(path)
    try:
        return Daemon(service, service.server_info(meeting.timeout))
    except KvspanError as cause:
        service.close()
        said = f"no kvspan daemon answers at {path} ({cause})"
        if cause.code == "PROTOCOL":
            raise error("PROTOCOL", said) from cause
        raise error("DAEMON_UNAVAILABLE", f"{said}; {_WHERE_TO_LOOK}") from cause
    except BaseException:
        service.close()
        raise


def enter(memory: NativeSession, daemon: Daemon, meeting: Meeting, events: LinkEvents) -> Link:
    """Says hello on the extent channel, which makes the session, and opens its stream."""
    until = time.monotonic() + meeting.timeout
    try:
        path = daemon.server.extent_socket
        path = path or os.path.join(meeting.socket_directory, EXTENT_SOCKET)
        welcome = memory.connect(path, meeting.name, max(1, int(meeting.timeout * 1000)))
        left = max(0.001, until - time.monotonic())
        return Link.open(welcome, daemon.service, daemon.server, events, left)
    except BaseException:
        daemon.service.close()
        raise


def _describe(server: ServerInfo) -> str:
    return f"{server.backend} {server.ordinal} {server.uuid}, pages of {server.page_bytes} bytes"


def check_same_device(before: ServerInfo, after: ServerInfo) -> None:
    """A client's memory is of one device: a daemon of another one cannot take it on."""
    if _describe(before) == _describe(after):
        return
    raise error(
        "DEVICE_UNAVAILABLE",
        f"the daemon now serves {_describe(after)}, this session's memory is of {_describe(before)}",
    )


def adopt_held(memory: NativeSession, link: Link, timeout: float) -> int:
    """Puts everything held on the new session's account. Nothing may be released meanwhile, so
    releases are paused, and stay so: the caller resumes them. Memory that the daemon has no room for
    is given up as far as it is idle, and what is left tried once more."""
    adopted: set[int] = set()
    adopted_bytes = 0

    def adopt() -> int:
        nonlocal adopted_bytes
        memory.pause_releases()
        held = [extent for extent in memory.held() if extent[0] not in adopted]
        for first in range(0, len(held), _ADOPT_EXTENTS_MAX):
            batch = held[first : first + _ADOPT_EXTENTS_MAX]
            adopted_bytes = link.service.adopt(batch, link.server.page_bytes, timeout)
            adopted.update(extent_id for extent_id, _ in batch)
        return adopted_bytes

    try:
        return adopt()
    except KvspanError as refusal:
        if refusal.code not in _NO_ROOM:
            raise
    memory.resume_releases()
    memory.give_back(memory.stats().held_bytes)
    return adopt()


class Replanted(Protocol):
    """A cache as a new daemon must know it again."""

    geometry: Geometry
    plan: Plan
    name: str
    cache_id: int

    @property
    def closed(self) -> bool: ...


def replant(cache: Replanted, link: Link, timeout: float) -> None:
    """The cache keeps its addresses, so the daemon's plan for it must have the same sizes."""
    if cache.closed:
        return _bury(cache, link, timeout)
    here = cache.plan
    cache_id, plan = link.service.create_cache(
        cache.geometry, here.base_address, cache.name, timeout
    )
    for field in (
        *("lane_count", "row_bytes", "slot_stride_bytes"),
        *("lane_stride_bytes", "total_bytes"),
    ):
        said, has = getattr(plan, field), getattr(here, field)
        if said != has:
            raise error("PROTOCOL", f"plan.{field}: the daemon now says {said}, the cache has {has}")
    cache.cache_id = cache_id
    if plan.base_address != here.base_address:
        link.service.place_cache(cache_id, here.base_address, timeout)


def _bury(cache: Replanted, link: Link, timeout: float) -> None:
    """A cache that was closed while nobody could be told is taken over from the earlier session, so
    that it can be destroyed. A daemon that has no room for it has nothing of it either."""
    try:
        base = cache.plan.base_address
        cache.cache_id, _ = link.service.create_cache(cache.geometry, base, cache.name, timeout)
        link.service.destroy_cache(cache.cache_id, timeout)
    except KvspanError as refusal:
        if refusal.code not in _NO_PLACE:
            raise
