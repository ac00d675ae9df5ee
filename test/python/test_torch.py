"""PyTorch on spans: tensors, its own attention, and Hugging Face's generate. Skipped where torch is
not installed: its wheel brings gigabytes of CUDA libraries."""

from __future__ import annotations

import gc
from typing import Any

import kvspan
import pytest
from support import PAGE, SMALL, Daemon

try:
    import torch
except ImportError:
    torch = None

pytestmark = pytest.mark.skipif(torch is None, reason="torch is not installed")


def test_a_layer_is_a_torch_tensor_over_the_span(cache: kvspan.Cache) -> None:
    slot = cache.allocate(5)
    k = cache.k(0, framework="torch")
    assert k.shape == (8, 4096, 8, 64)
    assert k.data_ptr() == cache.view("key", 0).address
    assert k.stride() == cache.view("key", 0).strides
    k[slot, :5] = 3
    assert cache.k(0, slot).sum() == 3 * 5 * 8 * 64
    assert cache.k(0, slot, framework="torch").shape == (5, 8, 64)


def test_printing_a_whole_layer_touches_nothing(cache: kvspan.Cache) -> None:
    cache.allocate(1)
    k = cache.k(0, framework="torch")
    for text in (repr(k), str(k), f"{k}"):
        assert "key of layer 0" in text
    assert type(k[0, :1]) is torch.Tensor


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        *(("bf16", "bfloat16"), ("fp16", "float16"), ("fp32", "float32")),
        *(("fp8-e4m3", "float8_e4m3fn"), ("fp8-e5m2", "float8_e5m2")),
    ],
)
def test_every_dtype_is_torchs_own(session: kvspan.Session, dtype: str, wanted: str) -> None:
    with session.create_cache(2, 2, 64, getattr(torch, wanted), 2, 512) as cache:
        assert cache.geometry.dtype == dtype
        slot = cache.allocate(4)
        k = cache.k(1, slot, framework="torch")
        assert k.dtype is getattr(torch, wanted)
        k.copy_(torch.ones(4, 2, 64))
        assert (cache.k(1, framework="torch")[slot, :4].float() == 1).all()
        del k
        gc.collect()


def test_dlpack_gives_the_same_memory(cache: kvspan.Cache) -> None:
    slot = cache.allocate(4)
    k = torch.from_dlpack(cache.view("key", 2, slot))
    k += 2
    assert (cache.k(2, slot) == 2).all()
    assert cache.borrowed
    del k
    gc.collect()
    assert not cache.borrowed


def test_lengths_as_a_tensor(cache: kvspan.Cache) -> None:
    slot = cache.allocate(4)
    for dtype in (torch.int32, torch.int64):
        lengths = torch.zeros(8, dtype=dtype)
        lengths[slot] = cache.length(slot) + 1
        cache.step(lengths)
    assert cache.length(slot) == 6
    with pytest.raises(kvspan.InvalidArgument) as caught:
        cache.step(torch.zeros(8))
    assert caught.value.field == "lengths"


