"""What a run says, as rows: `<manager>: <what>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pybench.results import Row, quantile, row

from .engine import Served
from .scheduler import Running

_GIB = 1 << 30


def rows_of(case: str, name: str, served: Served) -> list[Row]:
    if not served.passes:
        raise ValueError(f"{case}: {name} has run no pass")
    one = lambda what, unit, value: row(case, f"{name}: {what}", unit, [value])  # noqa: E731
    each = lambda what, unit, values: row(case, f"{name}: {what}", unit, values)  # noqa: E731
    firsts, gaps = _first_tokens_ms(served), _gaps_ms(served.requests)
    passes = served.passes
    rows = [
        one("tokens generated", "tokens/s", served.generated / served.seconds),
        one("tokens of prompts", "tokens/s", served.prefilled / served.seconds),
        one("requests ended", "requests", sum(request.done for request in served.requests)),
    ]
    for what, values in (("time to first token", firsts), ("time per output token", gaps)):
        for share, said in ((0.5, "p50"), (0.99, "p99")):
            if values:
                rows.append(one(f"{what}, {said}", "ms", quantile(values, share)))
    rows += [
        one("memory behind running requests, peak", "GiB", _peak(served, "used_bytes")),
        one("memory taken from the device, peak", "GiB", _peak(served, "held_bytes")),
        each("requests running at once", "requests", [one_pass.running for one_pass in passes]),
        one("requests running at once, mean", "requests", _mean([p.running for p in passes])),
        one("preemptions", "count", served.preempted),
        one("requests that never fitted", "count", served.failed),
    ]
    parts = {
        "memory management": [one_pass.memory for one_pass in passes],
        "telling the device where requests lie": [one_pass.tables for one_pass in passes],
        "plans of the kernels": [one_pass.plans for one_pass in passes],
        "pass": [one_pass.whole for one_pass in passes],
        "pass without prefill": [p.whole for p in passes if p.prefill_tokens == 0],
    }
    for what, values in parts.items():
        if values:
            rows.append(each(what, "us", values))
            rows.append(one(f"{what}, mean of a pass", "us", _mean(values)))
    return rows


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _peak(served: Served, what: str) -> float:
    return max(getattr(usage, what) for usage in served.usage) / _GIB


def _first_tokens_ms(served: Served) -> list[float]:
    """Who has none yet when the time is over counts with what he has waited so far."""
    now = served.seconds + served.skipped_s
    arrived = [*served.requests, *served.waiting]
    return [
        1000 * ((now if one.first_token_s is None else one.first_token_s) - one.arrival_s)
        for one in arrived
    ]


def _gaps_ms(requests: Sequence[Running]) -> list[float]:
    return [
        1000 * (one.last_token_s - one.first_token_s) / (len(one.said) - 1)
        for one in requests
        if one.first_token_s is not None and len(one.said) > 1
    ]


def agreement(case: str, name: str, said: Mapping[int, list[int]], other: Mapping[int, list[int]]) -> Row:
    """Of the tokens that both have said, those before the first that differs, over all requests."""
    same = total = 0
    for index, mine in said.items():
        theirs = other.get(index, [])
        length = min(len(mine), len(theirs))
        differ = next((at for at in range(length) if mine[at] != theirs[at]), length)
        same, total = same + differ, total + length
    return row(case, f"{name}: same tokens", "share", [same / total if total else 0.0])


def said_by(served: Served) -> dict[int, list[int]]:
    return {one.index: one.said for one in [*served.requests, *served.waiting] if one.said}
