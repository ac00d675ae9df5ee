"""Hugging Face Transformers on kvspan memory: a ``Cache`` that appends in place.

    from kvspan.transformers import KvspanCache

    with kvspan.connect() as session, KvspanCache(session, model.config) as past:
        model.generate(**inputs, past_key_values=past)

No concatenation (which copies all keys and values for every token) and no preallocation of the
longest length: memory is mapped as the sequences grow. Attention sees strided views
``[batch, kv_heads, tokens, head_dim]`` of it. Batches of unequal lengths are padded and masked, as
Transformers does it with every cache. For inference: no gradient flows through the cache.

Importing this needs torch and transformers (``pip install kvspan[transformers]``).
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from . import _validate as validate
from .cache import Cache as SlotCache
from .errors import bad_field, error
from .session import Session

_MAX_TOKENS_FIELD: Final = "max_position_embeddings"


class KvspanCache(Cache):  # type: ignore[misc, unused-ignore]
    """Drop-in for ``generate(past_key_values=...)``; a context manager.

    Args:
        session: of a daemon that serves the model's device (the host backend for CPU models).
        config: the model's; says how many layers there are.
        max_tokens: the longest sequence; default: the model's ``max_position_embeddings``. Costs
            addresses only.
        wait: seconds that growing may wait for memory; default: the session's ``grant_wait``.

    ``update`` raises :class:`kvspan.OutOfMemory` if the batch cannot grow; nothing is written then.
    Tensors that it gave out must not be used after ``close``.
    """

    def __init__(
        self,
        session: Session,
        config: Any,
        *,
        max_tokens: int | None = None,
        wait: float | None = None,
    ) -> None:
        text = config.get_text_config(decoder=True)
        limit = getattr(text, _MAX_TOKENS_FIELD, None) if max_tokens is None else max_tokens
        self.max_tokens = validate.count("max_tokens", limit)
        self._session = session
        self._wait = wait
        self._cache: SlotCache | None = None
        self._slots: list[int] = []
        #: Batch, heads, head dim and dtype that the cache behind it was made for.
        self._shape: tuple[int, int, int, Any] | None = None
        super().__init__(layers=[_Layer(self, index) for index in range(text.num_hidden_layers)])

    @property
    def cache(self) -> SlotCache | None:
        """The kvspan cache behind it; None before the first ``update``."""
        return self._cache

    def close(self) -> None:
        """Gives the memory back. Idempotent; the next ``update`` begins anew."""
        for layer in self.layers:
            layer.forget()
        self._slots = []
        cache, self._cache = self._cache, None
        if cache is not None:
            cache.close()

    def __enter__(self) -> KvspanCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def grow(self, states: torch.Tensor, length: int) -> SlotCache:
        """Makes room for ``length`` tokens of each sequence; ``states`` are the first that come."""
        if length > self.max_tokens:
            raise bad_field("key_states", f"{length} tokens in all", f"at most {self.max_tokens}")
        if self._cache is not None and self._slots and len(self._slots) != states.shape[0]:
            raise bad_field(
                "key_states",
                f"a batch of {states.shape[0]}",
                f"{len(self._slots)} sequences until reset()",
            )
        if not self._slots:
            return self._begin(states, length)
        assert self._cache is not None
        present = self._cache.length(self._slots[0])
        if length > present:
            self._step(length, present)
        return self._cache

    def shrunk(self) -> None:
        """A layer has fewer tokens: the sequences are as long as the longest layer still is."""
        length = max(layer.length for layer in self.layers)
        if self._cache is None or not self._slots:
            return
        if length > 0:
            self._cache.step({slot: length for slot in self._slots})
            return
        for slot in self._slots:
            self._cache.free(slot)
        self._slots = []

    def _begin(self, states: torch.Tensor, length: int) -> SlotCache:
        batch, heads, _, head_dim = states.shape
        wanted = (batch, heads, head_dim, states.dtype)
        cache = self._cache
        if cache is not None and wanted != self._shape:
            # Addresses only: the memory that it held serves the next one.
            self.close()
            cache = None
        if cache is None:
            cache = self._session.create_cache(
                *(len(self.layers), heads, head_dim, states.dtype, batch, self.max_tokens),
                device=states.device,
                name="transformers",
            )
            self._cache, self._shape = cache, wanted
        slots: list[int] = []
        try:
            for _ in range(batch):
                slots.append(cache.allocate(length, wait=self._wait))
        except BaseException:
            for slot in slots:
                cache.free(slot)
            raise
        # All slots of the cache, so that row and slot have the same number.
        self._slots = sorted(slots)
        return cache

    def _step(self, length: int, present: int) -> None:
        assert self._cache is not None
        result = self._cache.step({slot: length for slot in self._slots}, wait=self._wait)
        if not result.short_slots:
            return
        self._cache.step({slot: present for slot in self._slots})
        raise error(
            "POOL_EXHAUSTED",
            f"{len(result.short_slots)} of {len(self._slots)} sequences cannot grow to {length} tokens",
        )


class _Layer(CacheLayerMixin):  # type: ignore[misc, unused-ignore]
    """One layer's keys and values: views of the cache's, as far as this layer has been filled."""

    is_sliding = False
    is_compileable = False
    is_croppable = True
    supports_early_init = False

    def __init__(self, owner: KvspanCache, index: int) -> None:
        super().__init__()
        self._owner = owner
        self._index = index
        self._of: SlotCache | None = None
        self._whole: tuple[Any, Any] | None = None
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Everything that there is to do is done by ``update``, which knows the length."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends ``[batch, kv_heads, tokens, head_dim]`` in place and returns all so far."""
        if key_states.shape != value_states.shape:
            raise bad_field(
                "value_states", f"shape {list(value_states.shape)}", f"{list(key_states.shape)}"
            )
        first, length = self.length, self.length + key_states.shape[-2]
        cache = self._owner.grow(key_states, length)
        if self._of is not cache or self._whole is None:
            self._of = cache
            self._whole = (
                cache.k(self._index, framework="torch"),
                cache.v(self._index, framework="torch"),
            )
        with torch.no_grad():
            for whole, states in zip(self._whole, (key_states, value_states)):
                whole[:, first:length] = states.transpose(1, 2)
            self._show(length)
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def _show(self, length: int) -> None:
        self.length = length
        self.is_initialized = length > 0
        self.keys = self.values = None
        if length > 0 and self._whole is not None:
            self.keys, self.values = (
                whole[:, :length].transpose(1, 2) for whole in self._whole
            )

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        """Length of keys and offset; older versions give the positions of the queries."""
        queries = query_length if isinstance(query_length, int) else query_length.shape[0]
        return self.length + queries, 0

    def get_seq_length(self, *_: object) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1

    def get_max_cache_shape(self) -> int:
        return -1

    def crop(self, tokens: int) -> None:
        """Negative: removes so many; positive (as older versions have it): keeps so many."""
        kept = self.length + tokens if tokens < 0 else tokens or self.length
        self._show(max(0, min(self.length, kept)))
        self._owner.shrunk()

    def reset(self) -> None:
        self._show(0)
        self._owner.shrunk()

    def forget(self) -> None:
        self._show(0)
        self._of = self._whole = None

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Beam search: rows take over one another's contents, within the memory that they have."""
        if self.keys is None or self.values is None:
            return
        for rows in (self.keys, self.values):
            rows.copy_(rows.index_select(0, beam_idx.to(rows.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        raise bad_field("repeats", repeats, "none: the batch of this cache stays as it began")

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        raise bad_field("indices", indices, "none: the batch of this cache stays as it began")

    def offload(self) -> None:
        raise error("INVALID_ARGUMENT", "offloading: got True, allowed: False", field="offloading")
