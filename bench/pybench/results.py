"""Results in the form of bench/results/README.md, written anew whenever there is more to say."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

_SIGNIFICANT: Final = 6


@dataclass(frozen=True)
class Row:
    """As bench/report/results.ts has it; ``unit`` is one of those listed there."""

    case: str
    variant: str
    unit: str
    median: float
    min: float
    max: float
    n: int


def row(case: str, variant: str, unit: str, samples: Sequence[float]) -> Row:
    if not samples:
        raise ValueError(f"{case}, {variant}: no samples")
    middle = statistics.median_low(samples)
    figures = (_rounded(value) for value in (middle, min(samples), max(samples)))
    return Row(case, variant, unit, *figures, len(samples))


def quantile(samples: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 .. 1) of the samples lie; nearest rank."""
    ordered = sorted(samples)
    rank = -int(-share * len(ordered) // 1) - 1
    return ordered[min(len(ordered) - 1, max(0, rank))]


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT}g}")


@dataclass
class Results:
    bench: str
    backend: str
    commit: str
    out: Path
    device: str = ""
    driver: str = ""
    rows: list[Row] = field(default_factory=list)
    #: What no figure says: how something was called, or why it could not be.
    notes: list[dict[str, str]] = field(default_factory=list)
    libraries: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._date = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self._machine = {
            "cpu": _cpu(),
            "cores": os.cpu_count() or 1,
            "python": platform.python_version(),
            "clocks": _clocks(self.backend),
        }
        self.device, self.driver = _device(self.backend)

    @property
    def path(self) -> Path:
        slug = re.sub(r"[^a-z0-9]+", "-", self.device.lower()).strip("-")
        return self.out / f"{self.bench}-{slug}.json"

    def note(self, case: str, way: str, text: str) -> None:
        self.notes.append({"case": case, "way": way, "text": text})

    def describe(self) -> str:
        clocks = f"; {self._machine['clocks']}" if self._machine["clocks"] else ""
        libraries = ", ".join(f"{name} {version}" for name, version in self.libraries.items())
        return f"{self.bench}: {self.device}, driver {self.driver}{clocks}; {libraries}; {self.commit}"

    def write(self) -> Path:
        """The whole file, so that what was measured stays if the rest never comes."""
        self.out.mkdir(parents=True, exist_ok=True)
        text: dict[str, Any] = {
            **{"bench": self.bench, "device": self.device, "backend": self.backend},
            **{"driver": self.driver, "commit": self.commit, "date": self._date},
            "machine": {**self._machine, "libraries": self.libraries},
            "rows": [asdict(one) for one in self.rows],
            "notes": self.notes,
        }
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(text, indent=2) + "\n")
        partial.replace(self.path)
        return self.path


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or "unknown"


def _smi(fields: str) -> list[str] | None:
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        text = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return [part.strip() for part in text.splitlines()[0].split(",")] if text.strip() else None


def _device(backend: str) -> tuple[str, str]:
    if backend == "host":
        return _cpu(), f"Linux {platform.release()}"
    told = _smi("name,driver_version")
    return (told[0], told[1]) if told else ("unknown GPU", "unknown")


def _clocks(backend: str) -> str | None:
    """Of the device as found; nobody sets them."""
    told = None if backend == "host" else _smi(
        "clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.limit"
    )
    if told is None or len(told) < 5:
        return None
    return f"SM {told[0]} of {told[1]} MHz, memory {told[2]} of {told[3]} MHz, limit {told[4]} W"


def table(rows: Sequence[Row]) -> str:
    """For the terminal."""
    cells = [
        (one.case, one.variant, f"{one.median:.4g}", f"{one.min:.4g}", f"{one.max:.4g}", one.unit)
        for one in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(6)] if cells else []
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells
    )


def say(text: str) -> None:
    """To the terminal, at once: a run that is cut short has said what it did."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
