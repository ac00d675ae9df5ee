"""Writes kvspan/v1: the messages of proto/kvspan/v1 for Python, with their types.

    python generate.py            writes
    python generate.py --check    exits 1 if what is committed differs

Needs grpcio-tools of the version below and no other: a newer one writes code that refuses to run
with the protobuf releases that this package allows.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

GRPCIO_TOOLS = "1.72.1"
HERE = Path(__file__).resolve().parent
PROTOS = HERE.parent.parent / "proto"
FILES = ("types", "memory", "admin")


def generate(into: Path) -> None:
    from grpc_tools import protoc

    arguments = [f"--proto_path={PROTOS}", f"--python_out={into}", f"--pyi_out={into}"]
    sources = [str(PROTOS / "kvspan" / "v1" / f"{name}.proto") for name in FILES]
    if protoc.main(["protoc", *arguments, *sources]) != 0:
        raise SystemExit("protoc failed")
    (into / "kvspan" / "v1" / "__init__.py").write_text(
        '"""Messages of kvspan.v1, written by generate.py."""\n'
    )


def texts(folder: Path) -> dict[str, str]:
    files = [*folder.glob("*.py"), *folder.glob("*.pyi")]
    return {path.name: path.read_text() for path in files}


def main() -> int:
    if version("grpcio-tools") != GRPCIO_TOOLS:
        print(f"grpcio-tools is {version('grpcio-tools')}, wanted: {GRPCIO_TOOLS}")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        made = texts(Path(scratch) / "kvspan" / "v1")
    target = HERE / "kvspan" / "v1"
    if "--check" in sys.argv[1:]:
        current = texts(target) if target.exists() else {}
        stale = sorted(name for name in made.keys() | current.keys() if made.get(name) != current.get(name))
        if stale:
            print(f"not as generated: {', '.join(stale)}: run client/python/generate.py")
        return 1 if stale else 0
    target.mkdir(exist_ok=True)
    for name, text in made.items():
        (target / name).write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
