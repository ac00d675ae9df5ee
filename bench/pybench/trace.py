"""Request traces, in the two formats that bench/trace/read.ts reads."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .daemon import BenchError


@dataclass(frozen=True)
class Request:
    arrival_s: float
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Trace:
    #: The file's name without its extension, or `drawn`.
    name: str
    requests: tuple[Request, ...]

    @property
    def longest(self) -> int:
        return max(one.prompt_tokens + one.answer_tokens for one in self.requests)


def read_trace(path: str, limit: int | None = None) -> Trace:
    """JSON lines with ``timestamp`` (ms), ``input_length``, ``output_length``, or CSV with
    ``num_prefill_tokens`` and ``num_decode_tokens``. An answer has at least one token here."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as failure:
        raise BenchError(f"--trace: got {path}, allowed: a file that can be read ({failure})") from None
    read = _json_lines if text.lstrip().startswith("{") else _csv
    try:
        requests = read(text)[:limit]
    except (KeyError, ValueError) as failure:
        raise BenchError(f"{path}: not a trace: {failure!r}") from None
    if not requests:
        raise BenchError(f"{path}: no request, allowed: a trace with at least one")
    return Trace(Path(path).stem, tuple(sorted(requests, key=lambda one: one.arrival_s)))


def _request(arrival_s: float, prompt: Any, answer: Any) -> Request:
    if int(prompt) < 1 or int(answer) < 0:
        raise ValueError(f"prompt {prompt}, answer {answer}")
    return Request(arrival_s, int(prompt), max(1, int(answer)))


def _json_lines(text: str) -> list[Request]:
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [
        _request(one["timestamp"] / 1000, one["input_length"], one["output_length"]) for one in rows
    ]


def _csv(text: str) -> list[Request]:
    rows = csv.DictReader(text.splitlines())
    return [_request(0.0, one["num_prefill_tokens"], one["num_decode_tokens"]) for one in rows]


def drawn(count: int, prompt: int, answer: int, seed: int = 1) -> Trace:
    """Log-normal round these medians, arriving all at once."""
    source = random.Random(seed)

    def draw(median: int) -> int:
        return min(8 * median, max(1, round(median * source.lognormvariate(0, 0.8))))

    return Trace("drawn", tuple(Request(0.0, draw(prompt), draw(answer)) for _ in range(count)))
