"""Reads rows past a request's length, and says whether it got them. A process of its own: a read of
what is not mapped ends the device's context."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import kvspan  # noqa: E402
import torch  # noqa: E402
from support import QUIET  # noqa: E402


def main(directory: str, overread_tokens: int, rows: int, at_the_end: bool) -> None:
    session = kvspan.connect(directory, **QUIET)
    # 16 KiB a token: a page holds 128, so that 512 tokens and the slack end with a page.
    cache = session.create_cache(
        *(4, 8, 64, "fp32", 2, 512 if at_the_end else 2048),
        growth="linear",
        lookahead_tokens=0,
        overread_tokens=overread_tokens,
    )
    slots = [cache.allocate(512) for _ in range(2)]
    ragged = cache.ragged()
    # All of the addresses, as a kernel sees them.
    k = ragged.k(3, framework="torch").as_subclass(torch.Tensor)
    try:
        for slot in slots:
            first = slot * ragged.stride
            k[first : first + 512] = 1
            read = k[first : first + 512 + rows].sum(dtype=torch.float64).item()
            assert read == 512 * 8 * 64, read
        outcome = "read"
    except Exception as failure:
        outcome = f"{type(failure).__name__}: {failure}"
    print(json.dumps(outcome.splitlines()[0]), flush=True)


if __name__ == "__main__":
    import os

    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "end")
    # The context may have ended: nothing can be tidied up in this process.
    os._exit(0)
