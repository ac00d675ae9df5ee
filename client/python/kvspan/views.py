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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from . import _abi
from ._borrows import complete
from .errors import bad_field, error

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


class SpanArray(np.ndarray[Any, np.dtype[Any]]):
    """A numpy array over a cache that reads and writes only what is mapped.

    What would touch anything else raises :class:`InvalidArgument`. ``numpy.asarray`` gives the plain
    array for whoever knows the lengths.
    """

    origin: StridedView | None

    def __array_finalize__(self, parent: object) -> None:
        self.origin = getattr(parent, "origin", None)

    def __repr__(self) -> str:
        return repr(_plain(self)) if self._unmapped() is None else f"<{self._text()}>"

    def __str__(self) -> str:
        return str(_plain(self)) if self._unmapped() is None else f"<{self._text()}>"

    def __format__(self, spec: str) -> str:
        return str(self) if spec == "" else format(_checked(self), spec)

    def _text(self) -> str:
        shape = ", ".join(str(size) for size in self.shape)
        return f"kvspan array [{shape}] {self.dtype}, {self._unmapped()}"

    def _unmapped(self) -> str | None:
        """What of it may not be touched; None: nothing."""
        origin = self.origin
        if origin is None or self.size == 0:
            return None
        stride = origin.cache.plan.slot_stride_bytes
        if self.ndim > 0 and self.strides[0] == stride:
            offsets = range(0, self.shape[0] * stride, stride)
            rest = list(zip(self.shape[1:], self.strides[1:]))
        else:
            offsets, rest = range(1), list(zip(self.shape, self.strides))
        start = self.__array_interface__["data"][0]
        below = sum(min(0, (size - 1) * step) for size, step in rest)
        above = sum(max(0, (size - 1) * step) for size, step in rest) + self.itemsize
        for offset in offsets:
            reason = origin.cache.unmapped(start + offset + below, start + offset + above)
            if reason is not None:
                return reason
        return None

    def __getitem__(self, key: Any) -> Any:
        target = self._basic(key)
        if target is None or target.ndim == 0:
            _checked(self if target is None else target)
            return _plain(self)[key]
        return target

    def __setitem__(self, key: Any, value: Any) -> None:
        target = self._basic(key)
        _checked(self if target is None else target)
        _plain(self)[key] = _checked(value)

    def _basic(self, key: Any) -> SpanArray | None:
        """The part that a basic index names, which reads nothing; None for any other index."""
        parts = key if isinstance(key, tuple) else (key,)
        for part in parts:
            if not (part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice))):
                return None
            if isinstance(part, (bool, np.bool_)):
                return None
        if Ellipsis not in parts:
            # Without it an index for every dimension would read the element.
            parts = (*parts, Ellipsis)
        view = super().__getitem__(parts)
        assert isinstance(view, SpanArray)
        return view

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            kwargs["out"] = tuple(_checked(one) for one in kwargs["out"])
        return getattr(ufunc, method)(*(_checked(one) for one in inputs), **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        checked = {name: _checked_all(value) for name, value in kwargs.items()}
        return func(*(_checked_all(value) for value in args), **checked)


def _guard(name: str) -> Any:
    plain = getattr(np.ndarray, name)

    def method(self: SpanArray, *args: Any, **kwargs: Any) -> Any:
        return plain(_checked(self), *args, **kwargs)

    method.__name__ = name
    method.__doc__ = plain.__doc__
    return method


# The methods of an array that read or write it without passing through a ufunc.
for _name in (
    *("copy", "astype", "tolist", "tobytes", "tofile", "fill", "item", "dump", "dumps", "sort"),
    *("flatten", "ravel", "reshape", "byteswap", "put", "take", "repeat", "argmax", "argmin"),
    *("__copy__", "__deepcopy__", "__reduce__", "__reduce_ex__", "__bool__", "__contains__"),
    *("__int__", "__float__", "__index__", "__complex__"),
    # These do pass through one, but numpy leaks a reference if that refuses a reduction.
    *("sum", "prod", "mean", "std", "var", "max", "min", "any", "all", "cumsum", "cumprod"),
    *("clip", "dot", "trace", "round", "nonzero", "argsort", "partition", "argpartition"),
    *("searchsorted", "choose", "compress", "conj", "conjugate"),
):
    setattr(SpanArray, _name, _guard(_name))


def _plain(array: SpanArray) -> npt.NDArray[Any]:
    return array.view(np.ndarray)


def _checked(value: Any) -> Any:
    if not isinstance(value, SpanArray):
        return value
    reason = value._unmapped()
    if reason is None:
        return _plain(value)
    raise error(
        "INVALID_ARGUMENT",
        f"array: got one where {reason}, allowed: rows within a slot's length; "
        "numpy.asarray() of it is unchecked",
        field="array",
    )


def _checked_all(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_checked_all(one) for one in value)
    return _checked(value)


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
