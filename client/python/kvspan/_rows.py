"""Rows of a slot, copied by the CPU or the driver: for whoever has no tensor library at hand."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import _validate as validate
from ._native import NativeCache
from .errors import bad_field
from .geometry import Geometry, Part

#: bf16 and fp8 as their bits.
_NUMPY: Final = {
    **{"bf16": np.uint16, "fp16": np.float16, "fp32": np.float32},
    **{"fp8-e4m3": np.uint8, "fp8-e5m2": np.uint8},
}


def empty_rows(geometry: Geometry, tokens: int) -> npt.NDArray[Any]:
    """``[tokens, kv_heads, head_dim]`` to read into."""
    return np.empty((tokens, geometry.kv_heads, geometry.head_dim), _NUMPY[geometry.dtype])


def copy_rows(
    native: NativeCache,
    geometry: Geometry,
    direction: str,
    part: Part,
    layer: int,
    slot: int,
    length: int,
    first_token: int,
    data: npt.NDArray[Any],
) -> None:
    """``direction``: "write" or "read"; ``data``: dense rows of the layer's K or V, within the slot's
    length."""
    place = geometry.place(layer, part)
    tokens, rest = divmod(data.nbytes, place.width_bytes)
    if rest or not 1 <= tokens <= length:
        raise bad_field(
            "rows", f"{data.nbytes} bytes", f"1 .. {length} rows of {place.width_bytes} bytes"
        )
    first = validate.count("first_token", first_token, 0, length - tokens)
    native.copy_rows(
        *(direction, slot, place.lane, first, tokens),
        *(place.offset_bytes, place.width_bytes, data.ctypes.data),
    )
