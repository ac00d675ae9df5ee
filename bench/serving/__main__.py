"""`python3 bench/serving`: an engine with continuous batching over a Llama of random weights replays
request traces, with kvspan, with blocks of 16, and with the longest length for everybody. `--help` lists
the options."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pybench.daemon import BenchError  # noqa: E402
from serving.run import KERNELS, MANAGERS, Bench, Options  # noqa: E402
from serving.shapes import SHAPES  # noqa: E402


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="bench/serving", description=__doc__)
    add = parser.add_argument
    add("--kvspan", metavar="FILE", help="launcher of an unpacked bundle (default: this checkout's)")
    add("--out", default="bench/results", help="where the JSON goes")
    add("--cpu", action="store_true", help="host backend, a tiny model: checks the harness")
    add("--models", nargs="+", choices=tuple(SHAPES), help="default: 1b and 8b")
    add("--trace", nargs="+", default=[], metavar="FILE", help="request traces (default: drawn)")
    add("--managers", nargs="+", choices=MANAGERS, default=list(MANAGERS))
    add("--kernels", choices=KERNELS, default="auto", help="auto: FlashInfer where it is installed")
    add("--prefill", choices=("fa2", "fa3"), default="fa2", help="FlashInfer's template")
    add("--layout", choices=("token-major", "layer-major"), default="token-major", help="of kvspan")
    add("--requests", type=int, help="of each trace (default 60; 8 on a CPU)")
    add("--seconds", type=float, default=25, help="of each run, at most")
    add("--budget-s", type=float, default=480, help="seconds after which no run is begun")
    add("--time-scale", type=float, default=1.0, help="of arrivals: 2 is half as many a second")
    add("--tokens-max", type=int, help="longer requests are left out")
    add("--pool-gib", type=float, help="for keys and values (default 40; 0.0625 on a CPU)")
    add("--batch", type=int, default=64, help="requests at once, at most")
    add("--prefill-budget", type=int, default=2048, help="tokens of prompts in a pass")
    told = parser.parse_args(arguments)
    small = told.cpu
    for name in ("requests", "batch", "prefill_budget", "seconds", "time_scale", "pool_gib"):
        value = getattr(told, name)
        if value is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')}: got {value}, allowed: more than 0")
    return Options(
        launcher=told.kvspan,
        out=Path(told.out),
        cpu=small,
        models=tuple(told.models or (["tiny"] if small else ["1b", "8b"])),
        traces=tuple(told.trace),
        managers=tuple(told.managers),
        kernels=told.kernels,
        prefill=told.prefill,
        layout=told.layout,
        requests=told.requests or (8 if small else 60),
        seconds=told.seconds,
        budget_s=told.budget_s,
        time_scale=told.time_scale,
        tokens_max=told.tokens_max,
        pool_gib=told.pool_gib or (0.0625 if small else 40.0),
        batch_max=told.batch,
        prefill_budget=told.prefill_budget,
    )


def main() -> int:
    try:
        return Bench(parse(sys.argv[1:])).run()
    except BenchError as failure:
        sys.stderr.write(f"bench/serving: {failure}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
