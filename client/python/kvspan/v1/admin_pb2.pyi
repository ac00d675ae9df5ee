from kvspan.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_OPEN: _ClassVar[SessionState]
    SESSION_STATE_LINGERING: _ClassVar[SessionState]
    SESSION_STATE_EVICTED: _ClassVar[SessionState]
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_OPEN: SessionState
SESSION_STATE_LINGERING: SessionState
SESSION_STATE_EVICTED: SessionState

class GetPoolRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPoolResponse(_message.Message):
    __slots__ = ("device", "pool_bytes", "used_bytes", "free_bytes", "extent_count", "session_count", "cache_count", "waiting_grant_count", "waiting_bytes", "granted_total_count", "refused_total_count", "uptime_ms", "version", "granted_total_bytes", "returned_total_bytes", "promised_bytes", "device_check")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    POOL_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXTENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SESSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    CACHE_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_GRANT_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_BYTES_FIELD_NUMBER: _ClassVar[int]
    GRANTED_TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    UPTIME_MS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GRANTED_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    RETURNED_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROMISED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_CHECK_FIELD_NUMBER: _ClassVar[int]
    device: _types_pb2.DeviceInfo
    pool_bytes: int
    used_bytes: int
    free_bytes: int
    extent_count: int
    session_count: int
    cache_count: int
    waiting_grant_count: int
    waiting_bytes: int
    granted_total_count: int
    refused_total_count: int
    uptime_ms: int
    version: str
    granted_total_bytes: int
    returned_total_bytes: int
    promised_bytes: int
    device_check: DeviceCheck
    def __init__(self, device: _Optional[_Union[_types_pb2.DeviceInfo, _Mapping]] = ..., pool_bytes: _Optional[int] = ..., used_bytes: _Optional[int] = ..., free_bytes: _Optional[int] = ..., extent_count: _Optional[int] = ..., session_count: _Optional[int] = ..., cache_count: _Optional[int] = ..., waiting_grant_count: _Optional[int] = ..., waiting_bytes: _Optional[int] = ..., granted_total_count: _Optional[int] = ..., refused_total_count: _Optional[int] = ..., uptime_ms: _Optional[int] = ..., version: _Optional[str] = ..., granted_total_bytes: _Optional[int] = ..., returned_total_bytes: _Optional[int] = ..., promised_bytes: _Optional[int] = ..., device_check: _Optional[_Union[DeviceCheck, _Mapping]] = ...) -> None: ...

class DeviceCheck(_message.Message):
    __slots__ = ("look_count", "age_ms", "unavailable", "device_used_bytes", "device_free_bytes", "granted_bytes", "held_bytes", "foreign_bytes", "missing_bytes", "uncharged_bytes", "short_bytes", "differences")
    LOOK_COUNT_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    GRANTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_BYTES_FIELD_NUMBER: _ClassVar[int]
    MISSING_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNCHARGED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHORT_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    look_count: int
    age_ms: int
    unavailable: str
    device_used_bytes: int
    device_free_bytes: int
    granted_bytes: int
    held_bytes: int
    foreign_bytes: int
    missing_bytes: int
    uncharged_bytes: int
    short_bytes: int
    differences: _containers.RepeatedCompositeFieldContainer[ProcessDifference]
    def __init__(self, look_count: _Optional[int] = ..., age_ms: _Optional[int] = ..., unavailable: _Optional[str] = ..., device_used_bytes: _Optional[int] = ..., device_free_bytes: _Optional[int] = ..., granted_bytes: _Optional[int] = ..., held_bytes: _Optional[int] = ..., foreign_bytes: _Optional[int] = ..., missing_bytes: _Optional[int] = ..., uncharged_bytes: _Optional[int] = ..., short_bytes: _Optional[int] = ..., differences: _Optional[_Iterable[_Union[ProcessDifference, _Mapping]]] = ...) -> None: ...

