"""`python3 bench/gpu-host/pack.py`: one folder with all that the benches and tests in Python need on a GPU
host that reaches no network: the bundle, the package's wheel, the wheels of libraries that such a host may
lack, and the traces. `run.sh` beside this unpacks it there and runs a command. `npm run bundle` and
`npm run build:python` come first.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Fetched one by one, without what they ask for: PyTorch with its CUDA and cuDNN, Triton, Transformers,
#: grpcio, numpy and pytest must be there, and for FlashInfer nvcc and ninja.
WHEELS = (
    "flashinfer-python==0.6.17",
    "apache-tvm-ffi==0.1.12",
    "nvidia-cudnn-frontend==1.25.0",
    "protobuf==6.33.0",
)
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--out", default=str(ROOT / "build/gpu-host"), help="the folder (default: build/gpu-host)")
    add("--python", default="3.12", help="of the host (default 3.12)")
    add("--trace", nargs="+", default=[], metavar="FILE", help="request traces")
    add("--requests", type=int, default=600, help="of each trace, from its beginning (default 600)")
    add("--built", metavar="FILE", help="what FlashInfer built on such a host before, by run.sh")
    add("--no-flashinfer", action="store_true", help="16 MB less")
    return parser.parse_args()


def one_of(folder: Path, pattern: str, how: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        sys.exit(f"pack: there is no {pattern} in {folder}: {how}")
    return found[-1]


def fetch(wheel: str, python: str, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    for platform in PLATFORMS:
        command += ["--platform", f"{platform}_x86_64"]
    subprocess.run([*command, "--dest", str(target), wheel], check=True)


def shortened(trace: Path, requests: int, target: Path) -> None:
    """What the benches read of it, and no more."""
    lines = [line for line in trace.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if lines[0].lstrip().startswith("{"):
        names = ("timestamp", "input_length", "output_length")
        told = [json.loads(line) for line in lines[:requests]]
        kept = [json.dumps({name: one[name] for name in names}) for one in told]
    else:
        kept = lines[: requests + 1]
    (target / trace.name).write_text("\n".join(kept) + "\n")


def main() -> None:
    told = parse()
    out = Path(told.out)
    bundle = one_of(ROOT / "build/bundle", "kvspan-*.tar.xz", "npm run bundle")
    package = one_of(ROOT / "build/python/dist", "kvspan-*.whl", "npm run build:python")
    shutil.rmtree(out, ignore_errors=True)
    wheels, traces = out / "wheels", out / "traces"
    for folder in (wheels, traces):
        folder.mkdir(parents=True)
    shutil.copy(bundle, out)
    shutil.copy(package, wheels)
    for wheel in WHEELS:
        if not (told.no_flashinfer and wheel.startswith(("flashinfer", "apache-tvm-ffi"))):
            fetch(wheel, told.python, wheels)
    for trace in told.trace:
        shortened(Path(trace), told.requests, traces)
    if told.built:
        shutil.copy(told.built, out / "flashinfer-built.tar.xz")
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    for path in files:
        sys.stdout.write(f"{path.stat().st_size / 1e6:8.2f} MB  {path.relative_to(out)}\n")
    total = sum(path.stat().st_size for path in files)
    sys.stdout.write(f"{total / 1e6:8.2f} MB  {out}\n")


if __name__ == "__main__":
    main()
