"""Hugging Face's generate on a real GPU, with KvspanCache."""

from __future__ import annotations

import gc
import importlib.util
from typing import Any

import kvspan
import pytest
from gpu_support import WHY_NOT, gpu, session, torch  # noqa: F401

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture(scope="module")
def model() -> Any:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(7)
    config = transformers.LlamaConfig(
        vocab_size=97,
        hidden_size=256,
        intermediate_size=320,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
    )
    return transformers.LlamaForCausalLM(config).eval().cuda()


def prompts(lengths: list[int]) -> dict[str, Any]:
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    mask = torch.zeros_like(ids)
    generator = torch.Generator().manual_seed(3)
    for row, length in enumerate(lengths):
        ids[row, -length:] = torch.randint(2, 97, (length,), generator=generator)
        mask[row, -length:] = 1
    return {"input_ids": ids.cuda(), "attention_mask": mask.cuda()}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("lengths", [[5], [40, 3, 17]])
def test_generate_gives_the_tokens_of_the_default_cache(
    session: kvspan.Session, model: Any, lengths: list[int], attention: str
) -> None:
    from kvspan.transformers import KvspanCache

    model.float().set_attn_implementation(attention)
    options: dict[str, Any] = {"max_new_tokens": 60, "do_sample": False}
    wanted = model.generate(**prompts(lengths), **options)
    with KvspanCache(session, model.config) as past:
        assert torch.equal(model.generate(**prompts(lengths), past_key_values=past, **options), wanted)
        assert past.cache is not None and past.cache.backend == "cuda"
        assert past.cache.stats().live_slots == len(lengths)
    gc.collect()


FLASH = "flash_attention_2"


@pytest.mark.parametrize("attention", ["sdpa by FlashAttention alone", FLASH])
def test_flash_attention_gives_the_logits_of_the_default_cache(
    session: kvspan.Session, model: Any, attention: str
) -> None:
    """bf16, token by token behind one another; the same tokens are fed to both."""
    if attention == FLASH and importlib.util.find_spec("flash_attn") is None:
        pytest.skip("flash_attn is not installed")
    from kvspan.transformers import KvspanCache
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model.bfloat16().set_attn_implementation(FLASH if attention == FLASH else "sdpa")
    ids = prompts([200])["input_ids"]
    chosen = [SDPBackend.FLASH_ATTENTION] if attention != FLASH else list(_backends())
    with torch.no_grad(), sdpa_kernel(chosen), KvspanCache(session, model.config) as past:
        default = None
        for first, last in ((0, 64), *((at, at + 1) for at in range(64, 200))):
            told = model(ids[:, first:last], past_key_values=past, use_cache=True)
            same = model(ids[:, first:last], past_key_values=default, use_cache=True)
            default = same.past_key_values
            assert torch.allclose(told.logits.float(), same.logits.float(), atol=3e-2), first
        assert past.get_seq_length() == 200
        del told
    gc.collect()


def _backends() -> list[Any]:
    from torch.nn.attention import SDPBackend

    return [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
