"""Making a cache: the daemon plans its addresses, the native core reserves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from . import _validate as validate
from ._native import NativeCache, NativeSession, Plan
from ._span_need import SpanNeed
from ._step import device_matches
from .cache import Cache
from .errors import KvspanError, bad_field
from .geometry import Geometry, check_geometry

if TYPE_CHECKING:
    from .session import Session

_PLAN_SIZES: Final = (
    *("total_bytes", "lane_count", "row_bytes"),
    *("slot_stride_bytes", "lane_stride_bytes"),
)


def open_cache(
    session: Session,
    memory: NativeSession,
    *,
    geometry: Mapping[str, Any],
    device: object,
    name: object,
    wanted_base_address: object,
    growth: object,
    lookahead_tokens: object,
    overread_tokens: object,
) -> Cache:
    """:meth:`Session.create_cache`, once it is known to be open."""
    checked = check_geometry(**geometry)
    device_matches(device, session.server.backend, session.ordinal)
    checked_name = validate.name("name", name)
    options = (
        validate.one_of("growth", growth, ("geometric", "linear")),
        validate.count("lookahead_tokens", lookahead_tokens, 0),
        validate.count("overread_tokens", overread_tokens, 0),
    )
    wanted = validate.size("wanted_base_address", wanted_base_address)
    checked = replace(checked, slack_tokens=options[2])
    page = session.server.page_bytes
    if wanted % page != 0:
        raise bad_field("wanted_base_address", wanted, f"a multiple of {page}")
    return _open(session, memory, checked, checked_name, wanted, options)


def _open(
    session: Session,
    memory: NativeSession,
    geometry: Geometry,
    name: str,
    wanted: int,
    options: tuple[str, int, int],
) -> Cache:
    service = session.link("Session.create_cache").service
    cache_id, plan = service.create_cache(geometry, wanted, name, session.timeout)
    native: NativeCache | None = None
    try:
        native = memory.create_cache(plan, geometry.slots, geometry.max_tokens, *options)
        if native.base != plan.base_address:
            service.place_cache(cache_id, native.base, session.timeout)
        placed = Plan(native.base, *(getattr(plan, field) for field in _PLAN_SIZES))
        growth, lookahead_tokens, overread_tokens = options
        page = session.server.page_bytes
        need = SpanNeed(placed, page, overread_tokens, growth == "linear")
        return Cache(session, native, cache_id, name, geometry, placed, need, lookahead_tokens)
    except BaseException:
        # Nobody will ever have it, so it must not be made again with the session either.
        if native is not None:
            native.destroy()
        try:
            service.destroy_cache(cache_id, session.timeout)
        except KvspanError:
            # The daemon forgets it with the session.
            pass
        raise
