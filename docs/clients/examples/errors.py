"""Errors: one base class, a closed set of codes, the numbers that explain them."""

import os

import kvspan


def report(error: kvspan.KvspanError) -> None:
    field = f" ({error.field})" if error.field else ""
    print(f"{type(error).__name__} {error.code}{field}, may be tried again: {error.retryable}")
    if error.asked_bytes is not None and error.free_bytes is not None:
        more = "more than" if error.asked_bytes > error.free_bytes else "no more than"
        print(f"  asked {more} is free")
    for holder in error.holders:
        who = "this process" if holder.pid == os.getpid() else holder.pid
        print(f"  held by {who}: {holder.held_bytes > 0}")


session = kvspan.connect(name="errors")
cache = session.create_cache(
    layers=4, kv_heads=8, head_dim=64, dtype="bf16", slots=64, max_tokens=65_536
)

# Bad input names the argument, what was given and what is allowed, and changes nothing.
try:
    cache.allocate(0)
except kvspan.InvalidArgument as error:  # a ValueError too
    report(error)
try:
    cache.step({3: 10})  # a slot that is not live
except kvspan.InvalidArgument as error:
    report(error)

# Memory: `allocate` raises when it does not come in time; `step` never does, it says who is short.
try:
    while True:
        cache.allocate(2048, wait=0.1)  # 16 MiB each
except (kvspan.OutOfMemory, kvspan.SlotsExhausted) as error:  # OutOfMemory is a MemoryError too
    report(error)

session.close()
try:
    cache.allocate(1)
except kvspan.Closed as error:
    report(error)
