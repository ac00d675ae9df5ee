"""What a kernel of the table is: a library's call, prepared for a case and a memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from .memories import Contiguous, Pages, Problem


class Unsuitable(Exception):
    """This kernel does not take this case or this memory; says why."""


@dataclass(frozen=True)
class Call:
    #: What is timed.
    run: Callable[[], Any]
    #: ``[all queries, query_heads, head_dim]`` of what ``run`` returned.
    result: Callable[[Any], torch.Tensor]
    #: For people: which function, with which arguments of note.
    how: str
    #: What the host does before each pass, whatever the number of layers; None: nothing.
    plan: Callable[[], Any] | None = None


class Kernel(Protocol):
    #: Of the table's line.
    name: str

    def contiguous(self, problem: Problem, memory: Contiguous) -> list[Call]:
        """Ways to call it over this memory, the best first; the first that works is measured.
        Raises Unsuitable."""

    def paged(self, problem: Problem, pages: Pages) -> list[Call]:
        """The same library's own kernel over pages. Raises Unsuitable if it has none."""


def int32(values: list[int], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32, device=device)
