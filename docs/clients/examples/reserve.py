"""Never preempting: a request is admitted only if its whole length is promised."""

import kvspan

PROMPT, MAX_NEW_TOKENS = 500, 1500

# No magazine of its own ahead of need: the whole pool is there to be promised.
with kvspan.connect(name="reserve", low_water_bytes=0, high_water_bytes=0) as session:
    session.on(
        "promise_cut",
        lambda cut: print(f"slot {cut.slot}: {cut.left_bytes} bytes are left ({cut.reason})"),
    )
    model = dict(layers=4, kv_heads=8, head_dim=64, dtype="bf16")
    with session.create_cache(**model, slots=8, max_tokens=4096) as cache:
        slots: list[int] = []
        for request in range(8):
            try:
                reservation = cache.reserve(PROMPT + MAX_NEW_TOKENS, wait=0)
            except kvspan.OutOfMemory:
                break  # not admitted now
            slots.append(cache.allocate(PROMPT, reservation=reservation))
        print(f"admitted {len(slots)} of 8")

        # To the end of each request: whatever others ask for, no slot is short.
        short = 0
        for length in range(PROMPT + 1, PROMPT + MAX_NEW_TOKENS + 1):
            short += len(cache.step({slot: length for slot in slots}).short_slots)
        print(f"slots that were short: {short}")

        for slot in slots:
            cache.free(slot)  # ends the promise too
