from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Layout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAYOUT_UNSPECIFIED: _ClassVar[Layout]
    LAYOUT_TOKEN_MAJOR: _ClassVar[Layout]
    LAYOUT_LAYER_MAJOR: _ClassVar[Layout]
    LAYOUT_LATENT: _ClassVar[Layout]

class Dtype(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[Dtype]
    DTYPE_BF16: _ClassVar[Dtype]
    DTYPE_FP16: _ClassVar[Dtype]
    DTYPE_FP32: _ClassVar[Dtype]
    DTYPE_FP8_E4M3: _ClassVar[Dtype]
    DTYPE_FP8_E5M2: _ClassVar[Dtype]
LAYOUT_UNSPECIFIED: Layout
LAYOUT_TOKEN_MAJOR: Layout
LAYOUT_LAYER_MAJOR: Layout
LAYOUT_LATENT: Layout
DTYPE_UNSPECIFIED: Dtype
DTYPE_BF16: Dtype
DTYPE_FP16: Dtype
DTYPE_FP32: Dtype
DTYPE_FP8_E4M3: Dtype
DTYPE_FP8_E5M2: Dtype

class DeviceInfo(_message.Message):
    __slots__ = ("backend", "ordinal", "name", "uuid", "driver", "total_bytes")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    backend: str
    ordinal: int
    name: str
    uuid: str
    driver: str
    total_bytes: int
    def __init__(self, backend: _Optional[str] = ..., ordinal: _Optional[int] = ..., name: _Optional[str] = ..., uuid: _Optional[str] = ..., driver: _Optional[str] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class CacheGeometry(_message.Message):
    __slots__ = ("layout", "layers_count", "kv_heads_count", "head_dim_count", "dtype", "slots_count", "max_tokens_count")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    LAYERS_COUNT_FIELD_NUMBER: _ClassVar[int]
    KV_HEADS_COUNT_FIELD_NUMBER: _ClassVar[int]
    HEAD_DIM_COUNT_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_COUNT_FIELD_NUMBER: _ClassVar[int]
    layout: Layout
    layers_count: int
    kv_heads_count: int
    head_dim_count: int
    dtype: Dtype
    slots_count: int
    max_tokens_count: int
    def __init__(self, layout: _Optional[_Union[Layout, str]] = ..., layers_count: _Optional[int] = ..., kv_heads_count: _Optional[int] = ..., head_dim_count: _Optional[int] = ..., dtype: _Optional[_Union[Dtype, str]] = ..., slots_count: _Optional[int] = ..., max_tokens_count: _Optional[int] = ...) -> None: ...

class CachePlan(_message.Message):
    __slots__ = ("base_address", "total_bytes", "lane_count", "row_bytes", "slot_stride_bytes", "lane_stride_bytes")
    BASE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    LANE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ROW_BYTES_FIELD_NUMBER: _ClassVar[int]
    SLOT_STRIDE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LANE_STRIDE_BYTES_FIELD_NUMBER: _ClassVar[int]
    base_address: int
    total_bytes: int
    lane_count: int
    row_bytes: int
    slot_stride_bytes: int
    lane_stride_bytes: int
    def __init__(self, base_address: _Optional[int] = ..., total_bytes: _Optional[int] = ..., lane_count: _Optional[int] = ..., row_bytes: _Optional[int] = ..., slot_stride_bytes: _Optional[int] = ..., lane_stride_bytes: _Optional[int] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "message", "field", "retryable", "asked_bytes", "free_bytes", "limit_bytes", "holders")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    ASKED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    field: str
    retryable: bool
    asked_bytes: int
    free_bytes: int
    limit_bytes: int
    holders: _containers.RepeatedCompositeFieldContainer[Holder]
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retryable: bool = ..., asked_bytes: _Optional[int] = ..., free_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., holders: _Optional[_Iterable[_Union[Holder, _Mapping]]] = ...) -> None: ...

class Holder(_message.Message):
    __slots__ = ("session_id", "pid", "held_bytes")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    pid: int
    held_bytes: int
    def __init__(self, session_id: _Optional[int] = ..., pid: _Optional[int] = ..., held_bytes: _Optional[int] = ...) -> None: ...
