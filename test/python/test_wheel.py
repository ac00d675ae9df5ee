"""The wheel as users get it: installed, and in a clean environment."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import kvspan
import pytest
from support import ROOT, Daemon


def the_wheel() -> Path:
    state = ROOT / "build/python/state.json"
    if not state.exists():
        pytest.skip("no wheel: npm run build:python builds it")
    return Path(json.loads(state.read_text())["wheel"])


def test_the_version_is_that_of_the_repository() -> None:
    package = json.loads((ROOT / "package.json").read_text())["version"]
    assert kvspan.__version__ == package
    text = (ROOT / "client/python/pyproject.toml").read_text()
    assert f'version = "{package}"' in text
    try:
        assert importlib.metadata.version("kvspan") == package
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")


def test_the_wheel_carries_the_library_its_types_and_its_platform() -> None:
    wheel = the_wheel()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        tags = archive.read(next(name for name in names if name.endswith("/WHEEL"))).decode()
    for name in ("libkvspan.so", "py.typed", "v1/memory_pb2.py", "v1/memory_pb2.pyi", "LICENSE"):
        assert f"kvspan/{name}" in names
    assert "Root-Is-Purelib: false" in tags
    machine = os.uname().machine
    assert f"Tag: py3-none-linux_{machine}" in tags
    # Nothing of a developer's machine.
    assert not any("__pycache__" in name for name in names)


def test_it_installs_into_a_clean_environment_and_works(daemon: Daemon, tmp_path: Path) -> None:
    wheel = the_wheel()
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(install, check=True)
    script = (
        "import sys, kvspan\n"
        "assert kvspan.__file__.startswith(sys.prefix), kvspan.__file__\n"
        "with kvspan.connect(sys.argv[1]) as session:\n"
        "    with session.create_cache(2, 2, 64, 'fp16', 2, 512) as cache:\n"
        "        slot = cache.allocate(10)\n"
        "        cache.k(1, slot)[:] = 2\n"
        "        assert cache.k(1)[slot, :10].sum() == 2 * 10 * 2 * 64\n"
        "print('works')\n"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "KVSPAN_LIBRARY", "KVSPAN_SOCKET_DIR")
    }
    done = subprocess.run(
        [python, "-c", script, daemon.directory],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "works\n"), done.stderr


def test_a_library_that_is_not_there_is_said_so(daemon: Daemon) -> None:
    environment = {**os.environ, "KVSPAN_LIBRARY": "/nowhere/libkvspan.so"}
    script = (
        "import kvspan, sys\n"
        "try: kvspan.connect(sys.argv[1])\n"
        "except kvspan.KvspanError as failure: print(failure.code, failure)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, daemon.directory],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "DEVICE_UNAVAILABLE" in done.stdout
    assert "/nowhere/libkvspan.so" in done.stdout
