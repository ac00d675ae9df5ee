"""One kernel on one case: checked against float64 in every memory, then timed in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from pybench.clock import Clock
from pybench.results import Row, row

from .kernel import Call, Kernel, Unsuitable
from .memories import Contiguous, Pages, Problem
from .reference import Reference

#: Largest error as a share of the largest value; bf16 kernels stay under a hundredth.
ERROR_MAX: Final = 0.03
_WHY_COLUMNS: Final = 300


class Fatal(Exception):
    """The device's context has ended; nothing more can be measured in this process."""


@dataclass
class Outcome:
    rows: list[Row] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"rows": [asdict(one) for one in self.rows], "notes": self.notes}


@dataclass(frozen=True)
class _Place:
    """Where K and V lie, and how the rows call it."""

    name: str
    #: Of the same layout in memory of the driver; None: it is no span.
    twin: str | None
    calls: Callable[[], list[Call]]


def places_of(
    kernel: Kernel, problem: Problem, contiguous: list[Contiguous], pages: list[Pages]
) -> list[_Place]:
    found = []
    for memory in contiguous:
        twin = next(
            (other for other in contiguous if other.owner != memory.owner and _alike(other, memory)),
            None,
        )
        spans = memory.owner == "kvspan" and twin is not None
        found.append(
            _Place(
                f"{memory.owner}, {memory.name}",
                f"{twin.owner}, {twin.name}" if spans and twin is not None else None,
                lambda memory=memory: kernel.contiguous(problem, memory),  # type: ignore[misc]
            )
        )
    for one in pages:
        calls = lambda one=one: kernel.paged(problem, one)  # type: ignore[misc]  # noqa: E731
        found.append(_Place(f"pages of {one.size}", None, calls))
    return found


def _alike(one: Contiguous, other: Contiguous) -> bool:
    return one.k.stride() == other.k.stride()


def measure(
    kernel: Kernel,
    problem: Problem,
    contiguous: list[Contiguous],
    pages: list[Pages],
    wanted: Reference,
    clock: Clock,
    runs: int,
) -> Outcome:
    outcome = Outcome()
    places = places_of(kernel, problem, contiguous, pages)
    working: dict[str, Call] = {}
    for place in places:
        call = _working(kernel, place, problem, wanted, clock, outcome)
        if call is not None:
            working[place.name] = call
    samples = clock.interleaved({name: call.run for name, call in working.items()}, runs)
    for place in places:
        if place.name in samples:
            outcome.rows += _rows(kernel, problem, place, samples)
    _plans(kernel, problem, working, clock, runs, outcome)
    return outcome


def _working(
    kernel: Kernel,
    place: _Place,
    problem: Problem,
    wanted: Reference,
    clock: Clock,
    outcome: Outcome,
) -> Call | None:
    """The first way of calling it that gives the right result."""
    case, way = problem.case.name, f"{kernel.name} on {place.name}"
    note = lambda text: outcome.notes.append({"case": case, "way": way, "text": text})  # noqa: E731
    try:
        calls = place.calls()
    except Unsuitable as reason:
        note(f"not run: {reason}")
        return None
    except Exception as failure:
        note(f"cannot be prepared: {_why(failure)}")
        _check_alive(clock, failure)
        return None
    for call in calls:
        try:
            error = wanted.error(call.result(call.run()))
            clock.synchronize()
        except Exception as failure:
            note(f"{call.how}: does not run: {_why(failure)}")
            _check_alive(clock, failure)
            continue
        outcome.rows.append(row(case, f"{way}: largest error", "share", [min(error, 1e9)]))
        if error <= ERROR_MAX:
            note(call.how)
            return call
        note(f"{call.how}: wrong by {error:.3g} of the largest value")
        outcome.rows.pop()
    return None


def _check_alive(clock: Clock, failure: Exception) -> None:
    try:
        clock.synchronize()
    except Exception:
        raise Fatal(_why(failure)) from failure


def _why(failure: BaseException) -> str:
    text = " ".join(f"{type(failure).__name__}: {failure}".split())
    return text if len(text) <= _WHY_COLUMNS else text[:_WHY_COLUMNS] + " ..."


def _rows(
    kernel: Kernel, problem: Problem, place: _Place, samples: dict[str, list[float]]
) -> list[Row]:
    case = problem.case
    mine = samples[place.name]
    way = f"{kernel.name} on {place.name}"
    if case.decode:
        moved = case.kv_bytes(problem.shape, problem.k.element_size())
        speed = row(case.name, f"{way}: speed", "GB/s", [moved / us / 1e3 for us in mine])
    else:
        flops = case.flops(problem.shape)
        speed = row(case.name, f"{way}: speed", "TFLOP/s", [flops / us / 1e6 for us in mine])
    rows = [row(case.name, f"{way}: time", "us", mine), speed]
    if place.twin is None:
        return rows
    plain = place.twin.partition(",")[0]
    others = [(f"{plain}, same layout", place.twin)]
    others += [(name, name) for name in samples if _is_other(name, place.twin)]
    for said, name in others:
        if name in samples:
            # Of runs side by side: a clock that moves between turns moves both.
            ratios = [a / b for a, b in zip(mine, samples[name])]
            rows.append(row(case.name, f"{way}: time / {said}", "ratio", ratios))
    return rows


def _is_other(name: str, twin: str) -> bool:
    """What a kernel of today runs on: each layer's memory of its own, or pages."""
    return name.startswith("pages of") or (name.endswith("layer by layer") and name != twin)


def _plans(
    kernel: Kernel,
    problem: Problem,
    working: dict[str, Call],
    clock: Clock,
    runs: int,
    outcome: Outcome,
) -> None:
    for name, call in working.items():
        way = f"{kernel.name} on {name}"
        samples = [0.0] if call.plan is None else clock.host(call.plan, runs)
        outcome.rows.append(row(problem.case.name, f"{way}: host planning", "us", samples))
