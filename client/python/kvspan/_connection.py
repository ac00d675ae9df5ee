"""A session's connection to the daemon, which may end at any moment and is then made again:

    connected --(stream ends)---> disconnected --(a new stream)------------------> connected
    connected --(channel ends)--> disconnected --(a new session, which adopts)---> connected
    any of both --(SESSION_EVICTED)--> evicted, for good
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ._establish import Daemon, Meeting, check_same_device, enter, find_daemon
from ._eviction import Eviction
from .events import Disconnected, Draining, Listeners, Reconnected
from ._link import Link, LinkEvents
from ._native import NativeSession, Welcome
from ._service import ServerInfo
from .errors import KvspanError, error

#: The extent channel is the faster one: what was sent on the stream before its end is under way.
_LAST_WORDS: Final = 0.05
_RECONNECT_FIRST: Final = 0.05
_RECONNECT_MAX: Final = 5.0


@dataclass(frozen=True)
class ConnectionHooks:
    #: Others wait for memory: link, reclaim id, wanted bytes, deadline in ms, idle memory only.
    reclaim: Callable[[Link, int, int, int, bool], None]
    #: A promise is less than it was: its id, what is left, why.
    promise_cut: Callable[[int, int, str], None]
    #: There is a link again.
    installed: Callable[[], None]
    #: Nothing that was asked for will be answered.
    lost: Callable[[KvspanError], None]
    #: Puts what the process holds on a new session's account; nothing may be released from its
    #: beginning until the link is installed. Returns how many bytes.
    restore: Callable[[Link], int]
    #: There will be no link again; what is released can be told through ``eviction``.
    evicted: Callable[[], None]
    #: Waits until the events that the native core has told so far have been heard.
    hear: Callable[[], None]


def delay_before(attempt: int) -> float:
    """Seconds before attempt n (from 1): doubled each time, capped, drawn from its upper half."""
    cap = min(_RECONNECT_MAX, _RECONNECT_FIRST * float(2 ** min(attempt - 1, 30)))
    return cap / 2 + cap / 2 * random.random()


class Connection:
    def __init__(
        self,
        server: ServerInfo,
        meeting: Meeting,
        reconnect: bool,
        memory: NativeSession,
        listeners: Listeners,
        hooks: ConnectionHooks,
    ) -> None:
        self.server = server
        self.meeting = meeting
        self.draining = False
        self.reconnects = 0
        self._reconnect = reconnect
        self._memory = memory
        self._listeners = listeners
        self._hooks = hooks
        self._lock = threading.RLock()
        self._link: Link | None = None
        self._session_id = 0
        #: None: the session has ended, only a new one will do.
        self._credentials: Welcome | None = None
        #: Of the latest session, ended or not.
        self._token = b""
        #: An administrator has put the session out, for good.
        self.eviction: Eviction | None = None
        self._last_refusal = ""
        #: What broke the connection that is being established, if something did.
        self._broken: KvspanError | None = None
        self._stop = threading.Event()

    @property
    def link(self) -> Link | None:
        """None: the daemon is away."""
        return self._link

    @property
    def session_id(self) -> int:
        return self._session_id

    @property
    def timeout(self) -> float:
        return self.meeting.timeout

    def begin(self, daemon: Daemon) -> None:
        self._install(enter(self._memory, daemon, self.meeting, self._events()))

    def require(self, method: str) -> Link:
        """The link, or why there is none; ``method`` is who needs it."""
        link = self._link
        if link is not None:
            return link
        if self.eviction is not None:
            raise error("SESSION_EVICTED", f"{method}: {self.eviction.reason}")
        if self._stop.is_set():
            raise error("CLOSED", f"{method}: the session is closed")
        where = self.meeting.socket_directory
        raise error(
            "DAEMON_UNAVAILABLE", f"{method}: the daemon at {where} is away; spans stay usable"
        )

    def channel_closed(self, reason: str) -> None:
        """With the channel the session itself ends; the stream may still bring why."""
        gone = error("DAEMON_UNAVAILABLE", f"the extent channel is closed: {reason}")
        with self._lock:
            link = self._link
            self._credentials = None
            self._broken = self._broken or gone
        if link is None:
            return
        later = threading.Timer(_LAST_WORDS, self._lost, (link, gone))
        later.daemon = True
        later.start()

    def stop_reconnecting(self) -> None:
        """No attempt begins after this; the link stays until ``end``."""
        self._stop.set()

    def end(self, reason: KvspanError) -> None:
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close(reason)
        if self.eviction is not None:
            self.eviction.close()

    def _events(self) -> LinkEvents:
        with self._lock:
            self._broken = None
        return LinkEvents(
            reclaim=self._hooks.reclaim,
            promise_cut=self._hooks.promise_cut,
            draining=self._drains,
            ended=self._lost,
        )

    def _drains(self, deadline_ms: int) -> None:
        self.draining = True
        self._listeners.emit(Draining(deadline_ms))

    def _install(self, link: Link) -> None:
        with self._lock:
            if self._broken is not None:
                raise self._broken
            if self._stop.is_set():
                raise error("CLOSED", "the session was closed")
            self._link = link
            self._credentials = link.credentials
            self._token = link.credentials.token
            self._session_id = link.credentials.session_id
            self.server = link.server
            self.draining = False
        self._hooks.installed()

    def _lost(self, link: Link, reason: KvspanError) -> None:
        """The daemon went away, in whichever way it showed first."""
        with self._lock:
            if self._link is None:
                # One that was still being established.
                self._broken = self._broken or reason
                return
            if self._link is not link:
                return
            self._link = None
            self._last_refusal = ""
        gone = reason
        if reason.code not in ("DAEMON_UNAVAILABLE", "SESSION_EVICTED"):
            gone = error("DAEMON_UNAVAILABLE", str(reason))
        link.close(gone)
        self._hooks.lost(gone)
        if self._stop.is_set():
            return
        # On a thread of its own in any case: a listener may want what the stream's thread brings.
        threading.Thread(
            target=self._keep_trying, args=(gone,), name="kvspan reconnect", daemon=True
        ).start()

    def _evicted(self, reason: KvspanError) -> None:
        """No session of this process will be let in again; what it has it may give back."""
        eviction = Eviction(reason, self.meeting.socket_directory, self._token)
        with self._lock:
            if not self._stop.is_set():
                self.eviction = eviction
        # Closed meanwhile: nobody would close this one any more.
        if self.eviction is None:
            return eviction.close()
        self._hooks.evicted()
        self._listeners.emit(Disconnected(reason, False))

    def _keep_trying(self, gone: KvspanError) -> None:
        if gone.code == "SESSION_EVICTED":
            return self._evicted(gone)
        self._listeners.emit(Disconnected(gone, self._reconnect))
        if not self._reconnect:
            return
        attempts = 0
        while not self._stop.wait(delay_before(attempts + 1)):
            attempts += 1
            try:
                adopted_bytes = self._reestablish()
            except Exception as cause:
                if self._stop.is_set():
                    continue
                if isinstance(cause, KvspanError) and cause.code == "SESSION_EVICTED":
                    return self._evicted(cause)
                self._refused(cause)
                continue
            self.reconnects += 1
            self._listeners.emit(Reconnected(self.session_id, adopted_bytes, attempts))
            return

    def _refused(self, cause: Exception) -> None:
        """A daemon that is not there yet is no news; one that refuses is, once for each reason."""
        failure = cause if isinstance(cause, KvspanError) else error("INTERNAL", repr(cause))
        if failure.code in ("DAEMON_UNAVAILABLE", self._last_refusal):
            return
        self._last_refusal = failure.code
        self._listeners.emit(Disconnected(failure, True))

    def _reestablish(self) -> int:
        credentials = self._credentials
        if credentials is not None and self._resume(credentials):
            return 0
        return self._begin_again()

    def _find_same_daemon(self) -> Daemon:
        daemon = find_daemon(self.meeting)
        try:
            check_same_device(self.server, daemon.server)
            return daemon
        except BaseException:
            daemon.service.close()
            raise

    def _resume(self, credentials: Welcome) -> bool:
        """Only the stream ended: the extent channel stands, and with it the session. False: the
        daemon does not know the session any more."""
        daemon = self._find_same_daemon()
        link: Link | None = None
        try:
            events = self._events()
            link = Link.open(
                credentials, daemon.service, daemon.server, events, self.meeting.timeout
            )
            self._install(link)
            return True
        except BaseException as failure:
            if link is not None:
                link.close()
            daemon.service.close()
            if getattr(failure, "code", "") != "SESSION_UNKNOWN":
                raise
            self._credentials = None
            return False

    def _begin_again(self) -> int:
        """A new session, which takes on everything that the process holds."""
        daemon = self._find_same_daemon()
        self._memory.disconnect()
        # The former channel's end may still be on its way; it must not be taken for the new one's.
        self._hooks.hear()
        link: Link | None = None
        try:
            link = enter(self._memory, daemon, self.meeting, self._events())
            adopted_bytes = self._hooks.restore(link)
            self._install(link)
            return adopted_bytes
        except BaseException:
            if link is not None:
                link.close()
            self._memory.disconnect()
            raise
        finally:
            # Only now: what is released from here on is told to the new daemon.
            self._memory.resume_releases()
