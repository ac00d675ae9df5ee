"""A loop as an engine has it: requests are admitted, grow, run short of memory, are preempted and computed
again. Eight requests of 2,000 tokens want 125 MiB, so a pool of 64 MiB is too small."""

from dataclasses import dataclass

import kvspan

SLOTS = 8
TARGET = 2000


@dataclass(eq=False)
class Request:
    name: int
    tokens: int = 500  # what it has now, which a preempted request computes again
    slot: int = -1


def leave(cache: kvspan.Cache, running: list[Request], request: Request) -> None:
    cache.free(request.slot)  # on a GPU torch's current stream is waited for
    running.remove(request)


def admit(cache: kvspan.Cache, running: list[Request], request: Request) -> bool:
    """Whether it got a slot. Lack of memory is no failure of an engine: the request waits."""
    try:
        request.slot = cache.allocate(request.tokens)
    except kvspan.KvspanError as error:
        if error.retryable:
            return False
        raise
    running.append(request)
    return True


def grow(cache: kvspan.Cache, running: list[Request]) -> list[Request]:
    """Every running request gets one more token's room; the youngest make room for the others."""
    preempted: list[Request] = []
    while cache.step({one.slot: one.tokens + 1 for one in running}).short_slots:
        youngest = running[-1]  # those that could grow have grown
        leave(cache, running, youngest)
        preempted.append(youngest)
    return preempted


with kvspan.connect(name="engine", grant_wait=0.05) as session:
    model = dict(layers=4, kv_heads=8, head_dim=64, dtype="bf16")
    with session.create_cache(**model, slots=SLOTS, max_tokens=TARGET) as cache:
        waiting = [Request(name) for name in range(SLOTS)]
        running: list[Request] = []  # the oldest first
        completed, preempted = 0, 0
        # Whoever was refused or preempted waits until somebody ends: at once it would be so again.
        room = True
        while completed < SLOTS:
            while room and waiting:
                room = admit(cache, running, waiting[0])
                if room:
                    waiting.pop(0)
            for request in grow(cache, running):
                waiting.insert(0, request)
                preempted += 1
                room = False
            for request in list(running):
                request.tokens += 1  # here the forward pass runs
                if request.tokens == TARGET:
                    leave(cache, running, request)
                    completed += 1
                    room = True
        print(f"{completed} requests completed, preempted: {preempted > 0}")