class ProcessDifference(_message.Message):
    __slots__ = ("pid", "charged_bytes", "found_bytes")
    PID_FIELD_NUMBER: _ClassVar[int]
    CHARGED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FOUND_BYTES_FIELD_NUMBER: _ClassVar[int]
    pid: int
    charged_bytes: int
    found_bytes: int
    def __init__(self, pid: _Optional[int] = ..., charged_bytes: _Optional[int] = ..., found_bytes: _Optional[int] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("session_id", "pid", "uid", "gid", "name", "state", "held_bytes", "limit_bytes", "extent_count", "cache_count", "waiting_grant_count", "age_ms", "tenant", "overdue_count", "served_last", "promised_bytes", "promise_count")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXTENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CACHE_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_GRANT_COUNT_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SERVED_LAST_FIELD_NUMBER: _ClassVar[int]
    PROMISED_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROMISE_COUNT_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    pid: int
    uid: int
    gid: int
    name: str
    state: SessionState
    held_bytes: int
    limit_bytes: int
    extent_count: int
    cache_count: int
    waiting_grant_count: int
    age_ms: int
    tenant: str
    overdue_count: int
    served_last: bool
    promised_bytes: int
    promise_count: int
    def __init__(self, session_id: _Optional[int] = ..., pid: _Optional[int] = ..., uid: _Optional[int] = ..., gid: _Optional[int] = ..., name: _Optional[str] = ..., state: _Optional[_Union[SessionState, str]] = ..., held_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., extent_count: _Optional[int] = ..., cache_count: _Optional[int] = ..., waiting_grant_count: _Optional[int] = ..., age_ms: _Optional[int] = ..., tenant: _Optional[str] = ..., overdue_count: _Optional[int] = ..., served_last: bool = ..., promised_bytes: _Optional[int] = ..., promise_count: _Optional[int] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionInfo]
    def __init__(self, sessions: _Optional[_Iterable[_Union[SessionInfo, _Mapping]]] = ...) -> None: ...

class ListTenantsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TenantEntitlement(_message.Message):
    __slots__ = ("guaranteed_bytes", "limit_bytes", "weight", "held")
    GUARANTEED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    guaranteed_bytes: int
    limit_bytes: int
    weight: int
    held: bool
    def __init__(self, guaranteed_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., weight: _Optional[int] = ..., held: bool = ...) -> None: ...

class TenantInfo(_message.Message):
    __slots__ = ("name", "entitlement", "held_bytes", "borrowed_bytes", "session_count", "waiting_grant_count", "overdue_count", "promised_bytes", "evicted_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENTITLEMENT_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    BORROWED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SESSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_GRANT_COUNT_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PROMISED_BYTES_FIELD_NUMBER: _ClassVar[int]
    EVICTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    entitlement: TenantEntitlement
    held_bytes: int
    borrowed_bytes: int
    session_count: int
    waiting_grant_count: int
    overdue_count: int
    promised_bytes: int
    evicted_bytes: int
    def __init__(self, name: _Optional[str] = ..., entitlement: _Optional[_Union[TenantEntitlement, _Mapping]] = ..., held_bytes: _Optional[int] = ..., borrowed_bytes: _Optional[int] = ..., session_count: _Optional[int] = ..., waiting_grant_count: _Optional[int] = ..., overdue_count: _Optional[int] = ..., promised_bytes: _Optional[int] = ..., evicted_bytes: _Optional[int] = ...) -> None: ...

class ListTenantsResponse(_message.Message):
    __slots__ = ("tenants", "revision")
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[TenantInfo]
    revision: int
    def __init__(self, tenants: _Optional[_Iterable[_Union[TenantInfo, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class SetTenantRequest(_message.Message):
    __slots__ = ("name", "revision", "entitlement")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ENTITLEMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    entitlement: TenantEntitlement
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ..., entitlement: _Optional[_Union[TenantEntitlement, _Mapping]] = ...) -> None: ...

class SetTenantResponse(_message.Message):
    __slots__ = ("tenant", "revision")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant: TenantInfo
    revision: int
    def __init__(self, tenant: _Optional[_Union[TenantInfo, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class EvictSessionRequest(_message.Message):
    __slots__ = ("session_id", "kill")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    kill: bool
    def __init__(self, session_id: _Optional[int] = ..., kill: bool = ...) -> None: ...

class EvictSessionResponse(_message.Message):
    __slots__ = ("session", "killed")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    KILLED_FIELD_NUMBER: _ClassVar[int]
    session: SessionInfo
    killed: bool
    def __init__(self, session: _Optional[_Union[SessionInfo, _Mapping]] = ..., killed: bool = ...) -> None: ...

class ListCachesRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    def __init__(self, session_id: _Optional[int] = ...) -> None: ...

class CacheInfo(_message.Message):
    __slots__ = ("cache_id", "session_id", "name", "geometry", "plan")
    CACHE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    cache_id: int
    session_id: int
    name: str
    geometry: _types_pb2.CacheGeometry
    plan: _types_pb2.CachePlan
    def __init__(self, cache_id: _Optional[int] = ..., session_id: _Optional[int] = ..., name: _Optional[str] = ..., geometry: _Optional[_Union[_types_pb2.CacheGeometry, _Mapping]] = ..., plan: _Optional[_Union[_types_pb2.CachePlan, _Mapping]] = ...) -> None: ...

class ListCachesResponse(_message.Message):
    __slots__ = ("caches",)
    CACHES_FIELD_NUMBER: _ClassVar[int]
    caches: _containers.RepeatedCompositeFieldContainer[CacheInfo]
    def __init__(self, caches: _Optional[_Iterable[_Union[CacheInfo, _Mapping]]] = ...) -> None: ...
