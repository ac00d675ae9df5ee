"""The numpy array over a cache that refuses to touch what is not mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .errors import error

if TYPE_CHECKING:
    from .views import StridedView


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
