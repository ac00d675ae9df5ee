"""libkvspan.so as ctypes sees it: the structures and calls of native/capi/kvspan.h.

ctypes lets go of the GIL for the time of every call. Loaded with the first use, so that importing
the package needs nothing.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t
from ctypes import c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from .errors import KvspanError, error

ABI_VERSION: Final = 2
ORDERS: Final = 10
DIMENSIONS_MAX: Final = 8

EVENT_NONE, EVENT_NEED, EVENT_RETURNED, EVENT_GRANTED, EVENT_CLOSED, EVENT_MARK = range(6)
STEP_NOTHING, STEP_AHEAD, STEP_MAPPED, STEP_SHORT = range(4)


class Error(ctypes.Structure):
    _fields_ = [("code", c_char * 32), ("field", c_char * 96), ("message", c_char * 896)]


class SessionOptions(ctypes.Structure):
    _fields_ = [
        ("backend", c_char_p),
        ("ordinal", c_int32),
        ("library", c_char_p),
        ("low_water_bytes", c_uint64),
        ("high_water_bytes", c_uint64),
    ]


class DeviceInfo(ctypes.Structure):
    _fields_ = [
        ("backend", c_char * 16),
        ("name", c_char * 128),
        ("uuid", c_char * 64),
        ("driver", c_char * 128),
        ("ordinal", c_int32),
        ("granularity_bytes", c_uint64),
        ("total_bytes", c_uint64),
        ("free_bytes", c_uint64),
    ]


class Welcome(ctypes.Structure):
    _fields_ = [("session_id", c_uint64), ("token", c_uint8 * 32), ("service_path", c_char * 128)]


class Event(ctypes.Structure):
    _fields_ = [
        ("kind", c_int32),
        ("imported_count", c_uint32),
        ("grant_id", c_uint64),
        ("counts", c_uint32 * ORDERS),
        ("id_count", c_uint64),
        ("text", c_char * 512),
    ]


class Extent(ctypes.Structure):
    _fields_ = [("id", c_uint64), ("bytes", c_uint64)]


class SessionStats(ctypes.Structure):
    _fields_ = [
        ("magazine_bytes", c_uint64),
        ("magazine_extents", c_uint64),
        ("held_bytes", c_uint64),
        ("held_extents", c_uint64),
        ("mapper_maps", c_uint64),
        ("pending_unmap_bytes", c_uint64),
        ("driver_failures", c_uint64),
    ]


class CachePlan(ctypes.Structure):
    _fields_ = [
        ("wanted_base", c_uint64),
        ("total_bytes", c_uint64),
        ("row_bytes", c_uint64),
        ("slot_stride_bytes", c_uint64),
        ("lane_stride_bytes", c_uint64),
        ("lane_count", c_uint32),
        ("slot_count", c_uint32),
        ("max_tokens", c_uint32),
    ]


class CacheOptions(ctypes.Structure):
    _fields_ = [("growth", c_int32), ("lookahead_tokens", c_uint32), ("overread_tokens", c_uint32)]


class Allocation(ctypes.Structure):
    _fields_ = [
        ("slot", c_int32),
        ("warm", c_int32),
        ("mapped_bytes", c_uint64),
        ("need", c_uint32 * ORDERS),
    ]


class StepReport(ctypes.Structure):
    _fields_ = [
        ("outcome", c_int32),
        ("driver_calls", c_uint32),
        ("short_count", c_uint32),
        ("need", c_uint32 * ORDERS),
    ]


class StepCount(ctypes.Structure):
    _fields_ = [
        ("count", c_uint64),
        ("p50_ns", c_uint64),
        ("p99_ns", c_uint64),
        ("p999_ns", c_uint64),
        ("max_ns", c_uint64),
    ]


class CacheStats(ctypes.Structure):
    _fields_ = [
        ("live_slots", c_uint32),
        ("idle_slots", c_uint32),
        ("mapped_bytes", c_uint64),
        ("idle_bytes", c_uint64),
        ("live_bytes", c_uint64),
        ("mapped_extents", c_uint64),
        ("steps_with_driver_call", c_uint64),
        ("steps", StepCount * 4),
        ("all_steps", StepCount),
    ]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("address", c_uint64),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("type_code", c_uint8),
        ("type_bits", c_uint8),
        ("dimensions", c_uint16),
        ("shape", c_int64 * DIMENSIONS_MAX),
        ("strides", c_int64 * DIMENSIONS_MAX),
        ("host_stream", c_uint64),
    ]


_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "session_open": (POINTER(SessionOptions), POINTER(c_uint64)),
    "session_device": (c_uint64, POINTER(DeviceInfo)),
    "session_connect": (c_uint64, c_char_p, c_char_p, c_uint32, POINTER(Welcome)),
    "session_disconnect": (c_uint64,),
    "session_next_event": (c_uint64, c_uint32, POINTER(Event), c_void_p, c_size_t),
    "session_mark": (c_uint64,),
    "session_refill_done": (c_uint64, c_uint32),
    "session_give_back": (c_uint64, c_uint64, POINTER(c_uint64)),
    "session_keep": (c_uint64, c_uint64),
    "session_unkeep": (c_uint64, c_uint64),
    "session_return_extents": (c_uint64, c_void_p, c_size_t),
    "session_pause_releases": (c_uint64,),
    "session_resume_releases": (c_uint64,),
    "session_held": (c_uint64, c_void_p, c_size_t, POINTER(c_size_t)),
    "session_get_stats": (c_uint64, POINTER(SessionStats)),
    "session_close": (c_uint64,),
    "cache_create": (
        c_uint64,
        POINTER(CachePlan),
        POINTER(CacheOptions),
        POINTER(c_uint64),
        POINTER(c_uint64),
    ),
    "cache_allocate_warm": (c_uint64, c_uint32, POINTER(Allocation)),
    "cache_allocate": (c_uint64, c_uint32, c_uint32, c_int, POINTER(Allocation)),
    "cache_promise": (c_uint64, c_uint32, c_int),
    "cache_hurry": (c_uint64,),
    "cache_step": (c_uint64, c_void_p, c_size_t, POINTER(StepReport), c_void_p, c_void_p),
    "cache_step_slots": (
        c_uint64,
        c_void_p,
        c_void_p,
        c_size_t,
        POINTER(StepReport),
        c_void_p,
        c_void_p,
    ),
    "cache_free": (c_uint64, c_uint32, c_int, c_uint64),
    "cache_lengths": (c_uint64, c_void_p, c_size_t),
    "cache_length": (c_uint64, c_uint32, POINTER(c_uint32)),
    "cache_mapped_tokens": (c_uint64, c_uint32, POINTER(c_uint32)),
    "cache_write": (
        *(c_uint64, c_uint32, c_uint32, c_uint32, c_uint32),
        *(c_uint64, c_uint64, c_void_p, c_size_t),
    ),
    "cache_read": (
        *(c_uint64, c_uint32, c_uint32, c_uint32, c_uint32),
        *(c_uint64, c_uint64, c_void_p, c_size_t),
    ),
    "cache_get_stats": (c_uint64, POINTER(CacheStats)),
    "cache_destroy": (c_uint64,),
    "host_stream_create": (POINTER(c_uint64),),
    "host_stream_submit": (c_uint64,),
    "host_stream_complete": (c_uint64,),
    "host_stream_idle": (c_uint64, POINTER(c_int32)),
    "host_stream_destroy": (c_uint64,),
    "tensor_export": (POINTER(Tensor), POINTER(c_void_p)),
}


def _library_path() -> str:
    """``KVSPAN_LIBRARY``, else the library that came in the package."""
    given = os.environ.get("KVSPAN_LIBRARY")
    return given or str(Path(__file__).with_name("libkvspan.so"))


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL:
    """The library, of the ABI that this file is written for. DEVICE_UNAVAILABLE, PROTOCOL."""
    path = _library_path()
    try:
        library = ctypes.CDLL(path)
        version = library.kvspan_abi_version
    except (OSError, AttributeError) as cause:
        raise error("DEVICE_UNAVAILABLE", f"the native library cannot be used: {cause}") from cause
    version.restype = c_uint32
    if version() != ABI_VERSION:
        raise error("PROTOCOL", f"{path} has ABI {version()}, this package is for {ABI_VERSION}")
    for name, arguments in _SIGNATURES.items():
        function = getattr(library, f"kvspan_{name}")
        function.argtypes = (*arguments, POINTER(Error))
        function.restype = c_int
    library.kvspan_tensor_delete.argtypes = (c_void_p,)
    library.kvspan_tensor_delete.restype = None
    return library


def call(name: str, *arguments: Any) -> None:
    """Calls kvspan_``name``; its error is raised."""
    failure = Error()
    if getattr(load(), f"kvspan_{name}")(*arguments, ctypes.byref(failure)) != 0:
        raise raised(failure)


def raised(failure: Error) -> KvspanError:
    """The exception for what a call has filled in."""
    return error(
        failure.code.decode(),
        failure.message.decode("utf-8", "replace"),
        field=failure.field.decode("utf-8", "replace"),
    )


