"""Whether the C++ program makes the ids that Hugging Face makes, on deliberately ugly strings.

    python benchmarks/fuzz.py --strings 100000 --data PATH_TO_DATA

takes the tokenizers in PATH_TO_DATA/tokenizers, those named with --tokenizer, and small ones of each family that are
trained on the spot (tests/deploy/pipelines.py), and prints how many strings (and pairs of them, cut to 64 tokens) get
other ids. Exit status 1 if any does. `make cpp` builds the program first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "cpp" / "toughen-cli"
UNCUT, CUT = 10**9, 64
BLOCK = 10_000
sys.path[0] = str(ROOT / "tests")  # not beside: deploy.py of this folder would hide tests/deploy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with tokenizers/")
    parser.add_argument("--tokenizer", action="append", default=[], metavar="FOLDER", help="more of them; repeatable")
    parser.add_argument("--strings", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM.relative_to(ROOT)} is not there; make cpp builds it")
    wrong = 0
    print("| tokenizer | model | strings | differ | pairs, cut | differ |\n|---|---|---|---|---|---|")
    for name, make in tokenizers(args).items():
        tokenizer = make()
        single, pairs = compare(tokenizer, args.strings, args.seed), compare_pairs(tokenizer, args.strings, args.seed)
        kind = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["type"]
        print(f"| {name} | {kind} | {args.strings:,} | {single} | {args.strings // 5:,} | {pairs} |", flush=True)
        wrong += single + pairs
    sys.exit(1 if wrong else 0)


def tokenizers(args: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    from transformers import AutoTokenizer

    from deploy.pipelines import PIPELINES

    folders = [Path(folder) for folder in args.tokenizer]
    if args.data is not None:
        folders += sorted(path for path in (Path(args.data) / "tokenizers").iterdir() if path.is_dir())
    real = {path.name: lambda path=path: AutoTokenizer.from_pretrained(path) for path in folders}
    return real | {f"{name}, trained here": make for name, make in PIPELINES.items()}


def compare(tokenizer: Any, count: int, seed: int) -> int:
    """Return how many strings get other ids."""
    from deploy.ugly import ugly_strings

    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        write_table(tokenizer, Path(folder), UNCUT)
        for start in range(0, count, BLOCK):
            texts = ugly_strings(min(BLOCK, count - start), seed=seed * 1_000_003 + start)
            wanted = tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]
            wrong += sum([ids] != found for ids, found in zip(wanted, ids_of(folder, texts), strict=True))
    return wrong


def compare_pairs(tokenizer: Any, count: int, seed: int) -> int:
    """Return how many pairs, a fifth as many, get other ids when they are cut."""
    from deploy.ugly import ugly_strings

    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        write_table(tokenizer, Path(folder), CUT)
        for start in range(0, count // 5, BLOCK):
            size = min(BLOCK, count // 5 - start)
            first, second = (ugly_strings(size, seed=seed * 1_000_003 + start + extra) for extra in (1, 2))
            wanted = tokenizer(first, second, truncation=True, max_length=CUT)["input_ids"]
            found = ids_of(folder, [list(pair) for pair in zip(first, second, strict=True)])
            wrong += sum([ids] != rows for ids, rows in zip(wanted, found, strict=True))
    return wrong


def write_table(tokenizer: Any, folder: Path, length: int) -> None:
    from toughen.deploy.table import Reading, compile_table

    (folder / "tokenizer.bin").write_bytes(compile_table(tokenizer, Reading(length)))


def ids_of(folder: str, texts: list[Any]) -> list[Any]:
    data = "".join(json.dumps(text) + "\n" for text in texts).encode()
    ran = subprocess.run([str(PROGRAM), folder, "--json", "--ids"], input=data, capture_output=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


if __name__ == "__main__":
    main()
