"""The first program: a cache, one request that grows token by token, and the rows in it."""

import numpy as np

import kvspan

with kvspan.connect(name="first") as session:
    print(f"connected: backend {session.server.backend}, pages of {session.server.page_bytes} bytes")

    model = dict(layers=4, kv_heads=8, head_dim=64, dtype="bf16")
    with session.create_cache(**model, slots=8, max_tokens=4096, name="first") as cache:
        view = cache.view("key", 0)
        print(f"K of layer 0: {view.shape}, strides {view.strides}")

        prompt = 100
        slot = cache.allocate(prompt)  # mapped as far as the prompt; addresses are for ever
        row = np.full((1, 8, 64), 7, np.uint16)  # one token's K of one layer; bf16 as its bits

        for length in range(prompt + 1, 301):
            result = cache.step({slot: length})  # before each forward pass
            assert not result.short_slots, "no memory for this token"
            cache.write_rows("key", 0, slot, length - 1, row)  # an engine's kernel writes itself

        last = cache.read_rows("key", 0, slot, cache.length(slot) - 1, 1)
        print(f"{cache.length(slot)} tokens, the last row is {bool((last == 7).all())}")

        cache.free(slot)
