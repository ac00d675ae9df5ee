"""PyTorch's own attention, straight on the rows of a request: no copy, no block table."""

import torch

import kvspan

HEADS, KV_HEADS, DIM, PROMPT = 16, 8, 64, 300

with kvspan.connect(name="attention") as session:
    model = dict(layers=4, kv_heads=KV_HEADS, head_dim=DIM, dtype="fp32")
    with session.create_cache(**model, slots=8, max_tokens=4096) as cache:
        slot = cache.allocate(PROMPT)
        # [tokens, kv_heads, head_dim] of one request. A kernel of the engine would have written them.
        k = cache.k(2, slot, framework="torch")
        v = cache.v(2, slot, framework="torch")
        k.copy_(torch.randn(k.shape))
        v.copy_(torch.randn(v.shape))
        print(f"rows of {tuple(k.shape)}, strides {k.stride()}: a view, not a copy")

        query = torch.randn(HEADS, 1, DIM, device=k.device)  # the last token's, in decoding
        group = HEADS // KV_HEADS
        out = torch.nn.functional.scaled_dot_product_attention(
            query,
            k.transpose(0, 1).repeat_interleave(group, 0),
            v.transpose(0, 1).repeat_interleave(group, 0),
        )
        print(f"attention: {tuple(out.shape)}, finite: {bool(torch.isfinite(out).all())}")
        del k, v  # arrays that are alive keep what they show mapped
        cache.free(slot)
