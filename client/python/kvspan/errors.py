"""What goes wrong, as exceptions: a code of the closed set, and the numbers that explain it.

The codes are those of the daemon, the native core and the TypeScript client (proto/errors.ts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Codes for which the same request may succeed later, nothing else changed by the caller.
RETRYABLE: Final = frozenset(
    {
        "SESSION_LIMIT",
        "ADDRESS_PLAN_EXHAUSTED",
        "GRANT_LIMIT",
        "POOL_EXHAUSTED",
        "QUOTA_EXHAUSTED",
        "TENANT_LIMIT",
        "DEVICE_EXHAUSTED",
        "DEADLINE_EXCEEDED",
        "SLOTS_EXHAUSTED",
        "DAEMON_UNAVAILABLE",
        "DRAINING",
    }
)

#: Every code there is; another one (of a newer daemon) is told as PROTOCOL, its text kept.
CODES: Final = RETRYABLE | {
    "INVALID_ARGUMENT",
    "SESSION_EVICTED",
    "SESSION_UNKNOWN",
    "TENANT_UNKNOWN",
    "REVISION_STALE",
    "STREAM_EXISTS",
    "CACHE_UNKNOWN",
    "CACHE_LIMIT",
    "EXTENT_UNKNOWN",
    "EXTENT_FOREIGN",
    "EXTENT_RETURNED",
    "EXTENT_MAPPED",
    "GRANT_DUPLICATE",
    "GRANT_CANCELLED",
    "PROMISE_UNKNOWN",
    "SLOT_UNKNOWN",
    "SLOT_FREED",
    "CLOSED",
    "PERMISSION_DENIED",
    "PROTOCOL",
    "DEVICE_UNAVAILABLE",
    "DEVICE_FAILED",
    "INTERNAL",
}


@dataclass(frozen=True)
class Holder:
    """Who holds memory, for whoever wants to know whom to ask."""

    session_id: int
    pid: int
    held_bytes: int


class KvspanError(Exception):
    """The base of all of kvspan's exceptions.

    Attributes:
        code: one of ``CODES``.
        field: the argument at fault, or ``""``.
        asked_bytes, free_bytes, limit_bytes: of a refusal for lack of memory, else None.
        holders: who holds the rest; the largest first.
        retryable: the same call may succeed later.
    """

    code: str

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str = "",
        asked_bytes: int | None = None,
        free_bytes: int | None = None,
        limit_bytes: int | None = None,
        holders: tuple[Holder, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.asked_bytes = asked_bytes
        self.free_bytes = free_bytes
        self.limit_bytes = limit_bytes
        self.holders = holders

    @property
    def retryable(self) -> bool:
        return self.code in RETRYABLE


class InvalidArgument(KvspanError, ValueError):
    """INVALID_ARGUMENT, SLOT_UNKNOWN: ``field`` names the argument; the text what is allowed."""


class OutOfMemory(KvspanError, MemoryError):
    """POOL_, QUOTA_, DEVICE_EXHAUSTED, TENANT_LIMIT: asked, free, limit and holders of the rest."""


class SlotsExhausted(KvspanError):
    """SLOTS_EXHAUSTED: every slot of the cache has a request."""


class Closed(KvspanError):
    """CLOSED: used after its end, or in a process forked from the one that owns it."""


class SlotFreed(KvspanError):
    """SLOT_FREED: the slot's request has ended."""


class DaemonUnavailable(KvspanError, ConnectionError):
    """DAEMON_UNAVAILABLE, DRAINING: nobody answers; spans stay usable."""


class DeadlineExceeded(KvspanError, TimeoutError):
    """DEADLINE_EXCEEDED: not within the time that was given."""


class PermissionDenied(KvspanError, PermissionError):
    """PERMISSION_DENIED: another user's daemon, most likely. TENANT_UNKNOWN: this user has none.
    SESSION_EVICTED: an administrator has put this process out; it may only give back."""


_classes: Final[dict[str, type[KvspanError]]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "SLOT_UNKNOWN": InvalidArgument,
    "POOL_EXHAUSTED": OutOfMemory,
    "QUOTA_EXHAUSTED": OutOfMemory,
    "TENANT_LIMIT": OutOfMemory,
    "DEVICE_EXHAUSTED": OutOfMemory,
    "SLOTS_EXHAUSTED": SlotsExhausted,
    "SLOT_FREED": SlotFreed,
    "CLOSED": Closed,
    "DAEMON_UNAVAILABLE": DaemonUnavailable,
    "DRAINING": DaemonUnavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "PERMISSION_DENIED": PermissionDenied,
    "TENANT_UNKNOWN": PermissionDenied,
    "SESSION_EVICTED": PermissionDenied,
}


def error(
    code: str,
    message: str,
    *,
    field: str = "",
    asked_bytes: int | None = None,
    free_bytes: int | None = None,
    limit_bytes: int | None = None,
    holders: tuple[Holder, ...] = (),
) -> KvspanError:
    """The exception for a code, of the class that suits it."""
    if code not in CODES:
        code, message = "PROTOCOL", f"{code}: {message}"
    return _classes.get(code, KvspanError)(
        code,
        message,
        field=field,
        asked_bytes=asked_bytes,
        free_bytes=free_bytes,
        limit_bytes=limit_bytes,
        holders=holders,
    )


def bad_field(field: str, given: object, allowed: str) -> KvspanError:
    """Bad input: names the argument, what was given and what is allowed."""
    return error("INVALID_ARGUMENT", f"{field}: got {_show(given)}, allowed: {allowed}", field=field)


def _show(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else value[:80] + "...")
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return f"a {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")