def test_index_arrays_of_a_device_follow_by_one_copy(
    cache: kvspan.Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device's side of Ragged, with the CPU for a device."""
    from kvspan import ragged as module

    twins, pins = module._twins, []
    monkeypatch.setattr(module, "_twins", lambda whole, sizes, _: twins(whole.copy(), sizes, "cpu"))
    monkeypatch.setattr(module, "_pinned", lambda array: pins.append(1) or torch.tensor(array))
    monkeypatch.setattr(kvspan.Cache, "backend", "cuda")
    ragged = cache.ragged()
    slot, other = cache.allocate(10), cache.allocate(700)
    pins.clear()
    cache.step({slot: 11})
    assert len(pins) == 1
    for change in (lambda: ragged.set_query_lengths({other: 5}), lambda: cache.step({other: 701})):
        change()
        for name, array in ragged.host.items():
            assert getattr(ragged, name).dtype == torch.int32
            assert getattr(ragged, name).tolist() == array.tolist(), name
    assert ragged.seqused_k.tolist()[:2] == [11, 701]
    # Not the host's own memory: a device has another.
    assert ragged.seqused_k.data_ptr() != ragged.host["seqused_k"].ctypes.data
    monkeypatch.undo()


def test_sdpa_on_a_span_is_sdpa_on_a_copy(session: kvspan.Session) -> None:
    torch.manual_seed(1)
    with session.create_cache(2, 2, 64, torch.float32, 3, 512, lookahead_tokens=0) as cache:
        for tokens in (100, 7, 300):
            slot = cache.allocate(tokens)
            for view in (cache.k(1, slot, framework="torch"), cache.v(1, slot, framework="torch")):
                view.copy_(torch.randn(tokens, 2, 64))
        del view
        for slot in range(3):
            q = torch.randn(1, 2, 4, 64)
            k, v = (
                part(1, slot, framework="torch").transpose(0, 1)[None] for part in (cache.k, cache.v)
            )
            mask = torch.ones(4, k.shape[2], dtype=torch.bool).tril(k.shape[2] - 4)
            attend = torch.nn.functional.scaled_dot_product_attention
            got = attend(q, k, v, attn_mask=mask)
            wanted = attend(q, k.clone(), v.clone(), attn_mask=mask)
            assert torch.allclose(got, wanted, atol=1e-6)
        del k, v
        gc.collect()


def test_the_device_must_be_the_daemons(session: kvspan.Session) -> None:
    session.create_cache(1, 1, 64, "bf16", 1, 16, device=torch.device("cpu")).close()
    with pytest.raises(kvspan.InvalidArgument) as caught:
        session.create_cache(1, 1, 64, "bf16", 1, 16, device=torch.device("cuda:0"))
    assert caught.value.field == "device"


# ── Hugging Face ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def model() -> Any:
    """A tiny Llama with random weights and grouped queries."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(7)
    config = transformers.LlamaConfig(
        vocab_size=97,
        hidden_size=128,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
    )
    return transformers.LlamaForCausalLM(config).eval()


def prompts(lengths: list[int]) -> dict[str, Any]:
    """Left-padded, as generate wants them."""
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    mask = torch.zeros_like(ids)
    generator = torch.Generator().manual_seed(3)
    for row, length in enumerate(lengths):
        ids[row, -length:] = torch.randint(2, 97, (length,), generator=generator)
        mask[row, -length:] = 1
    return {"input_ids": ids, "attention_mask": mask}


def generate(model: Any, lengths: list[int], past: Any = None, **options: Any) -> Any:
    return model.generate(
        **prompts(lengths),
        past_key_values=past,
        max_new_tokens=options.pop("max_new_tokens", 60),
        do_sample=False,
        **options,
    )


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("lengths", [[5], [40, 3, 17]])
def test_generate_gives_the_tokens_of_the_default_cache(
    session: kvspan.Session, model: Any, lengths: list[int], attention: str
) -> None:
    from kvspan.transformers import KvspanCache

    model.set_attn_implementation(attention)
    wanted = generate(model, lengths)
    with KvspanCache(session, model.config) as past:
        assert torch.equal(generate(model, lengths, past), wanted)
        assert past.get_seq_length() == wanted.shape[1] - 1
        assert past.cache is not None
        assert past.cache.stats().live_slots == len(lengths)


def test_it_appends_in_place_and_maps_only_what_it_grew(session: kvspan.Session, model: Any) -> None:
    from kvspan.transformers import KvspanCache

    with KvspanCache(session, model.config) as past:
        generate(model, [10], past, max_new_tokens=1)
        address = past.layers[2].keys.data_ptr()
        # 3 KiB a token: a page holds hundreds, 2,048 tokens would be four.
        assert session.stats().held_bytes == PAGE
        grown = generate(model, [10], None, max_new_tokens=1)
        for token in range(5):
            model(grown[:, -1:], past_key_values=past, use_cache=True)
        assert past.layers[2].keys.data_ptr() == address
        assert past.layers[2].keys.shape == (1, 2, 15, 32)


def test_reset_crop_and_another_batch(session: kvspan.Session, model: Any) -> None:
    from kvspan.transformers import KvspanCache

    with KvspanCache(session, model.config) as past:
        for lengths in ([4, 9], [6], [4, 9]):
            wanted = generate(model, lengths)
            assert torch.equal(generate(model, lengths, past), wanted)
            past.reset()
            assert past.get_seq_length() == 0
        full = prompts([30])["input_ids"]
        model(full, past_key_values=past, use_cache=True)
        past.crop(-10)
        assert past.get_seq_length() == 20
        again = model(full[:, 20:], past_key_values=past, use_cache=True).logits[:, -1]
        whole = model(full, use_cache=False).logits[:, -1]
        assert torch.allclose(again, whole, atol=1e-5)


def test_beam_search_gives_the_tokens_of_the_default_cache(
    session: kvspan.Session, model: Any
) -> None:
    from kvspan.transformers import KvspanCache

    wanted = generate(model, [12], num_beams=3, max_new_tokens=20)
    with KvspanCache(session, model.config) as past:
        assert torch.equal(generate(model, [12], past, num_beams=3, max_new_tokens=20), wanted)


def test_a_sequence_too_long_and_a_pool_too_small_are_said_so(daemon: Daemon, model: Any) -> None:
    from kvspan.transformers import KvspanCache

    with daemon.connect(grant_wait=0.0) as session, session.create_cache(**SMALL) as other:
        with KvspanCache(session, model.config, max_tokens=20) as past:
            with pytest.raises(kvspan.InvalidArgument) as caught:
                generate(model, [15], past)
            assert caught.value.field == "key_states"
        other.allocate(4000)
        with KvspanCache(session, model.config) as past:
            with pytest.raises(kvspan.OutOfMemory):
                generate(model, [2000, 2000], past, max_new_tokens=1)
    daemon.until_empty()
