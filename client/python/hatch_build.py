"""The native library goes into the wheel, and its platform into the wheel's name."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Where `npm run build:python` has built it; `KVSPAN_LIBRARY` names another place.
BUILT = Path(__file__).resolve().parent / "../../build/native/libkvspan.so"
LICENSE = Path(__file__).resolve().parent / "../../LICENSE"


class LibraryHook(BuildHookInterface):  # type: ignore[misc, type-arg, unused-ignore]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        library = Path(os.environ.get("KVSPAN_LIBRARY") or BUILT)
        if not library.exists():
            raise FileNotFoundError(f"{library} is not built: npm run build:python builds it")
        build_data["force_include"][str(library)] = "kvspan/libkvspan.so"
        build_data["force_include"][str(LICENSE)] = "kvspan/LICENSE"
        build_data["pure_python"] = False
        # Of no Python version, but of this platform: the library is linked against its libc. No
        # manylinux tag: nobody has built it against the oldest libc that such a tag promises.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
