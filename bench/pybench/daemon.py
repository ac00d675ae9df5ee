"""A daemon of one's own, from a bundle or from this checkout, for as long as a bench runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final

import kvspan

ROOT: Final = Path(__file__).resolve().parents[2]
_START_LIMIT_S: Final = 60.0


class BenchError(Exception):
    """Something that a sentence says; it needs no trace."""


def launcher_command(launcher: str | None) -> list[str]:
    """``launcher``: a bundle's ``kvspan``; None: the checkout's own build."""
    if launcher is not None:
        if not os.access(launcher, os.X_OK):
            raise BenchError(f"--kvspan: got {launcher}, allowed: the launcher of an unpacked bundle")
        return [launcher]
    built = ROOT / "build/ts/client/cli/main.js"
    if not built.exists():
        raise BenchError(f"{built} is not built: npm run build, or --kvspan BUNDLE/kvspan")
    return ["node", str(built)]


def commit_of(launcher: str | None) -> str:
    """The commit that the daemon was built from: the bundle tells it, else git."""
    if launcher is not None:
        launcher_command(launcher)
        told = re.search(r'KVSPAN_COMMIT="([^"]+)"', Path(launcher).read_text())
        if told:
            return told[1]
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.check_output([*git, "rev-parse", "--short=12", "HEAD"], text=True)
        changed = subprocess.check_output(
            [*git, "status", "--porcelain", "--untracked-files=no"], text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.strip() + ("-dirty" if changed.strip() else "")


class PrivateDaemon:
    """``kvspan serve`` in a private directory; a context manager."""

    def __init__(self, launcher: str | None, backend: str, pool_bytes: int) -> None:
        self._command = launcher_command(launcher)
        self._flags = [f"--backend={backend}", f"--pool-bytes={pool_bytes}"]
        # Short, because a Unix socket's path has 107 bytes at most.
        self.directory = tempfile.mkdtemp(prefix="kvb-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivateDaemon:
        serve = ["serve", "--quiet", "--log-level=error", "--web-address=off"]
        serve.append(f"--socket-directory={self.directory}")
        self._process = subprocess.Popen(
            [*self._command, *serve, *self._flags], stdin=subprocess.DEVNULL
        )
        until = time.monotonic() + _START_LIMIT_S
        while True:
            try:
                self.connect(connect_timeout=1.0).close()
                return self
            except kvspan.DaemonUnavailable as failure:
                ended = self._process.poll()
                if ended is not None or time.monotonic() > until:
                    self.__exit__(None, None, None)
                    raise BenchError(f"the daemon did not start ({ended}): {failure}") from None
                time.sleep(0.05)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self, **options: object) -> kvspan.Session:
        return kvspan.connect(self.directory, **{"name": "bench", "grant_wait": 5.0, **options})
