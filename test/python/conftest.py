from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import kvspan
import pytest
from support import SMALL, Daemon


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    """A daemon for the tests of a file that leave it as they found it."""
    one = Daemon()
    yield one
    one.stop()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon of one's own."""
    one = Daemon()
    yield one
    one.stop()


@pytest.fixture
def session(shared: Daemon) -> Iterator[kvspan.Session]:
    with shared.connect() as one:
        yield one


@pytest.fixture
def cache(session: kvspan.Session) -> Iterator[kvspan.Cache]:
    with session.create_cache(**SMALL) as one:
        yield one


# ── For the outer runner (python.test.ts), which counts each test as one of its own ─────────────

_outcomes: dict[str, dict[str, str]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    known = _outcomes.setdefault(report.nodeid, {"outcome": "passed", "text": ""})
    if report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        known.update(outcome="skipped", text=str(reason))
    elif report.outcome == "failed":
        known.update(outcome="failed", text=f"{report.when}: {report.longreprtext}")


def pytest_sessionfinish() -> None:
    if where := os.environ.get("KVSPAN_TEST_OUTCOMES"):
        Path(where).write_text(json.dumps(_outcomes))
