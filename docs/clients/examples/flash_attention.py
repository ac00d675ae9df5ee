"""On a GPU: PyTorch's FlashAttention-2, unmodified, over the spans of a whole batch, by index arrays
that `step` keeps up to date."""

import torch

import kvspan

HEADS, KV_HEADS, DIM, LAYERS, MAX_TOKENS = 32, 8, 128, 4, 4096
PROMPTS = (100, 700, 1500)

with kvspan.connect(name="flash attention") as session:
    model = dict(layers=LAYERS, kv_heads=KV_HEADS, head_dim=DIM, dtype="bf16")
    with session.create_cache(**model, slots=len(PROMPTS), max_tokens=MAX_TOKENS) as cache:
        slots = [cache.allocate(tokens) for tokens in PROMPTS]
        for layer in range(LAYERS):
            for slot in slots:
                for rows in (cache.k(layer, slot), cache.v(layer, slot)):
                    rows.normal_()  # an engine's kernels would have written them
        del rows

        ragged = cache.ragged()  # index arrays on the device; here one query for each slot: decoding
        cache.step({slot: cache.length(slot) + 1 for slot in slots})  # writes them anew, in place
        query = torch.randn(len(slots), HEADS, DIM, device="cuda", dtype=torch.bfloat16)
        out = torch.ops.aten._flash_attention_forward(
            *(query, ragged.k(0), ragged.v(0)),  # [slots * stride, kv_heads, head_dim]
            *(ragged.cum_seq_q, ragged.cum_seq_k),  # where queries and sequences begin
            *(1, MAX_TOKENS, 0.0, False, False),  # queries and keys at most, dropout, causal, debug
            seqused_k=ragged.seqused_k,  # how long each sequence is
        )[0]
        print(f"attention of {len(slots)} requests: {tuple(out.shape)}")
        for slot in slots:
            cache.free(slot)  # unmapped only after the work of torch's current stream
