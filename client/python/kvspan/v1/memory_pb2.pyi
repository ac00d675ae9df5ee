from kvspan.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "device", "page_bytes", "extent_order_max", "pool_bytes", "session_limit_bytes", "extents_per_grant_max", "caches_per_session_max", "grants_in_flight_max", "address_plan_bytes", "extent_socket")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXTENT_ORDER_MAX_FIELD_NUMBER: _ClassVar[int]
    POOL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SESSION_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXTENTS_PER_GRANT_MAX_FIELD_NUMBER: _ClassVar[int]
    CACHES_PER_SESSION_MAX_FIELD_NUMBER: _ClassVar[int]
    GRANTS_IN_FLIGHT_MAX_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_PLAN_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXTENT_SOCKET_FIELD_NUMBER: _ClassVar[int]
    version: str
    device: _types_pb2.DeviceInfo
    page_bytes: int
    extent_order_max: int
    pool_bytes: int
    session_limit_bytes: int
    extents_per_grant_max: int
    caches_per_session_max: int
    grants_in_flight_max: int
    address_plan_bytes: int
    extent_socket: str
    def __init__(self, version: _Optional[str] = ..., device: _Optional[_Union[_types_pb2.DeviceInfo, _Mapping]] = ..., page_bytes: _Optional[int] = ..., extent_order_max: _Optional[int] = ..., pool_bytes: _Optional[int] = ..., session_limit_bytes: _Optional[int] = ..., extents_per_grant_max: _Optional[int] = ..., caches_per_session_max: _Optional[int] = ..., grants_in_flight_max: _Optional[int] = ..., address_plan_bytes: _Optional[int] = ..., extent_socket: _Optional[str] = ...) -> None: ...

class CreateCacheRequest(_message.Message):
    __slots__ = ("geometry", "wanted_base_address", "name")
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    WANTED_BASE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    geometry: _types_pb2.CacheGeometry
    wanted_base_address: int
    name: str
    def __init__(self, geometry: _Optional[_Union[_types_pb2.CacheGeometry, _Mapping]] = ..., wanted_base_address: _Optional[int] = ..., name: _Optional[str] = ...) -> None: ...

class CreateCacheResponse(_message.Message):
    __slots__ = ("cache_id", "plan")
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    cache_id: int
    plan: _types_pb2.CachePlan
    def __init__(self, cache_id: _Optional[int] = ..., plan: _Optional[_Union[_types_pb2.CachePlan, _Mapping]] = ...) -> None: ...

class PlaceCacheRequest(_message.Message):
    __slots__ = ("cache_id", "actual_base_address")
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_BASE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    cache_id: int
    actual_base_address: int
    def __init__(self, cache_id: _Optional[int] = ..., actual_base_address: _Optional[int] = ...) -> None: ...

class PlaceCacheResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DestroyCacheRequest(_message.Message):
    __slots__ = ("cache_id",)
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    cache_id: int
    def __init__(self, cache_id: _Optional[int] = ...) -> None: ...

class DestroyCacheResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AcquireRequest(_message.Message):
    __slots__ = ("grant_id", "order_counts", "minimum_bytes", "wait_ms", "promise_id")
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_COUNTS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    PROMISE_ID_FIELD_NUMBER: _ClassVar[int]
    grant_id: int
    order_counts: _containers.RepeatedScalarFieldContainer[int]
    minimum_bytes: int
    wait_ms: int
    promise_id: int
    def __init__(self, grant_id: _Optional[int] = ..., order_counts: _Optional[_Iterable[int]] = ..., minimum_bytes: _Optional[int] = ..., wait_ms: _Optional[int] = ..., promise_id: _Optional[int] = ...) -> None: ...

