"""What is left to an evicted session: its memory stays usable, and its token still serves to give it
back. Nothing else, and no other session for this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from ._establish import SERVICE_SOCKET
from ._link import ANSWER_TIMEOUT, fail, settle
from ._service import Service
from .errors import KvspanError
from .v1 import memory_pb2 as memory


class Eviction:
    """A way for what comes back, as a link is one."""

    def __init__(self, reason: KvspanError, socket_directory: str, token: bytes) -> None:
        #: What everything but giving back is refused with.
        self.reason = reason
        self.is_open = True
        self.service = Service(os.path.join(socket_directory, SERVICE_SOCKET))
        self.service.authorise(token)

    def give_back(self, extent_ids: Sequence[int]) -> Future[memory.ExchangeResponse]:
        answer: Future[memory.ExchangeResponse] = Future()

        def work() -> None:
            try:
                returned = self.service.give_back(extent_ids, ANSWER_TIMEOUT)
                settle(answer, memory.ExchangeResponse(returned=returned))
            except KvspanError as refusal:
                fail(answer, refusal)

        # Whoever tells of it must not wait: it may be the thread that hears of the next one.
        threading.Thread(target=work, name="kvspan return", daemon=True).start()
        return answer

    def close(self) -> None:
        self.is_open = False
        self.service.close()
