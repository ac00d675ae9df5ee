"""Times of device work that takes turns, so that a clock that moves moves all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

#: Whatever the device says of its L2.
_FLUSH_BYTES_MIN: Final = 128 << 20
#: A spinning GPU covers the host's part of a launch; rounded up, so the estimate may be rough.
_CYCLES_PER_US: Final = 2000
_SPIN_US_MIN: Final = 30.0
_SPIN_US_MAX: Final = 20_000.0

Work = Callable[[], Any]


class Clock:
    """Of one device. On a GPU by events round the work alone: L2 is emptied before, and a kernel that
    spins keeps the device busy until the host has enqueued all of it. So a time holds no gap of the
    host's making, whatever the library's launch costs."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._on_gpu = device.type == "cuda"
        if self._on_gpu:
            cache = getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0)
            size = max(_FLUSH_BYTES_MIN, 3 * cache)
            self._flush = torch.empty(size, dtype=torch.uint8, device=device)

    def synchronize(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize(self._device)

    def interleaved(
        self, works: Mapping[str, Work], runs: int, warmups: int = 2
    ) -> dict[str, list[float]]:
        """Microseconds of each, ``runs`` times, in turns whose order is reversed every time."""
        spins = {name: self._warm(work, warmups) for name, work in works.items()}
        samples: dict[str, list[float]] = {name: [] for name in works}
        names = list(works)
        for turn in range(runs):
            for name in names if turn % 2 == 0 else reversed(names):
                samples[name].append(self._once(works[name], spins[name]))
        return samples

    def _warm(self, work: Work, warmups: int) -> float:
        """Runs it, and says for how long the device must spin while the host enqueues it."""
        for _ in range(max(1, warmups)):
            work()
        self.synchronize()
        start = time.perf_counter()
        work()
        host_us = (time.perf_counter() - start) * 1e6
        self.synchronize()
        return min(_SPIN_US_MAX, max(_SPIN_US_MIN, 2 * host_us))

    def _once(self, work: Work, spin_us: float) -> float:
        if not self._on_gpu:
            start = time.perf_counter()
            work()
            return (time.perf_counter() - start) * 1e6
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._flush.zero_()
        torch.cuda._sleep(int(spin_us * _CYCLES_PER_US))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) * 1000

    def host(self, work: Work, runs: int) -> list[float]:
        """Microseconds that the host is busy with it; the device may still be at work then."""
        work()
        samples = []
        for _ in range(runs):
            self.synchronize()
            start = time.perf_counter()
            work()
            samples.append((time.perf_counter() - start) * 1e6)
        self.synchronize()
        return samples
