"""What a text costs the C++ tokenizer, the Rust of the tokenizers library and OpenVINO's tokenizers, on one thread.

    cmake -S cpp -B build/tokens -DTOUGHEN_CLASSIFIER=OFF -DBUILD_SHARED_LIBS=ON && cmake --build build/tokens
    python benchmarks/tokens.py --data PATH_TO_DATA

encodes the first 60 words of reviews of IMDb in one batch, in turns with the Rust (encode_batch_fast, which makes no
offsets) and, where openvino-tokenizers is installed, with OpenVINO: tokens per CPU second and, in a process of their
own, calls of malloc, calloc and realloc per text. All are called from Python. Ours and the Rust give equal ids, or the
script stops; of the reviews and of ugly strings it counts those to which OpenVINO gives others than Hugging Face. The
results are in results/tokens.json.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "build" / "tokens" / "libtoughen_tokenizer.so"
NAMES = ("bert-base-uncased", "roberta-base")
LENGTH = 512
UGLY = 20_000
sys.path[0] = str(ROOT / "tests")  # not beside: deploy.py of this folder would hide tests/deploy
COUNTER = """
#include <stddef.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static size_t calls;
size_t allocations(void) { return calls; }
void *malloc(size_t n) { ++calls; return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { ++calls; return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { ++calls; return __libc_realloc(p, n); }
"""


class String(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class Text(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("parts", ctypes.c_void_p), ("count", ctypes.c_size_t)]


class Ours:
    """The shared library's C interface."""

    def __init__(self, library: Path, table: bytes) -> None:
        self.lib = ctypes.CDLL(str(library))
        for name in ("tokenizer_from_memory", "tokenizer_encode"):
            getattr(self.lib, f"toughen_{name}").restype = ctypes.c_void_p
        self.lib.toughen_status_message.restype = ctypes.c_char_p
        self.lib.toughen_encoding_size.restype = ctypes.c_size_t
        self.lib.toughen_encoding_ids.restype = ctypes.POINTER(ctypes.c_int64)
        self.handle = ctypes.c_void_p()
        size = ctypes.c_size_t(len(table))
        self._check(self.lib.toughen_tokenizer_from_memory(table, size, ctypes.byref(self.handle)))

    def _check(self, status: int | None) -> None:
        if status:
            raise RuntimeError(self.lib.toughen_status_message(ctypes.c_void_p(status)).decode())

    def prepare(self, texts: list[str]) -> Any:
        """Return the texts as the interface takes them; what they point to lives as long as they do."""
        data = [text.encode() for text in texts]
        strings = (String * len(data))(*(String(one, len(one)) for one in data))
        start, step = ctypes.addressof(strings), ctypes.sizeof(String)
        rows = (Text * len(data))(*(Text(0, start + i * step, 1) for i in range(len(data))))
        return rows, strings, data

    def encode(self, prepared: Any) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        count = ctypes.c_size_t(len(prepared[2]))
        self._check(self.lib.toughen_tokenizer_encode(self.handle, prepared[0], count, ctypes.byref(made)))
        return made

    def ids(self, texts: list[str]) -> list[list[int]]:
        made = self.encode(self.prepare(texts))
        sizes = [self.lib.toughen_encoding_size(made, ctypes.c_size_t(i)) for i in range(len(texts))]
        rows = [self.lib.toughen_encoding_ids(made, ctypes.c_size_t(i))[:size] for i, size in enumerate(sizes)]
        self.free(made)
        return rows

    def free(self, made: ctypes.c_void_p) -> None:
        self.lib.toughen_encoding_free(made)


def main() -> None:
    args = arguments()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if args.count:
        print(json.dumps(allocations(args, args.count)))
        return
    told = [measure(args, name) for name in NAMES]
    (ROOT / "benchmarks" / "results" / "tokens.json").write_text(json.dumps(told, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with the data")
    parser.add_argument("--built", type=Path, default=LIBRARY, help="the shared tokenizer that cmake built")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--count", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.data is None or not Path(args.data).is_dir():
        sys.exit("give the folder with the data: --data PATH (or TOUGHEN_DATA)")
    if not args.built.exists():
        sys.exit(f"{args.built} is not there; the lines at the top of this file build it")
    return args


def encoders(args: argparse.Namespace, name: str) -> tuple[Ours, Any]:
    """Return ours and the Rust, which keep 512 tokens."""
    from transformers import AutoTokenizer

    from toughen.deploy.table import Reading, compile_table

    tokenizer = AutoTokenizer.from_pretrained(Path(args.data) / "tokenizers" / name)
    ours = Ours(args.built, compile_table(tokenizer, Reading(max_length=LENGTH)))
    rust = tokenizer.backend_tokenizer
    rust.no_padding()
    rust.enable_truncation(LENGTH)  # after the table, whose test texts are encoded uncut
    return ours, rust


class OpenVino:
    """OpenVINO's tokenizer, made of the same one."""

    def __init__(self, args: argparse.Namespace, name: str) -> None:
        import openvino
        from openvino_tokenizers import convert_tokenizer
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(Path(args.data) / "tokenizers" / name, model_max_length=LENGTH)
        graph = convert_tokenizer(tokenizer)
        self.encode = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_NUM_THREADS": 1})

    def ids(self, texts: list[str]) -> list[list[int]]:
        found = self.encode(texts)
        rows = zip(found["input_ids"], found["attention_mask"].astype(bool), strict=True)
        return [row[mask].tolist() for row, mask in rows]


def calls(args: argparse.Namespace, name: str, texts: list[str]) -> dict[str, Callable[[], Any]]:
    """Return what encodes the texts, by whose it is."""
    ours, rust = encoders(args, name)
    if ours.ids(texts) != [one.ids for one in rust.encode_batch_fast(texts)]:
        sys.exit(f"{name}: other ids")
    prepared = ours.prepare(texts)
    found = {"cpp": lambda: ours.free(ours.encode(prepared)), "rust": lambda: rust.encode_batch_fast(texts)}
    if find_spec("openvino_tokenizers") is not None:
        other = OpenVino(args, name)
        found["openvino"] = lambda: other.encode(texts)
    return found


def other_ids(args: argparse.Namespace, name: str, texts: list[str]) -> dict[str, int]:
    """Return to how many texts ours and OpenVINO give other ids than Hugging Face."""
    ours, rust = encoders(args, name)
    wanted = [one.ids for one in rust.encode_batch_fast(texts)]
    made = {"cpp": ours.ids(texts), "openvino": OpenVino(args, name).ids(texts)}
    return {who: sum(one != right for one, right in zip(ids, wanted, strict=True)) for who, ids in made.items()}


def texts_of_60_words(args: argparse.Namespace) -> list[str]:
    import pandas as pd

    frame = pd.read_parquet(Path(args.data) / "imdb" / "test.parquet")
    words = (text.split() for text in frame["text"].sample(frac=1, random_state=0))
    return [" ".join(found[:60]) for found in words if len(found) >= 60][: args.texts]


def measure(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Return medians over rounds, and of the ratio within a round."""
    texts = texts_of_60_words(args)
    every = calls(args, name, texts)
    tokens = sum(len(one.ids) for one in every["rust"]())
    spent = [{who: timed(call) for who, call in every.items()} for _ in range(args.rounds)]
    row: dict[str, Any] = {"tokenizer": name, "texts": len(texts), "tokens": tokens, "rounds": args.rounds}
    for who in every:
        row[f"{who}_tokens_per_second"] = round(tokens / statistics.median(one[who] for one in spent))
        if who != "cpp":
            row[f"{who}_ratio"] = round(statistics.median(one[who] / one["cpp"] for one in spent), 2)
    row |= counted(args, name)
    if "openvino" in every:
        from deploy.ugly import ugly_strings

        row |= {f"{who}_other_ids": count for who, count in other_ids(args, name, texts).items()}
        ugly = [text for text in ugly_strings(UGLY, seed=0) if text]
        row["ugly_strings"] = len(ugly)
        row |= {f"{who}_other_ids_ugly": count for who, count in other_ids(args, name, ugly).items()}
        row["openvino"] = version("openvino-tokenizers")
    row |= {"tokenizers": version("tokenizers"), "day": time.strftime("%Y-%m-%d")}
    print(row, flush=True)
    return row


def timed(call: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call, all threads together, which others on the machine hardly lengthen."""
    start = time.process_time()
    call()
    return time.process_time() - start


def counted(args: argparse.Namespace, name: str) -> dict[str, float]:
    """Return allocations per text, of a process below a counter."""
    source, counter = args.built.parent / "counter.c", args.built.parent / "counter.so"
    source.write_text(COUNTER)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", source, "-o", counter], check=True)
    command = [sys.executable, __file__, "--count", name, "--data", args.data, "--built", args.built]
    command += ["--texts", str(args.texts)]
    env = os.environ | {"LD_PRELOAD": str(counter)}
    found: dict[str, float] = json.loads(subprocess.check_output(command, env=env).splitlines()[-1])
    return found


def allocations(args: argparse.Namespace, name: str) -> dict[str, float]:
    count = ctypes.CDLL(None).allocations
    count.restype = ctypes.c_size_t
    texts = texts_of_60_words(args)
    found = {}
    for who, call in calls(args, name, texts).items():
        call()  # whatever is made once
        before = count()
        call()
        found[f"{who}_allocations_per_text"] = round((count() - before) / len(texts), 1)
    return found


if __name__ == "__main__":
    main()
