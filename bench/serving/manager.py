"""What the engine needs of a manager of KV memory, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from .shapes import ModelShape

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Limits:
    """The same for every manager."""

    pool_bytes: int
    batch_max: int
    #: The longest request, prompt and answer.
    tokens_max: int
    #: What kernels that load whole tiles read past a length.
    overread_tokens: int = 256


@dataclass(frozen=True)
class Usage:
    #: Behind the requests that run.
    used_bytes: int
    #: Taken from the device, and lacking to others.
    held_bytes: int


class Manager(Protocol):
    name: str

    def admit(self, tokens: int) -> int | None:
        """A handle with memory for a prompt; None: there is not enough."""

    def grow(self, lengths: Mapping[int, int]) -> list[int]:
        """Room for these lengths. Returns the handles that could not get it."""

    def free(self, handle: int) -> None:
        """The request has ended, or lost its place."""

    def flat(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """K and V as ``[tokens, kv_heads, head_dim]``: what ``places`` counts in."""

    def places(self, handles: Int64Array, positions: Int64Array) -> Int64Array:
        """Where these tokens of these requests lie in ``flat``."""

    def usage(self) -> Usage: ...

    def close(self) -> None: ...


def token_bytes(shape: ModelShape, dtype: torch.dtype) -> int:
    return shape.token_bytes(torch.empty(0, dtype=dtype).element_size())


def to_device(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Without waiting for the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
