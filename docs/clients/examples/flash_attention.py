"""On a GPU: PyTorch's FlashAttention-2, unmodified, over the spans of a whole batch, by index arrays
that `step` keeps up to date."""

import torch

import kvspan

HEADS, KV_HEADS, DIM, SLOTS, MAX_TOKENS = 32, 8, 128, 8, 4096

with kvspan.connect(name="flash attention") as session:
    model = dict(layers=4, kv_heads=KV_HEADS, head_dim=DIM, dtype="bf16")
    with session.create_cache(**model, slots=SLOTS, max_tokens=MAX_TOKENS) as cache:
        slots = [cache.allocate(tokens) for tokens in (100, 700, 1500)]  # slots 0, 1 and 2
        ragged = cache.ragged()  # one query for each live slot: decoding
        for layer in range(4):
            for slot in slots:
                for rows in (cache.k(layer, slot), cache.v(layer, slot)):
                    rows.copy_(torch.randn_like(rows))

        cache.step({slot: cache.length(slot) + 1 for slot in slots})
        live = ragged.slots  # with one query each and grouped heads FlashAttention-2 wants live ones only
        starts = torch.cat([ragged.cum_seq_k[live], ragged.cum_seq_k[live[-1] + 1 :][:1]])
        query = torch.randn(len(slots), HEADS, DIM, device="cuda", dtype=torch.bfloat16)
        out = torch.ops.aten._flash_attention_forward(
            *(query, ragged.k(0), ragged.v(0)),
            torch.arange(len(slots) + 1, dtype=torch.int32, device="cuda"),  # a query each
            starts,  # where each sequence begins
            *(1, MAX_TOKENS, 0.0, False, False),
            scale=DIM**-0.5,
            seqused_k=ragged.seqused_k[live],  # how long it is
        )[0]
        print(f"attention of {len(slots)} requests: {tuple(out.shape)}")
        for slot in slots:
            cache.free(slot)  # unmapped only after the work of torch's current stream
