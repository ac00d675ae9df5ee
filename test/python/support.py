"""Daemons, children and small caches to test with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import kvspan
import numpy as np
from kvspan.v1 import admin_pb2 as admin

ROOT = Path(__file__).resolve().parents[2]
#: A bundle's launcher, for machines without a checkout's build; None: that.
LAUNCHER = os.environ.get("KVSPAN_TEST_LAUNCHER")
SCRIPTS = Path(os.environ.get("KVSPAN_TEST_JS") or ROOT / "build/ts")
CHILDREN = Path(__file__).resolve().parent / "children"
MIB = 1 << 20
PAGE = 2 * MIB

#: 16 KiB a token, so that a page holds 128 tokens and growth shows soon. A slot is 64 MiB at most.
SMALL: dict[str, Any] = dict(
    layers=4, kv_heads=8, head_dim=64, dtype="fp32", slots=8, max_tokens=4096, lookahead_tokens=0
)
TOKENS_PER_PAGE = 128
#: Nothing is asked for ahead of need, so that tests can count.
QUIET: dict[str, Any] = dict(low_water_bytes=0, high_water_bytes=0, grant_wait=5)


def until(what: str, look: Callable[[], bool], limit: float = 30.0) -> None:
    """Waits for what another process or thread will do, by looking."""
    end = time.monotonic() + limit
    failure: Exception | None = None
    while time.monotonic() < end:
        try:
            failure = None
            if look():
                return
        except Exception as error:
            failure = error
        time.sleep(0.01)
    raise failure or AssertionError(f"not within {limit} s: {what}")


class Daemon:
    """A daemon of the TypeScript implementation, on the host backend, in a private directory."""

    def __init__(self, **settings: object) -> None:
        # Short, because a Unix socket's path has 107 bytes at most.
        self.directory = tempfile.mkdtemp(prefix="kvp-")
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, **changed: object) -> None:
        settings = {"pool_bytes": "64MiB", "backend": "host", **self._settings, **changed}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        command = [LAUNCHER] if LAUNCHER else ["node", str(SCRIPTS / "client/cli/main.js")]
        self._process = subprocess.Popen(
            [*command, "serve", "--quiet", "--log-level=error", "--web-address=off"]
            + [f"--socket-directory={self.directory}", *flags],
            stdin=subprocess.DEVNULL,
        )
        until("the daemon answers", lambda: self.pool() is not None, 30)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(120)
        shutil.rmtree(self.directory, ignore_errors=True)

    def open_fds(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _ask(self, method: str, request: Any, answer: Any, socket: str = "kvspan.sock") -> Any:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"unix:{self.directory}/{socket}", options=options) as channel:
            call = channel.unary_unary(
                f"/kvspan.v1.AdminService/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=answer.FromString,
            )
            return call(request, timeout=60)

    def pool(self) -> admin.GetPoolResponse:
        return self._ask("GetPool", admin.GetPoolRequest(), admin.GetPoolResponse)

    def sessions(self) -> list[admin.SessionInfo]:
        answer = self._ask("ListSessions", admin.ListSessionsRequest(), admin.ListSessionsResponse)
        return list(answer.sessions)

    def evict(self, session_id: int) -> admin.EvictSessionResponse:
        request = admin.EvictSessionRequest(session_id=session_id)
        return self._ask("EvictSession", request, admin.EvictSessionResponse, "admin.sock")

    def empty(self) -> bool:
        """Nothing of anybody is left."""
        pool = self.pool()
        return not (pool.used_bytes or pool.extent_count or pool.session_count or pool.cache_count)

    def until_empty(self) -> None:
        """The daemon learns of some ends only from the kernel, a moment later."""
        until("nothing of anybody is left", self.empty)

    def connect(self, **options: Any) -> kvspan.Session:
        return kvspan.connect(self.directory, **{**QUIET, **options})


class Child:
    """A process that is told what to do by lines of JSON, and answers in the same way."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    @classmethod
    def python(cls, script: str, *arguments: str) -> Child:
        return cls(sys.executable, str(CHILDREN / script), *arguments)

    @classmethod
    def typescript(cls, script: str, *arguments: str) -> Child:
        return cls("node", str(SCRIPTS / "test/python/children" / script), *arguments)

    def read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line == "":
            raise AssertionError(f"the child ended with {self.process.wait()}")
        return json.loads(line)

    def tell(self, message: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")

    def ask(self, message: object) -> Any:
        self.tell(message)
        return self.read()

    def end(self, number: int | None = None) -> int:
        """Its exit status; negative: the signal."""
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(120)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return status


def rows(first_token: int, tokens: int, seed: int, width: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """``[tokens, width]`` words that differ by token, seed and place; test/python/children/peer.ts
    makes the same."""
    token = np.arange(first_token, first_token + tokens, dtype=np.uint64)[:, None]
    place = np.arange(width, dtype=np.uint64)[None, :]
    mixed = ((token ^ (seed << 16)) * 2654435761) & 0xFFFFFFFF
    return ((mixed + place) & 0xFFFFFFFF).astype(np.uint32)
