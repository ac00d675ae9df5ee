#!/bin/bash
# bash bench/gpu-host/run.sh FOLDER COMMAND...
#
# On a GPU host, in a checkout: unpacks what pack.py has put into FOLDER (once), and runs COMMAND with the
# wheels on Python's path, $KVSPAN the bundle's launcher and $TRACES the traces. If KEEP names a folder, what
# FlashInfer built meanwhile is kept there as flashinfer-built.tar.xz: pack.py --built takes it along, and
# nothing is built anew.
set -euo pipefail
folder=$(readlink -f "$1")
shift
place=${KVSPAN_GPU_HOST:-/tmp/kvspan-gpu-host}
if [ ! -e "$place/.complete" ]; then
  mkdir -p "$place/site"
  tar -xJf "$folder"/kvspan-*.tar.xz -C "$place"
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$place/site" "$folder"/wheels/*.whl
  if [ -e "$folder/flashinfer-built.tar.xz" ]; then
    mkdir -p "$place/site/flashinfer/data/aot"
    tar -xJf "$folder/flashinfer-built.tar.xz" -C "$place/site/flashinfer/data/aot"
  fi
  touch "$place/.complete"
fi
export PYTHONPATH="$place/site" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export KVSPAN=$(echo "$place"/kvspan-*/kvspan) TRACES="$folder/traces"
export KVSPAN_TEST_LAUNCHER="$KVSPAN" FLASHINFER_CUDA_ARCH_LIST=${FLASHINFER_CUDA_ARCH_LIST:-9.0a}
status=0
"$@" || status=$?
built="${FLASHINFER_WORKSPACE_BASE:-$HOME}/.cache/flashinfer"
if [ -n "${KEEP:-}" ] && [ -d "$built" ]; then
  # As FlashInfer looks for it: NAME/NAME.so.
  (cd "$(dirname "$(find "$built" -type d -name cached_ops | head -1)")/cached_ops" &&
    find . -name '*.so' | XZ_OPT='-3 -T0' tar -cJf "$KEEP/flashinfer-built.tar.xz" -T -) || true
fi
exit $status
