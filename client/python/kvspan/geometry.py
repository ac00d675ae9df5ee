"""Shapes of a cache: what the engine asks for, and where a layer's K and V lie in a token's row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ._validate import count, one_of
from .errors import bad_field
from .v1 import types_pb2 as types

Layout = Literal["token-major", "layer-major", "latent"]
Dtype = Literal["bf16", "fp16", "fp32", "fp8-e4m3", "fp8-e5m2"]
Part = Literal["key", "value"]

_LAYOUTS: Final = {
    "token-major": types.LAYOUT_TOKEN_MAJOR,
    "layer-major": types.LAYOUT_LAYER_MAJOR,
    "latent": types.LAYOUT_LATENT,
}
_DTYPES: Final = {
    "bf16": types.DTYPE_BF16,
    "fp16": types.DTYPE_FP16,
    "fp32": types.DTYPE_FP32,
    "fp8-e4m3": types.DTYPE_FP8_E4M3,
    "fp8-e5m2": types.DTYPE_FP8_E5M2,
}
#: Bytes of one element.
ELEMENT_BYTES: Final = {"bf16": 2, "fp16": 2, "fp32": 4, "fp8-e4m3": 1, "fp8-e5m2": 1}
#: What other libraries call them.
_ALIASES: Final = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "float": "fp32",
    "float8_e4m3fn": "fp8-e4m3",
    "float8_e5m2": "fp8-e5m2",
}


@dataclass(frozen=True)
class Place:
    """Where a layer's K or V of one token lies: the lane, and its bytes within the lane's row."""

    lane: int
    offset_bytes: int
    width_bytes: int


@dataclass(frozen=True)
class Geometry:
    """What a cache holds: ``layers`` x K and V of ``[kv_heads, head_dim]`` for each token."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: str
    slots: int
    max_tokens: int
    layout: str = "token-major"
    #: Behind the last token of each slot, for kernels that read whole tiles: addresses that no request
    #: has, so that the longest request has mapped memory behind it like all others.
    slack_tokens: int = 0

    @property
    def element_bytes(self) -> int:
        return ELEMENT_BYTES[self.dtype]

    @property
    def width_bytes(self) -> int:
        """Of one layer's K (or V) of one token."""
        return self.kv_heads * self.head_dim * self.element_bytes

    def place(self, layer: object, part: Part) -> Place:
        """Where it lies (docs/architecture.md, "Layouts"). INVALID_ARGUMENT: ``layer`` out of range,
        or V of a latent cache, which has none."""
        checked = count("layer", layer, 0, self.layers - 1)
        width = self.width_bytes
        second = 1 if part == "value" else 0
        if self.layout == "token-major":
            return Place(0, (checked * 2 + second) * width, width)
        if self.layout == "layer-major":
            return Place(checked * 2 + second, 0, width)
        if second:
            raise bad_field("layout", "latent", "a layout with a separate V: use k(), or token-major")
        return Place(0, checked * width, width)

    def wire(self) -> types.CacheGeometry:
        return types.CacheGeometry(
            layout=_LAYOUTS[self.layout],
            layers_count=self.layers,
            kv_heads_count=self.kv_heads,
            head_dim_count=self.head_dim,
            dtype=_DTYPES[self.dtype],
            slots_count=self.slots,
            max_tokens_count=self.max_tokens + self.slack_tokens,
        )


def dtype_name(value: object) -> str:
    """``"bf16"``, ``"bfloat16"``, ``torch.bfloat16``, ``numpy.float32``: all of them will do."""
    text = value if isinstance(value, str) else getattr(value, "__name__", None) or str(value)
    text = str(text).removeprefix("torch.")
    if text in ELEMENT_BYTES:
        return text
    if text in _ALIASES:
        return _ALIASES[text]
    raise bad_field("dtype", value, ", ".join([*ELEMENT_BYTES, *_ALIASES]))


def check_geometry(
    *,
    layers: object,
    kv_heads: object,
    head_dim: object,
    dtype: object,
    slots: object,
    max_tokens: object,
    layout: object,
) -> Geometry:
    checked_layout = one_of("layout", layout, tuple(_LAYOUTS))
    heads = count("kv_heads", kv_heads)
    if checked_layout == "latent" and heads != 1:
        raise bad_field("kv_heads", heads, "1: the latent layout has no heads")
    return Geometry(
        layers=count("layers", layers),
        kv_heads=heads,
        head_dim=count("head_dim", head_dim),
        dtype=dtype_name(dtype),
        slots=count("slots", slots),
        max_tokens=count("max_tokens", max_tokens),
        layout=checked_layout,
    )
