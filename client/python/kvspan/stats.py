"""What a session and its caches say of themselves. Bytes are bytes, times microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import _abi
from ._grants import GrantCounts

SessionState = Literal["connected", "disconnected", "evicted", "closed"]


@dataclass(frozen=True)
class StepTimes:
    """How often steps had this outcome, and how long the native part of them took."""

    count: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float


@dataclass(frozen=True)
class CacheStats:
    live_slots: int
    #: Freed, span still mapped.
    idle_slots: int
    #: Live and idle.
    mapped_bytes: int
    idle_bytes: int
    #: Rows within the lengths of live slots.
    live_bytes: int
    mapped_extents: int
    steps_with_driver_call: int
    #: By outcome: "nothing", "ahead", "mapped", "short" (before any refill), and "all".
    steps: dict[str, StepTimes]


@dataclass(frozen=True)
class SessionStats:
    state: SessionState
    #: Imported, not mapped.
    magazine_bytes: int
    magazine_extents: int
    #: Magazine and mapped: what is on the daemon's account.
    held_bytes: int
    held_extents: int
    #: Extents that were mapped ahead of need.
    mapper_maps: int
    #: Idle, waiting for a stream.
    pending_unmap_bytes: int
    #: Of background work; retried, so of interest only if it grows.
    driver_failures: int
    grants: GrantCounts
    #: Given back to the daemon, and acknowledged by it.
    returned_bytes: int
    requests_in_flight: int
    #: How often the session was established again.
    reconnects: int


def _times(count: _abi.StepCount) -> StepTimes:
    return StepTimes(
        count.count,
        *(ns / 1000 for ns in (count.p50_ns, count.p99_ns, count.p999_ns, count.max_ns)),
    )


def cache_stats(native: _abi.CacheStats) -> CacheStats:
    names = ("nothing", "ahead", "mapped", "short")
    steps = {name: _times(native.steps[index]) for index, name in enumerate(names)}
    return CacheStats(
        live_slots=native.live_slots,
        idle_slots=native.idle_slots,
        mapped_bytes=native.mapped_bytes,
        idle_bytes=native.idle_bytes,
        live_bytes=native.live_bytes,
        mapped_extents=native.mapped_extents,
        steps_with_driver_call=native.steps_with_driver_call,
        steps={**steps, "all": _times(native.all_steps)},
    )
