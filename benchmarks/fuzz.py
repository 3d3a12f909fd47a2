"""Whether the C++ program finds in ugly strings what Hugging Face finds: ids, offsets, tokens, decoded text.

    python benchmarks/published.py FOLDER
    python benchmarks/fuzz.py --data PATH_TO_DATA --tokenizer FOLDER/NAME

takes the tokenizers in PATH_TO_DATA/tokenizers, those named with --tokenizer, and small ones of each family that are
trained on the spot (tests/deploy/pipelines.py), and counts the strings of which anything differs (and, of pairs of
them, cut to 64 tokens, those with other ids). The counts are in results/tokenizers.json, one row per tokenizer, with
where it comes from (the first line of SOURCE.txt in its folder); what stands there is not run again.
--sanitize puts the sanitizer (`data.sanitize`) before each of them, and what it looks for into the strings.
Exit status 1 if anything differs. `make cpp` builds the program first.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "cpp" / "toughen-cli"
RESULTS = ROOT / "benchmarks" / "results" / "tokenizers.json"
UNCUT, CUT = 10**9, 64
BLOCK = 5_000
TRAINED = "trained here"
Draw = Callable[[int, int], list[str]]
WHAT = ("ids", "offsets", "tokens", "text")
sys.path[0] = str(ROOT / "tests")  # not beside: deploy.py of this folder would hide tests/deploy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with tokenizers/")
    parser.add_argument("--tokenizer", action="append", default=[], metavar="FOLDER", help="more of them; repeatable")
    parser.add_argument("--sanitize", action="store_true", help="with the sanitizer before each tokenizer")
    parser.add_argument("--only", action="append", metavar="NAME", help="of these tokenizers; repeatable")
    parser.add_argument("--strings", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM.relative_to(ROOT)} is not there; make cpp builds it")
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    asked = {"strings": args.strings, "seed": args.seed}
    for bare, (source, make) in tokenizers(args).items():
        name = f"{bare}, sanitized" if args.sanitize else bare
        if args.only and bare not in args.only:
            continue
        if any(row["tokenizer"] == name and row.items() >= asked.items() for row in rows):
            continue
        measured = measure(make, args.strings, args.seed, sanitized=args.sanitize)
        row = {"tokenizer": name, "source": source} | asked | measured
        rows = sorted([*(old for old in rows if old["tokenizer"] != name), row], key=lambda one: str(one["tokenizer"]))
        RESULTS.write_text("[\n" + ",\n".join(f"  {json.dumps(one)}" for one in rows) + "\n]\n")
        print(json.dumps(row), flush=True)
    sys.exit(1 if any(sum(row.get("differ", {}).values()) for row in rows) else 0)


def tokenizers(args: argparse.Namespace) -> dict[str, tuple[str, Callable[[], Any]]]:
    """Return where each comes from and what loads it, by name."""
    from transformers import AutoTokenizer

    from deploy.pipelines import PIPELINES

    folders = [Path(folder) for folder in args.tokenizer]
    if args.data is not None:
        folders += sorted(path for path in (Path(args.data) / "tokenizers").iterdir() if path.is_dir())
    found: dict[str, tuple[str, Callable[[], Any]]] = {}
    for path in folders:
        note = path / "SOURCE.txt"
        source = note.read_text().partition("\n")[0] if note.exists() else "as published"
        found[path.name] = source, lambda path=path: AutoTokenizer.from_pretrained(path)
    return found | {f"{name}, {TRAINED}": (TRAINED, make) for name, make in PIPELINES.items()}


def measure(make: Callable[[], Any], count: int, seed: int, *, sanitized: bool = False) -> dict[str, Any]:
    """Return what differs, or the sentence by which the tokenizer is refused, and the CPU seconds of all that."""
    from deploy.ugly import disguised_strings, ugly_strings
    from toughen.data.tokens.sanitizer import sanitize
    from toughen.errors import InputError

    draw = disguised_strings if sanitized else ugly_strings
    start = sum(os.times()[:4])
    tokenizer = make()
    if sanitized:
        sanitize(tokenizer)
    row: dict[str, Any] = {"model": json.loads(tokenizer.backend_tokenizer.to_str())["model"]["type"]}
    try:
        differ = compare(tokenizer, count, seed, draw)
    except InputError as error:
        return row | {"refused": str(error)}
    differ["pairs"] = compare_pairs(tokenizer, count, seed, draw)
    row |= {"pairs": count // 5, "differ": dict(differ), "cpu_seconds": round(sum(os.times()[:4]) - start)}
    return row | {"tokenizers": version("tokenizers"), "day": time.strftime("%Y-%m-%d")}


def compare(tokenizer: Any, count: int, seed: int, draw: Draw) -> Counter[str]:
    """Return of how many strings each thing differs."""
    wrong = Counter(dict.fromkeys(WHAT, 0))
    with tempfile.TemporaryDirectory() as folder:
        write_table(tokenizer, Path(folder), UNCUT)
        for start in range(0, count, BLOCK):
            texts = draw(min(BLOCK, count - start), seed * 1_000_003 + start)
            wanted = tokenizer(texts, truncation=False, padding=False, verbose=False).encodings
            for text, (row,), encoding in zip(texts, answers(folder, texts, "--tokens"), wanted, strict=True):
                known = describe(tokenizer, text, encoding)
                wrong.update(what for what in WHAT if row[what] != known[what])
    return wrong


def describe(tokenizer: Any, text: str, encoding: Any) -> dict[str, Any]:
    """Return what Hugging Face says, places in bytes."""
    starts = [0, *itertools.accumulate(len(char.encode()) for char in text)]
    return {
        "ids": encoding.ids,
        "tokens": encoding.tokens,
        "offsets": [[starts[begin], starts[end]] for begin, end in encoding.offsets],
        "text": tokenizer.backend_tokenizer.decode(encoding.ids, skip_special_tokens=True),
    }


def compare_pairs(tokenizer: Any, count: int, seed: int, draw: Draw) -> int:
    """Return how many pairs, a fifth as many, get other ids when they are cut."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        write_table(tokenizer, Path(folder), CUT)
        for start in range(0, count // 5, BLOCK):
            size = min(BLOCK, count // 5 - start)
            first, second = (draw(size, seed * 1_000_003 + start + extra) for extra in (1, 2))
            wanted = tokenizer(first, second, truncation=True, max_length=CUT)["input_ids"]
            found = answers(folder, [list(pair) for pair in zip(first, second, strict=True)], "--ids")
            wrong += sum([ids] != rows for ids, rows in zip(wanted, found, strict=True))
    return wrong


def write_table(tokenizer: Any, folder: Path, length: int) -> None:
    from toughen.deploy.table import Reading, compile_table

    (folder / "tokenizer.bin").write_bytes(compile_table(tokenizer, Reading(length)))


def answers(folder: str, texts: list[Any], what: str) -> list[Any]:
    data = "".join(json.dumps(text) + "\n" for text in texts).encode()
    ran = subprocess.run([str(PROGRAM), folder, "--json", what], input=data, capture_output=True, check=True)
    return [json.loads(line) for line in ran.stdout.split(b"\n")[:-1]]


if __name__ == "__main__":
    main()
