"""What callers give to a step and to a free, in the forms that serving engines have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _validate as validate
from ._native import Int32Array, UInt32Array
from .errors import bad_field, error
from .geometry import Geometry

StepOutcome = Literal["nothing", "ahead", "mapped", "refilled", "short"]


@dataclass(frozen=True)
class StepResult:
    """What a step had to do, the most expensive of it.

    ``outcome``: "nothing" (every slot had room), "ahead" (the same, and the mapper was given work),
    "mapped" (memory at hand was mapped), "refilled" (the daemon was asked), "short" (``short_slots``
    could not grow and kept their length; all others have grown).
    """

    outcome: StepOutcome
    #: Made on the caller's thread.
    driver_calls: int
    #: Ascending.
    short_slots: tuple[int, ...]


def lengths_array(lengths: object, slots: int) -> Int32Array:
    """``[slots]`` int32, in place if it is that already."""
    if isinstance(lengths, np.ndarray) and lengths.dtype == np.int32:
        array: npt.NDArray[Any] = lengths
    else:
        array = _to_numpy(lengths)
    if array.ndim != 1 or array.size != slots:
        shape = list(array.shape)
        raise bad_field("lengths", f"an array of shape {shape}", f"{slots} lengths, one for each slot")
    if array.dtype != np.int32:
        outside = (array < 0) | (array > validate.COUNT_MAX)
        if outside.any():
            slot = int(np.argmax(outside))
            raise bad_field(f"lengths[{slot}]", int(array[slot]), f"0 .. {validate.COUNT_MAX}")
    return np.ascontiguousarray(array, np.int32)


def _to_numpy(lengths: object) -> npt.NDArray[Any]:
    allowed = "integers: an array, a tensor, a sequence, or a mapping of slot to length"
    detach = getattr(lengths, "detach", None)
    try:
        # A torch tensor; of a GPU it is copied here, which waits for its stream.
        array = np.asarray(lengths if detach is None else detach().cpu().numpy())
    except (TypeError, ValueError):
        raise bad_field("lengths", lengths, allowed) from None
    if array.dtype.kind not in "iu":
        raise bad_field("lengths", f"{array.dtype} values", allowed)
    return array


def lengths_mapping(
    lengths: Mapping[Any, Any], geometry: Geometry
) -> tuple[UInt32Array, Int32Array]:
    """Slots and their lengths; whether the slots are live the native core knows."""
    slots = np.empty(len(lengths), np.uint32)
    values = np.empty(len(lengths), np.int32)
    for index, (slot, length) in enumerate(lengths.items()):
        try:
            slots[index] = validate.count("slot", slot, 0, geometry.slots - 1)
        except ValueError as failure:
            raise error("SLOT_UNKNOWN", str(failure), field="slot") from None
        values[index] = validate.count(f"lengths[{slot}]", length, 1, geometry.max_tokens)
    return slots, values


def stream_number(stream: object, backend: str, ordinal: int) -> int | None:
    """The stream's number as the driver knows it; None: no work is pending."""
    if stream is None:
        return _current_stream(ordinal) if backend == "cuda" else None
    number: object = stream
    for attribute in ("cuda_stream", "ptr", "handle"):
        if hasattr(stream, attribute):
            number = getattr(stream, attribute)
            break
    device = getattr(stream, "device_index", None)
    if device is not None and backend == "cuda" and device != ordinal:
        raise bad_field("stream", f"a stream of device {device}", f"a stream of device {ordinal}")
    return validate.size("stream", number)


def _current_stream(ordinal: int) -> int | None:
    """Torch's own, if torch is in use: the one that the engine's kernels were launched on."""
    import sys

    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.current_stream(ordinal).cuda_stream)


def device_matches(device: object, backend: str, ordinal: int) -> None:
    """INVALID_ARGUMENT if somebody expects the tensors elsewhere than they will be."""
    if device is None:
        return
    here = "cpu" if backend == "host" else f"cuda:{ordinal}"
    wanted = str(device)
    if wanted in (here, here.partition(":")[0]) or (backend == "host" and wanted == "host"):
        return
    raise bad_field("device", wanted, f"{here}, which this session's daemon serves")
