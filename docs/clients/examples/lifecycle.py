"""What a session tells its owner: the daemon goes away and comes back, an administrator evicts it."""

import subprocess
import sys
import threading

import kvspan

evicted = threading.Event()


def disconnected(event: kvspan.events.Disconnected) -> None:
    print(f"disconnected: {event.error.code}, will reconnect: {event.will_reconnect}")
    if not event.will_reconnect:
        evicted.set()


with kvspan.connect(name="lifecycle") as session:
    model = dict(layers=4, kv_heads=8, head_dim=64, dtype="bf16")
    cache = session.create_cache(**model, slots=8, max_tokens=4096)
    slot = cache.allocate(100)

    session.on("draining", lambda event: print(f"the daemon ends within {event.deadline_ms} ms"))
    session.on("reconnected", lambda event: print(f"back after {event.attempts} attempts"))
    session.on("disconnected", disconnected)

    # What an operator does; here by the program itself. Where the command is not called `kvspan`, its
    # words are this program's arguments.
    command = sys.argv[1:] or ["kvspan"]
    subprocess.run([*command, "evict", str(session.id)], check=True, capture_output=True)
    evicted.wait()

    print(f"state {session.state}; its request still has {cache.length(slot)} tokens")
    cache.step({slot: 101})  # what is mapped needs no daemon
    try:
        cache.allocate(4000)
    except kvspan.PermissionDenied as error:
        print(f"more memory is refused: {error.code}")
    cache.free(slot)
# The end of the session gives everything back all the same.
