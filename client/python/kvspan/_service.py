"""The daemon's unary calls: typed, with deadlines, their failures turned into exceptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from ._native import Plan
from .errors import Holder, KvspanError, error
from .geometry import Geometry
from .v1 import memory_pb2 as memory
from .v1 import types_pb2 as types

TOKEN_METADATA_KEY: Final = "kvspan-session-token-bin"
REFUSAL_METADATA_KEY: Final = "kvspan-refusal-bin"
_SERVICE: Final = "/kvspan.v1.MemoryService/"

# One connection that nobody shares; what is retried is decided here, not in a library. A daemon
# that is away is looked for by ourselves, so the channel need not back off for long.
_CHANNEL_OPTIONS: Final = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_channelz", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

_CODE_OF_STATUS: Final = {
    grpc.StatusCode.CANCELLED: "GRANT_CANCELLED",
    grpc.StatusCode.INVALID_ARGUMENT: "INVALID_ARGUMENT",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    grpc.StatusCode.PERMISSION_DENIED: "PERMISSION_DENIED",
    grpc.StatusCode.UNAVAILABLE: "DAEMON_UNAVAILABLE",
    grpc.StatusCode.UNAUTHENTICATED: "SESSION_UNKNOWN",
}

Answer = TypeVar("Answer", bound=Message)


class ExchangeCall(Protocol):
    """The stream's answers, one after the other; it can be cancelled from any thread."""

    def __iter__(self) -> Iterator[memory.ExchangeResponse]: ...
    def cancel(self) -> Any: ...


@dataclass(frozen=True)
class ServerInfo:
    """What the daemon serves, and its limits (proto GetServerInfoResponse)."""

    version: str
    backend: str
    ordinal: int
    device_name: str
    #: Empty on the host backend.
    uuid: str
    driver: str
    page_bytes: int
    #: Extents are ``page_bytes << order``, order 0 .. extent_order_max.
    extent_order_max: int
    pool_bytes: int
    #: The most that one session may hold.
    session_limit_bytes: int
    extents_per_grant_max: int
    grants_in_flight_max: int
    extent_socket: str


def decode_refusal(wire: types.Refusal) -> KvspanError:
    return error(
        wire.code,
        wire.message,
        field=wire.field,
        asked_bytes=wire.asked_bytes,
        free_bytes=wire.free_bytes,
        limit_bytes=wire.limit_bytes,
        holders=tuple(Holder(one.session_id, one.pid, one.held_bytes) for one in wire.holders),
    )


def error_of_call(failure: grpc.RpcError) -> KvspanError:
    """The refusal in the trailer if there is one (the daemon decided), else the status alone."""
    # A failed call is both: the error, and the call that can be asked why.
    call: Any = failure
    trailers = call.trailing_metadata() if hasattr(call, "trailing_metadata") else None
    for key, value in trailers or ():
        if key == REFUSAL_METADATA_KEY:
            try:
                return decode_refusal(types.Refusal.FromString(value))
            except Exception as cause:  # protobuf raises its own kinds
                return error("PROTOCOL", f"an unreadable refusal: {cause}")
    status = call.code() if hasattr(call, "code") else None
    details = call.details() if hasattr(call, "details") else str(failure)
    name = status.name if status is not None else "UNKNOWN"
    code = _CODE_OF_STATUS.get(status, "PROTOCOL") if status is not None else "PROTOCOL"
    return error(code, f"gRPC status {name}: {details}")


class Service:
    """A connection to the daemon's gRPC socket. Any method may be called from any thread."""

    def __init__(self, path: str) -> None:
        self._channel = grpc.insecure_channel(f"unix:{path}", options=_CHANNEL_OPTIONS)
        self._metadata: tuple[tuple[str, bytes], ...] = ()

    def authorise(self, token: bytes) -> None:
        """Every later call speaks for the session that this token belongs to."""
        self._metadata = ((TOKEN_METADATA_KEY, token),)

    def server_info(self, timeout: float) -> ServerInfo:
        request = memory.GetServerInfoRequest()
        return _server_info(self._call("GetServerInfo", request, memory.GetServerInfoResponse, timeout))

    def create_cache(
        self, geometry: Geometry, wanted_base: int, name: str, timeout: float
    ) -> tuple[int, Plan]:
        request = memory.CreateCacheRequest(
            geometry=geometry.wire(), wanted_base_address=wanted_base, name=name
        )
        answer = self._call("CreateCache", request, memory.CreateCacheResponse, timeout)
        plan = answer.plan
        return answer.cache_id, Plan(
            *(plan.base_address, plan.total_bytes, plan.lane_count),
            *(plan.row_bytes, plan.slot_stride_bytes, plan.lane_stride_bytes),
        )

    def place_cache(self, cache_id: int, base: int, timeout: float) -> None:
        request = memory.PlaceCacheRequest(cache_id=cache_id, actual_base_address=base)
        self._call("PlaceCache", request, memory.PlaceCacheResponse, timeout)

    def destroy_cache(self, cache_id: int, timeout: float) -> None:
        request = memory.DestroyCacheRequest(cache_id=cache_id)
        self._call("DestroyCache", request, memory.DestroyCacheResponse, timeout)

    def adopt(self, extents: list[tuple[int, int]], page_bytes: int, timeout: float) -> int:
        """All or nothing. Returns the bytes then on the session's account."""
        request = memory.AdoptRequest(
            extent_ids=[extent_id for extent_id, _ in extents],
            extent_orders=[(held // page_bytes).bit_length() - 1 for _, held in extents],
        )
        return self._call("Adopt", request, memory.AdoptResponse, timeout).held_bytes

    def give_back(self, extent_ids: Sequence[int], timeout: float) -> memory.ReturnResponse:
        """The stream's ``return`` without a stream. All or nothing."""
        request = memory.ReturnRequest(extent_ids=extent_ids)
        return self._call("Return", request, memory.ReturnResponse, timeout)

    def exchange(self, requests: Iterator[memory.ExchangeRequest]) -> ExchangeCall:
        stream = self._channel.stream_stream(
            _SERVICE + "Exchange",
            request_serializer=memory.ExchangeRequest.SerializeToString,
            response_deserializer=memory.ExchangeResponse.FromString,
        )
        call: ExchangeCall = stream(requests, metadata=self._metadata)
        return call

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: str, request: Message, answer: type[Answer], timeout: float) -> Answer:
        unary = self._channel.unary_unary(
            _SERVICE + method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            result: Answer = unary(request, timeout=timeout, metadata=self._metadata)
            return result
        except grpc.RpcError as failure:
            raise error_of_call(failure) from None
        except ValueError as failure:
            # A channel that another thread has closed.
            raise error("DAEMON_UNAVAILABLE", f"the connection was closed: {failure}") from None


def _server_info(wire: memory.GetServerInfoResponse) -> ServerInfo:
    device = wire.device
    if device.backend not in ("host", "cuda"):
        raise error("PROTOCOL", f"device.backend: got {device.backend!r}, allowed: host, cuda")
    return ServerInfo(
        version=wire.version,
        backend=device.backend,
        ordinal=device.ordinal,
        device_name=device.name,
        uuid=device.uuid,
        driver=device.driver,
        page_bytes=wire.page_bytes,
        extent_order_max=wire.extent_order_max,
        pool_bytes=wire.pool_bytes,
        session_limit_bytes=wire.session_limit_bytes,
        extents_per_grant_max=wire.extents_per_grant_max,
        grants_in_flight_max=wire.grants_in_flight_max,
        extent_socket=wire.extent_socket,
    )
