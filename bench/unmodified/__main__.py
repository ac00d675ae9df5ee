"""`python3 bench/unmodified`: kernels that know nothing of kvspan, on its memory, beside the same kernels on
memory of the driver and the same libraries' paged kernels. `--help` lists the options."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pybench.daemon import BenchError  # noqa: E402
from unmodified.run import Options, run  # noqa: E402


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="bench/unmodified", description=__doc__)
    add = parser.add_argument
    add("--kvspan", metavar="FILE", help="launcher of an unpacked bundle (default: this checkout's)")
    add("--out", default="bench/results", help="where the JSON goes")
    add("--cpu", action="store_true", help="host backend, small shapes: checks the harness")
    add("--smoke", action="store_true", help="small shapes on the GPU")
    add("--only", nargs="+", default=[], metavar="KERNEL", help="some of the kernels")
    add("--cases", nargs="+", default=[], metavar="PART", help="cases whose names have this part")
    add("--trace", metavar="FILE", help="lengths of the unequal batch (default: drawn)")
    add("--runs", type=int, default=30, help="behind each median (default 30)")
    add("--budget-s", type=float, default=480, help="seconds after which nothing more is begun")
    add("--span-gib", type=float, default=16, help="the largest token-major cache")
    told = parser.parse_args(arguments)
    if told.runs < 1:
        parser.error(f"--runs: got {told.runs}, allowed: 1 or more")
    return Options(
        launcher=told.kvspan,
        out=Path(told.out),
        cpu=told.cpu,
        smoke=told.smoke,
        only=tuple(told.only),
        cases=tuple(told.cases),
        trace=told.trace,
        runs=told.runs,
        budget_s=told.budget_s,
        span_gib=told.span_gib,
    )


def main() -> int:
    if len(sys.argv) == 3 and sys.argv[1] == "--work":
        from unmodified.work import Job, work

        return work(Job.from_json(sys.argv[2]))
    try:
        return run(parse(sys.argv[1:]))
    except BenchError as failure:
        sys.stderr.write(f"bench/unmodified: {failure}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
