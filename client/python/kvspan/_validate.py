"""Checks of what callers give, before anything changes: each failure names the argument, the value
and what is allowed. Lengths of live slots are checked by the native core, which knows them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Final

from .errors import bad_field

#: Counts cross the native boundary as int32.
COUNT_MAX: Final = 2**31 - 1
#: The longest that any call waits, in seconds: a day.
WAIT_MAX: Final = 24 * 60 * 60.0
NAME_BYTES_MAX: Final = 63
UINT64_MAX: Final = 2**64 - 1


def integer(field: str, value: object, minimum: int, maximum: int) -> int:
    """Anything that is an integer (numpy's too), but no bool."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise bad_field(field, value, f"an integer of {minimum} .. {maximum}") from None
    if not minimum <= number <= maximum:
        raise bad_field(field, number, f"an integer of {minimum} .. {maximum}")
    return number


def count(field: str, value: object, minimum: int = 1, maximum: int = COUNT_MAX) -> int:
    return integer(field, value, minimum, maximum)


def size(field: str, value: object) -> int:
    return integer(field, value, 0, UINT64_MAX)


def seconds(field: str, value: object, fallback: float) -> float:
    if value is None:
        return fallback
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad_field(field, value, f"seconds of 0 .. {WAIT_MAX:.0f}")
    if math.isnan(value) or not 0 <= value <= WAIT_MAX:
        raise bad_field(field, value, f"seconds of 0 .. {WAIT_MAX:.0f}")
    return float(value)


def between(field: str, value: object, minimum: float, maximum: float) -> float:
    allowed = f"seconds of {minimum:g} .. {maximum:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad_field(field, value, allowed)
    if not minimum <= value <= maximum:
        raise bad_field(field, value, allowed)
    return float(value)


def name(field: str, value: object, minimum: int = 0) -> str:
    allowed = f"printable ASCII of {minimum} .. {NAME_BYTES_MAX} bytes"
    if not isinstance(value, str) or not minimum <= len(value) <= NAME_BYTES_MAX:
        raise bad_field(field, value, allowed)
    if not (value.isascii() and (value == "" or value.isprintable())):
        raise bad_field(field, value, allowed)
    return value


def flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise bad_field(field, value, "True, False")
    return value


def one_of(field: str, value: object, allowed: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise bad_field(field, value, ", ".join(allowed))
    return value
