"""Memory that flows: another session wants more than is free, and this one preempts for it."""

import kvspan

QUIET = dict(low_water_bytes=0, high_water_bytes=0)  # no magazine ahead of need
live: list[int] = []


def on_reclaim(missing_bytes: int, seconds: float) -> int:
    """Magazine, idle spans and look-ahead have been given back already; so much is missing still.
    Runs on a thread of its own: an engine would tell its loop, and wait for what that has freed."""
    freed = 0
    while freed < missing_bytes and len(live) > 1:
        youngest = live.pop()
        freed += cache.mapped_tokens(youngest) * cache.plan.row_bytes
        cache.free(youngest)
    print(f"asked with a deadline: {seconds > 0}; preempted for it: {freed > 0}")
    return freed  # how much it was; it is given back as soon as the GPU is done with it


# In an engine these would be two processes; a process may have several sessions too.
with kvspan.connect(name="busy", on_reclaim=on_reclaim, **QUIET) as busy:
    pool_tokens = busy.server.pool_bytes // 8192  # 8 KiB a token
    fifth = pool_tokens // 5
    shape = dict(layers=4, kv_heads=8, head_dim=64, dtype="bf16", slots=8, max_tokens=pool_tokens)
    cache = busy.create_cache(**shape)
    for request in range(4):
        live.append(cache.allocate(fifth))

    # The other one wants two fifths. It waits, at most so long, while the daemon asks the first.
    with kvspan.connect(name="other", grant_wait=10, **QUIET) as other:
        other_cache = other.create_cache(**shape)
        slot = other_cache.allocate(2 * fifth)
        print(f"the other has its memory: {other_cache.mapped_tokens(slot) >= 2 * fifth}")
