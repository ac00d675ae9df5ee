"""A layer's K or V as a strided tensor, over addresses that never change while the cache lives.

Only what is mapped may be touched. On the host backend a touch of anything else would end the process, on
a GPU it would end the context. So:

* ``cache.k(layer, slot)`` shows the rows of one request and no more;
* ``cache.k(layer)`` shows all slots, for kernels that are told the lengths. As a numpy array it is a
  :class:`SpanArray`, whose Python-level reads and writes are checked; ``numpy.asarray`` of it is the
  plain array, unchecked. As a torch tensor it prints as its description; everything else that reads
  it is up to the caller.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import _abi
from ._borrows import complete
from .errors import bad_field
from .geometry import Part
from .span_array import SpanArray

if TYPE_CHECKING:
    from .cache import Cache

_DEVICE_CPU: Final = 1
_DEVICE_CUDA: Final = 2
#: numpy has neither bfloat16 nor float8: their bits, as unsigned integers.
_NUMPY: Final = {"bf16": "<u2", "fp16": "<f2", "fp32": "<f4", "fp8-e4m3": "|u1", "fp8-e5m2": "|u1"}
_TORCH: Final = {
    **{"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"},
    **{"fp8-e4m3": "float8_e4m3fn", "fp8-e5m2": "float8_e5m2"},
}
#: DLDataTypeCode and bits. Consumers learn of float8 one after the other; they get its bits.
_DLPACK: Final = {
    **{"bf16": (4, 16), "fp16": (2, 16), "fp32": (2, 32)},
    **{"fp8-e4m3": (1, 8), "fp8-e5m2": (1, 8)},
}
_CAPSULE: Final = b"dltensor"


@dataclass(frozen=True)
class StridedView:
    """Where a tensor lies: what a kernel needs, whoever launches it. Consumers of DLPack take it
    as it is (``torch.from_dlpack(view)``)."""

    cache: Cache
    #: None: all slots.
    slot: int | None
    #: Of element [0, ...]. On the cuda backend a device address.
    address: int
    shape: tuple[int, ...]
    #: In elements.
    strides: tuple[int, ...]
    dtype: str
    label: str

    @property
    def element_bytes(self) -> int:
        return self.cache.geometry.element_bytes

    @property
    def stride_bytes(self) -> tuple[int, ...]:
        return tuple(stride * self.element_bytes for stride in self.strides)

    def __dlpack_device__(self) -> tuple[int, int]:
        on_gpu = self.cache.backend == "cuda"
        return (_DEVICE_CUDA, self.cache.ordinal) if on_gpu else (_DEVICE_CPU, 0)

    def __dlpack__(self, *, stream: object = None, **_: object) -> object:
        """A capsule of the unversioned kind, which every consumer takes. ``stream`` needs nothing:
        what earlier work wrote is ordered by the caller's own streams."""
        self.cache.check_open("__dlpack__")
        code, bits = _DLPACK[self.dtype]
        device, ordinal = self.__dlpack_device__()
        tensor = _abi.Tensor(
            address=self.address,
            device_type=device,
            device_id=ordinal,
            type_code=code,
            type_bits=bits,
            dimensions=len(self.shape),
            host_stream=self.cache.borrow(self.slot if device == _DEVICE_CPU else None),
        )
        tensor.shape[: len(self.shape)] = self.shape
        tensor.strides[: len(self.strides)] = self.strides
        managed = ctypes.c_void_p()
        _abi.call("tensor_export", tensor, ctypes.byref(managed))
        return _new_capsule(managed, _CAPSULE, _drop_capsule)

    def numpy(self) -> SpanArray:
        """Host backend only. bf16 and fp8 as the unsigned integers of their bits."""
        if self.cache.backend != "host":
            raise bad_field("framework", "numpy", '"torch": this memory is on a GPU')
        array = np.asarray(_Exporter(self)).view(SpanArray)
        array.origin = self
        return array

    def torch(self) -> Any:
        """A torch.Tensor. On the host backend of CPU memory."""
        import torch

        dtype = getattr(torch, _TORCH[self.dtype])
        if self.cache.backend == "host":
            tensor = torch.from_numpy(np.asarray(self.numpy()))
        else:
            tensor = torch.from_dlpack(self)
        if tensor.dtype != dtype:
            tensor = tensor.view(dtype)
        return tensor if self.slot is not None else _described(tensor, repr(self))

    def __repr__(self) -> str:
        shape = ", ".join(str(size) for size in self.shape)
        return f"<kvspan {self.label} [{shape}] {self.dtype} at {self.address:#x}>"


def view_of(cache: Cache, part: Part, layer: int, slot: int | None, length: int) -> StridedView:
    """A layer of all slots, or the first ``length`` tokens of one."""
    geometry, plan = cache.geometry, cache.plan
    place = geometry.place(layer, part)
    element = geometry.element_bytes
    address = plan.base_address + place.lane * plan.lane_stride_bytes + place.offset_bytes
    row = (geometry.kv_heads, geometry.head_dim)
    strides: tuple[int, ...] = (plan.row_bytes // element, geometry.head_dim, 1)
    label = f"{part} of layer {layer}"
    if slot is not None:
        address += slot * plan.slot_stride_bytes
        label = f"{label}, slot {slot}"
        return StridedView(cache, slot, address, (length, *row), strides, geometry.dtype, label)
    shape = (geometry.slots, geometry.max_tokens, *row)
    strides = (plan.slot_stride_bytes // element, *strides)
    return StridedView(cache, None, address, shape, strides, geometry.dtype, label)


def flat_of(whole: StridedView, stride: int) -> StridedView:
    """All slots as one row of tokens, ``[slots * stride, kv_heads, head_dim]``."""
    shape = (whole.shape[0] * stride, *whole.shape[2:])
    return replace(whole, shape=shape, strides=whole.strides[1:], label=f"{whole.label}, flat")


class _Exporter:
    """What a numpy array over a view keeps alive; its end is the end of the borrowing."""

    def __init__(self, view: StridedView) -> None:
        self.__array_interface__ = {
            "version": 3,
            "typestr": _NUMPY[view.dtype],
            "shape": view.shape,
            "strides": view.stride_bytes,
            "data": (view.address, False),
        }
        stream = view.cache.borrow(view.slot)
        # Not at the interpreter's exit: the arrays may be in use until the very end.
        weakref.finalize(self, complete, stream, os.getpid()).atexit = False


def _described(tensor: Any, text: str) -> Any:
    """The same tensor, which prints as its description and not as its elements."""
    import torch

    class SpanTensor(torch.Tensor):  # type: ignore[misc, unused-ignore]
        # Operations on it are those of a plain tensor, and give plain tensors.
        __torch_function__ = torch._C._disabled_torch_function_impl

        def __repr__(self, *, tensor_contents: object = None) -> str:
            return text

        __str__ = __repr__

        def __format__(self, spec: str) -> str:
            return text

    return tensor.as_subclass(SpanTensor)


_capsule_api = ctypes.pythonapi
_DESTRUCTOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _DESTRUCTOR)(
    ("PyCapsule_New", _capsule_api)
)
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", _capsule_api)
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _capsule_api)
)


def _drop(capsule: int) -> None:
    """A consumer has renamed the capsule that it took; what nobody took is let go of here."""
    if _is_valid(capsule, _CAPSULE):
        _abi.load().kvspan_tensor_delete(_pointer(capsule, _CAPSULE))


_drop_capsule = _DESTRUCTOR(_drop)