class ReserveRequest(_message.Message):
    __slots__ = ("promise_id", "cache_id", "tokens_count", "overread_tokens_count", "mapped_bytes", "wait_ms", "lapse_ms")
    PROMISE_ID_FIELD_NUMBER: _ClassVar[int]
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    TOKENS_COUNT_FIELD_NUMBER: _ClassVar[int]
    OVERREAD_TOKENS_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAPPED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    LAPSE_MS_FIELD_NUMBER: _ClassVar[int]
    promise_id: int
    cache_id: int
    tokens_count: int
    overread_tokens_count: int
    mapped_bytes: int
    wait_ms: int
    lapse_ms: int
    def __init__(self, promise_id: _Optional[int] = ..., cache_id: _Optional[int] = ..., tokens_count: _Optional[int] = ..., overread_tokens_count: _Optional[int] = ..., mapped_bytes: _Optional[int] = ..., wait_ms: _Optional[int] = ..., lapse_ms: _Optional[int] = ...) -> None: ...

class ReserveResponse(_message.Message):
    __slots__ = ("promised",)
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    promised: Promised
    def __init__(self, promised: _Optional[_Union[Promised, _Mapping]] = ...) -> None: ...

class Promised(_message.Message):
    __slots__ = ("promise_id", "promised_bytes")
    PROMISE_ID_FIELD_NUMBER: _ClassVar[int]
    PROMISED_BYTES_FIELD_NUMBER: _ClassVar[int]
    promise_id: int
    promised_bytes: int
    def __init__(self, promise_id: _Optional[int] = ..., promised_bytes: _Optional[int] = ...) -> None: ...

class UpdatePromiseRequest(_message.Message):
    __slots__ = ("promise_id", "left_bytes")
    PROMISE_ID_FIELD_NUMBER: _ClassVar[int]
    LEFT_BYTES_FIELD_NUMBER: _ClassVar[int]
    promise_id: int
    left_bytes: int
    def __init__(self, promise_id: _Optional[int] = ..., left_bytes: _Optional[int] = ...) -> None: ...

class UpdatePromiseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PromiseCut(_message.Message):
    __slots__ = ("promise_id", "left_bytes", "reason")
    PROMISE_ID_FIELD_NUMBER: _ClassVar[int]
    LEFT_BYTES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    promise_id: int
    left_bytes: int
    reason: str
    def __init__(self, promise_id: _Optional[int] = ..., left_bytes: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class AcquireResponse(_message.Message):
    __slots__ = ("grant",)
    GRANT_FIELD_NUMBER: _ClassVar[int]
    grant: Grant
    def __init__(self, grant: _Optional[_Union[Grant, _Mapping]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("grant_id", "extent_count", "granted_bytes", "held_bytes")
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    EXTENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    GRANTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    grant_id: int
    extent_count: int
    granted_bytes: int
    held_bytes: int
    def __init__(self, grant_id: _Optional[int] = ..., extent_count: _Optional[int] = ..., granted_bytes: _Optional[int] = ..., held_bytes: _Optional[int] = ...) -> None: ...

class ReturnRequest(_message.Message):
    __slots__ = ("extent_ids",)
    EXTENT_IDS_FIELD_NUMBER: _ClassVar[int]
    extent_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, extent_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ReturnResponse(_message.Message):
    __slots__ = ("extent_count", "returned_bytes", "held_bytes")
    EXTENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    RETURNED_BYTES_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    extent_count: int
    returned_bytes: int
    held_bytes: int
    def __init__(self, extent_count: _Optional[int] = ..., returned_bytes: _Optional[int] = ..., held_bytes: _Optional[int] = ...) -> None: ...

class AdoptRequest(_message.Message):
    __slots__ = ("extent_ids", "extent_orders")
    EXTENT_IDS_FIELD_NUMBER: _ClassVar[int]
    EXTENT_ORDERS_FIELD_NUMBER: _ClassVar[int]
    extent_ids: _containers.RepeatedScalarFieldContainer[int]
    extent_orders: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, extent_ids: _Optional[_Iterable[int]] = ..., extent_orders: _Optional[_Iterable[int]] = ...) -> None: ...

class AdoptResponse(_message.Message):
    __slots__ = ("held_bytes",)
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    held_bytes: int
    def __init__(self, held_bytes: _Optional[int] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("grant_id",)
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    grant_id: int
    def __init__(self, grant_id: _Optional[int] = ...) -> None: ...

class ExchangeRequest(_message.Message):
    __slots__ = ("request_id", "acquire", "cancel", "reclaim_report", "reserve", "promise")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACQUIRE_FIELD_NUMBER: _ClassVar[int]
    RETURN_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    RECLAIM_REPORT_FIELD_NUMBER: _ClassVar[int]
    RESERVE_FIELD_NUMBER: _ClassVar[int]
    PROMISE_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    acquire: AcquireRequest
    cancel: CancelRequest
    reclaim_report: ReclaimReport
    reserve: ReserveRequest
    promise: UpdatePromiseRequest
    def __init__(self, request_id: _Optional[int] = ..., acquire: _Optional[_Union[AcquireRequest, _Mapping]] = ..., cancel: _Optional[_Union[CancelRequest, _Mapping]] = ..., reclaim_report: _Optional[_Union[ReclaimReport, _Mapping]] = ..., reserve: _Optional[_Union[ReserveRequest, _Mapping]] = ..., promise: _Optional[_Union[UpdatePromiseRequest, _Mapping]] = ..., **kwargs) -> None: ...

class ExchangeResponse(_message.Message):
    __slots__ = ("request_id", "grant", "returned", "refusal", "reclaim", "draining", "cancelled", "ready", "reclaim_noted", "promised", "promise_noted", "promise_cut")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    RECLAIM_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    RECLAIM_NOTED_FIELD_NUMBER: _ClassVar[int]
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    PROMISE_NOTED_FIELD_NUMBER: _ClassVar[int]
    PROMISE_CUT_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    grant: Grant
    returned: ReturnResponse
    refusal: _types_pb2.Refusal
    reclaim: Reclaim
    draining: Draining
    cancelled: CancelResponse
    ready: Ready
    reclaim_noted: ReclaimReportResponse
    promised: Promised
    promise_noted: UpdatePromiseResponse
    promise_cut: PromiseCut
    def __init__(self, request_id: _Optional[int] = ..., grant: _Optional[_Union[Grant, _Mapping]] = ..., returned: _Optional[_Union[ReturnResponse, _Mapping]] = ..., refusal: _Optional[_Union[_types_pb2.Refusal, _Mapping]] = ..., reclaim: _Optional[_Union[Reclaim, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ..., cancelled: _Optional[_Union[CancelResponse, _Mapping]] = ..., ready: _Optional[_Union[Ready, _Mapping]] = ..., reclaim_noted: _Optional[_Union[ReclaimReportResponse, _Mapping]] = ..., promised: _Optional[_Union[Promised, _Mapping]] = ..., promise_noted: _Optional[_Union[UpdatePromiseResponse, _Mapping]] = ..., promise_cut: _Optional[_Union[PromiseCut, _Mapping]] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("session_id", "held_bytes", "limit_bytes")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    held_bytes: int
    limit_bytes: int
    def __init__(self, session_id: _Optional[int] = ..., held_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ("cancelled",)
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    cancelled: bool
    def __init__(self, cancelled: bool = ...) -> None: ...

class Reclaim(_message.Message):
    __slots__ = ("reclaim_id", "wanted_bytes", "deadline_ms", "idle_only")
    RECLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    WANTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    IDLE_ONLY_FIELD_NUMBER: _ClassVar[int]
    reclaim_id: int
    wanted_bytes: int
    deadline_ms: int
    idle_only: bool
    def __init__(self, reclaim_id: _Optional[int] = ..., wanted_bytes: _Optional[int] = ..., deadline_ms: _Optional[int] = ..., idle_only: bool = ...) -> None: ...

class ReclaimReport(_message.Message):
    __slots__ = ("reclaim_id", "returned_bytes")
    RECLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    RETURNED_BYTES_FIELD_NUMBER: _ClassVar[int]
    reclaim_id: int
    returned_bytes: int
    def __init__(self, reclaim_id: _Optional[int] = ..., returned_bytes: _Optional[int] = ...) -> None: ...

class ReclaimReportResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Draining(_message.Message):
    __slots__ = ("deadline_ms",)
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    deadline_ms: int
    def __init__(self, deadline_ms: _Optional[int] = ...) -> None: ...
