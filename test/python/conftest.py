from __future__ import annotations

from collections.abc import Iterator

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
