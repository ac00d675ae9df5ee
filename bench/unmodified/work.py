"""A process that measures, told what by its arguments; a kernel that ends the device's context ends it
too, and the process that started it goes on with the rest. Says what it does by lines of JSON."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from dataclasses import dataclass
from typing import Any, Final

import kvspan
import torch
from pybench.clock import Clock

from .cases import Case, Shape
from .kernel import Kernel
from .kernels import ON_CPU, ON_GPU
from .measure import Fatal, Outcome, measure
from .memories import draw, memories
from .reference import reference

MARK: Final = "@kvspan "
EXIT_FATAL: Final = 3
_LIBRARIES: Final = ("torch", "triton", "flashinfer", "cudnn")


@dataclass(frozen=True)
class Job:
    socket_directory: str
    on_gpu: bool
    shape: Shape
    runs: int
    span_bytes: int
    #: Cases in order, and for each the kernels to be measured on it.
    items: list[tuple[Case, list[str]]]

    def as_json(self) -> str:
        items = [[vars(case), names] for case, names in self.items]
        return json.dumps({**vars(self), "shape": vars(self.shape), "items": items})

    @classmethod
    def from_json(cls, text: str) -> Job:
        told = json.loads(text)
        told["shape"] = Shape(**told["shape"])
        told["items"] = [(_case(case), names) for case, names in told["items"]]
        return cls(**told)


def _case(told: dict[str, Any]) -> Case:
    return Case(told["kind"], told["name"], tuple(told["lengths"]), tuple(told["queries"]))


def tell(kind: str, **what: object) -> None:
    sys.stdout.write(f"{MARK}{json.dumps({'kind': kind, **what})}\n")
    sys.stdout.flush()


def work(job: Job) -> int:
    device = torch.device("cuda", torch.cuda.current_device()) if job.on_gpu else torch.device("cpu")
    made: dict[str, Kernel | str] = {}
    clock = Clock(device)
    with kvspan.connect(job.socket_directory, name="bench-unmodified", grant_wait=60) as session:
        for case, names in job.items:
            try:
                _case_through(job, session, case, names, made, clock, device)
            except Fatal:
                # What is left of this process cannot even be tidied up; the kernel does that.
                sys.stdout.flush()
                os._exit(EXIT_FATAL)
    tell("libraries", versions=_versions())
    return 0


def _case_through(
    job: Job,
    session: kvspan.Session,
    case: Case,
    names: list[str],
    made: dict[str, Kernel | str],
    clock: Clock,
    device: torch.device,
) -> None:
    dtype = torch.bfloat16 if job.on_gpu else torch.float32
    problem = draw(case, job.shape, dtype, device)
    wanted = reference(problem)
    with memories(session, problem, job.span_bytes) as (contiguous, pages):
        for name in names:
            tell("begin", case=case.name, kernel=name)
            kernel = _made(name, job.on_gpu, made)
            if isinstance(kernel, str):
                outcome = Outcome(notes=[{"case": case.name, "way": name, "text": kernel}])
            else:
                arguments = (problem, contiguous, pages, wanted, clock, job.runs)
                try:
                    outcome = measure(kernel, *arguments)
                except Fatal as failure:
                    tell("fatal", case=case.name, kernel=name, text=str(failure))
                    raise
                except Exception as failure:
                    text = f"failed: {failure!r}"
                    outcome = Outcome(notes=[{"case": case.name, "way": name, "text": text}])
            tell("measured", case=case.name, kernel=name, **outcome.as_json())
            del kernel, outcome
    gc.collect()
    if job.on_gpu:
        torch.cuda.empty_cache()


def _made(name: str, on_gpu: bool, made: dict[str, Kernel | str]) -> Kernel | str:
    """The kernel; or why there is none, the same for every case."""
    if name not in made:
        try:
            made[name] = (ON_GPU if on_gpu else ON_CPU)[name]()
        except Exception as failure:
            made[name] = f"not run: {type(failure).__name__}: {failure}"
    return made[name]


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        if name in sys.modules:
            found[name] = str(getattr(importlib.import_module(name), "__version__", "unknown"))
    return found
