"""The closed set of errors is one: what the daemon may say, this client knows."""

from __future__ import annotations

import re
from pathlib import Path

from kvspan import errors

TABLE = Path(__file__).parents[2] / "proto" / "errors.ts"
ENTRY = re.compile(r"^  ([A-Z_]+): entry\((\w+)(, true)?\),$", re.MULTILINE)


def entries() -> dict[str, bool]:
    """Each code of the table, and whether it is retryable."""
    found = {code: retryable != "" for code, _, retryable in ENTRY.findall(TABLE.read_text())}
    assert len(found) > 20, f"the table in {TABLE.name} was not recognised"
    return found


def test_every_code_is_known() -> None:
    assert set(entries()) == set(errors.CODES)


def test_retryable_codes_are_the_same() -> None:
    assert {code for code, again in entries().items() if again} == set(errors.RETRYABLE)


def test_a_tenant_at_its_limit_is_out_of_memory() -> None:
    assert isinstance(errors.error("TENANT_LIMIT", "full"), errors.OutOfMemory)
    assert isinstance(errors.error("TENANT_UNKNOWN", "who?"), errors.PermissionDenied)
