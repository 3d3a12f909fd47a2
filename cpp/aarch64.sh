#!/usr/bin/env bash
# Build the program for aarch64, run it under QEMU and beside it the one of this machine: the ids must be equal, the
# probabilities within 1e-5. TEXTS has a JSON string a line. aarch64.sh MODEL_DIR TEXTS ORT_INCLUDE ORT_LIB ORT_LIB_AARCH64
# Debian: apt-get install g++-aarch64-linux-gnu qemu-user. The library is that of the wheel; 1.32's crashes under QEMU 7.2:
#   pip download --no-deps --platform manylinux_2_28_aarch64 --python-version 311 --only-binary=:all: onnxruntime==1.20.1
set -euo pipefail

[ $# -eq 5 ] || { echo "usage: aarch64.sh MODEL_DIR TEXTS ORT_INCLUDE ORT_LIB ORT_LIB_AARCH64" >&2; exit 2; }
model=$1 texts=$2 headers=$(cd "$3" && pwd) own=$4 other=$5
here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-build}
target=aarch64-linux-gnu

build() {
  cmake -S "$here" -B "$1" -DTOUGHEN_ORT_INCLUDE="$headers" "${@:2}" >/dev/null
  cmake --build "$1" --parallel 2 >/dev/null
}
build "$work/native"
build "$work/aarch64" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=$target-g++
file=$(od -An -j18 -N2 -tu2 "$work/aarch64/toughen-cli" | tr -d ' ')
[ "$file" = 183 ] || { echo "the program is not for aarch64" >&2; exit 1; }  # e_machine of ELF

natively() { ORT_LIB=$own "$work/native/toughen-cli" "$model" --json "$@" <"$texts"; }
emulated() { ORT_LIB=$other qemu-aarch64 -L /usr/$target "$work/aarch64/toughen-cli" "$model" --json "$@" <"$texts"; }
natively --ids >"$work/native.ids"
emulated --ids >"$work/aarch64.ids"
cmp "$work/native.ids" "$work/aarch64.ids"
natively >"$work/native.answers"
emulated >"$work/aarch64.answers"
python3 - "$work/native.answers" "$work/aarch64.answers" <<'PYTHON'
import json
import sys

one, other = ([json.loads(line)["probabilities"] for line in open(path)] for path in sys.argv[1:])
assert one and len(one) == len(other)
worst = max(abs(a[name] - b[name]) for a, b in zip(one, other) for name in a)
print(f"{len(one)} texts: equal ids, probabilities within {worst:.1e}")
sys.exit(worst > 1e-5)
PYTHON
