"""What each way of shipping a model costs, from text to label on the same CPU threads, and whether its answers differ.

    python benchmarks/deploy.py --data PATH_TO_DATA --texts 2000
    python benchmarks/deploy.py --data PATH_TO_DATA --part parity

fine-tunes all-MiniLM-L6-v2 (22.7 M parameters, Apache-2.0) on 2,000 IMDb reviews, exports it with int8, and lets
PyTorch (fp32, bf16), ONNX Runtime in Python (fp32, int8), OpenVINO (fp32, bf16; if it is installed) and the C++ program
(fp32, int8) label the same texts of IMDb's test split, one after another, round after round. All read texts of similar
length together. The results are one JSON line per way in benchmarks/results/deploy.jsonl and a table in deploy.md.
`make cpp` builds the program first.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WORK = ROOT / "runs" / "deploy-benchmark"
PROGRAM = ROOT / "build" / "cpp" / "toughen-cli"
BATCH, LENGTH = 32, 256
BLOCK, FOR_PYTORCH = 512, 2048  # texts that are asked about together; those that PyTorch is asked about
FLAGS = ("amx_tile", "amx_bf16", "amx_int8", "avx512f", "avx512_vnni", "avx512_bf16", "avx2")

Outputs = Callable[[], Any]
"""Labels all texts and returns the probabilities [N, 2] of negative and positive."""
Spent = tuple[float, float]
"""Seconds on the wall, and of the CPU."""


def main() -> None:
    args = arguments()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if args.threads > 1 else "false"
    run = args.run or train(args)
    folder = args.work / "exported"
    if not folder.exists():
        exported(run, folder)
    if args.part == "parity":
        compare(args, run, folder)
        return
    frame = texts_of(args)
    ways = ways_to_label(run, folder, frame["text"].tolist(), args.threads, args.batch)
    seconds, found = rounds(ways, args.rounds)
    rows = results(args, frame, folder, seconds, found)
    print(table(rows)) if args.quick else write(rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with the data")
    parser.add_argument("--part", choices=("speed", "parity"), default="speed")
    parser.add_argument("--texts", type=int, default=2000, help="of the test split")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="64 texts, one round, results printed only")
    parser.add_argument("--batch", type=int, default=8, help="texts per pass of each way alike (parity: 32)")
    parser.add_argument("--threads", type=int, default=1, help="of each way alike")
    parser.add_argument("--train", type=int, default=2000, help="training rows")
    parser.add_argument("--run", type=Path, help="a finished run to take instead")
    parser.add_argument("--work", type=Path, default=WORK, help="where the run and its export are kept")
    args = parser.parse_args()
    if args.quick:
        args.texts, args.rounds = 64, 1
    if args.data is None or not Path(args.data).is_dir():
        sys.exit("give the folder with the data: --data PATH (or TOUGHEN_DATA)")
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM.relative_to(ROOT)} is not there; make cpp builds it")
    return args


def train(args: argparse.Namespace) -> Path:
    """Fine-tune on the first rows of a shuffled train split, once."""
    import pandas as pd

    import toughen
    from toughen.demo.encoder import find_minilm

    run = Path(args.work) / "run"
    if not (run / "metrics.json").exists():
        frame = pd.read_parquet(Path(args.data) / "imdb" / "train.parquet")[["text", "label"]]
        rows = frame.sample(frac=1, random_state=0).iloc[: args.train + 500]
        args.work.mkdir(parents=True, exist_ok=True)
        (args.work / "data").mkdir(exist_ok=True)
        rows[: args.train].to_parquet(args.work / "data" / "train.parquet")
        rows[args.train :].to_parquet(args.work / "data" / "validation.parquet")
        settings = {"epochs": 1, "learning_rate": 1e-4, "max_length": LENGTH, "save_total_limit": 1}
        toughen.train(
            args.work / "data", model=find_minilm(), recipe="plain", output=run, overwrite=True, training=settings
        )
    return run


def exported(run: Path, folder: Path) -> None:
    """Export with a limit on changed labels that int8 always keeps: here it is measured, not refused."""
    from toughen.deploy.export import export, rows

    for row in rows(export(run, folder, int8=True, max_changed=1)):
        print(*row, sep="\t")


def texts_of(args: argparse.Namespace, count: int | None = None) -> Any:
    import pandas as pd

    frame = pd.read_parquet(Path(args.data) / "imdb" / "test.parquet")
    return frame.sample(count or args.texts, random_state=0)


def ways_to_label(run: Path, folder: Path, texts: list[str], threads: int, batch: int) -> dict[str, Outputs]:
    """Return every way by name, loaded and warm."""
    import toughen
    from toughen.classifier.answers import texts_dataset
    from toughen.deploy.predictor import Predictor, load

    dataset = texts_dataset(texts, "single-label")
    ways: dict[str, Outputs] = {}
    for name, model in torch_models(run, threads).items():
        ways[f"PyTorch {name}"] = lambda model=model: model.outputs(dataset, batch_size=batch)
    for name, file in (("fp32", "model.onnx"), ("int8", "model.int8.onnx")):
        known = load(folder, model=file, threads=threads)
        ways[f"ONNX Runtime {name}"] = lambda known=known: known.outputs(dataset, batch_size=batch)
        ways[f"C++ {name}"] = cpp(folder, file, texts, known.label_names, threads, batch)
    for name, session in openvino_sessions(folder, threads).items():
        known = Predictor(folder, session)
        ways[f"OpenVINO {name}"] = lambda known=known: known.outputs(dataset, batch_size=batch)
    print(f"toughen {toughen.__version__}: {len(texts)} texts, {', '.join(ways)}")
    return ways


def torch_models(run: Path, threads: int) -> dict[str, Any]:
    import copy

    import torch

    from toughen.run import Run

    torch.set_num_threads(threads)
    classifier = Run.open(run).classifier
    classifier.model.cpu()
    half = replace(classifier, model=copy.deepcopy(classifier.model).to(torch.bfloat16))
    return {"fp32": classifier, "bf16": half}


def openvino_sessions(folder: Path, threads: int) -> dict[str, Any]:
    from toughen.deploy.openvino import OpenVinoSession, is_installed

    if not is_installed():
        return {}
    graph = folder / "model.onnx"
    return {f"{p}": OpenVinoSession(graph, threads=threads, precision=p) for p in ("fp32", "bf16")}


def cpp(folder: Path, file: str, texts: list[str], names: tuple[str, ...], threads: int, batch: int) -> Outputs:
    """Ask the program; its results are read and its start paid for outside the clock, like the others' loading."""
    data = "".join(json.dumps(text) + "\n" for text in texts).encode()
    command = [str(PROGRAM), str(folder), "--json", "--model", file, "--threads", str(threads), "--batch", str(batch)]
    env = os.environ | {"ORT_LIB": os.environ.get("ORT_LIB") or own_library()}

    def ask() -> Any:
        return subprocess.run(command, input=data, capture_output=True, check=True, env=env).stdout

    def start() -> None:
        subprocess.run(command, input=b"", capture_output=True, check=True, env=env)

    def read(printed: bytes) -> Any:
        rows = [json.loads(line)["probabilities"] for line in printed.decode().splitlines()]
        return [[row[name] for name in names] for row in rows]

    ask.start, ask.read = start, read  # type: ignore[attr-defined]
    return ask


def own_library() -> str:
    import onnxruntime

    return str(next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*")))


def compare(args: argparse.Namespace, run: Path, folder: Path) -> None:
    """Ask every engine about one block after another; write the counts after each."""
    import numpy as np

    kept = args.work / "parity"
    kept.mkdir(exist_ok=True)
    frame = texts_of(args, 25_000)
    for start in range(0, len(frame), BLOCK):
        texts = frame["text"].iloc[start : start + BLOCK].tolist()
        engines = engines_of(run, folder, args.threads, pytorch=start < FOR_PYTORCH)
        missing = {name: ask for name, ask in engines.items() if not (kept / f"{name}-{start}.npy").exists()}
        for name, ask in missing.items():
            np.save(kept / f"{name}-{start}.npy", ask(texts))
        if missing:
            told = counts(kept, frame) | {"threads": args.threads, "cpu": cpu(), "flags": flags()}
            (RESULTS / "deploy-parity.json").write_text(json.dumps(told, indent=2) + "\n")
            print(f"{start + len(texts):,} texts", flush=True)


@functools.cache
def engines_of(run: Path, folder: Path, threads: int, pytorch: bool) -> dict[str, Callable[[list[str]], Any]]:
    """Return functions from texts to probabilities [N, 2]."""
    import numpy as np

    from toughen.classifier.answers import texts_dataset
    from toughen.deploy.predictor import load

    def python(model: Any) -> Callable[[list[str]], Any]:
        return lambda texts: model.outputs(texts_dataset(texts, "single-label"), batch_size=BATCH)

    def program(file: str, names: tuple[str, ...]) -> Callable[[list[str]], Any]:
        def ask(texts: list[str]) -> Any:
            way: Any = cpp(folder, file, texts, names, threads, BATCH)
            return np.asarray(way.read(way()))

        return ask

    known = load(folder, threads=threads)
    engines = {"python": python(known), "cpp": program("model.onnx", known.label_names)}
    return engines | ({"pytorch": python(torch_models(run, threads)["fp32"])} if pytorch else {})


def counts(kept: Path, frame: Any) -> dict[str, Any]:
    """Count over the blocks that are there: rows, equal labels, right ones, and the largest difference."""
    import numpy as np

    truth = frame["label"].to_numpy()
    told: dict[str, Any] = {"model": "all-MiniLM-L6-v2", "max_length": LENGTH, "batch": BATCH}
    for one, other in (("python", "pytorch"), ("cpp", "python"), ("cpp", "pytorch")):
        names = sorted(kept.glob(f"{one}-*.npy"), key=lambda path: int(path.stem.partition("-")[2]))
        pairs = [(path, kept / path.name.replace(one, other, 1)) for path in names]
        read = [(int(a.stem.partition("-")[2]), np.load(a), np.load(b)) for a, b in pairs if b.exists()]
        if not read:
            continue
        ours, theirs = (np.concatenate([block[i] for block in read]) for i in (1, 2))
        labels = np.concatenate([truth[start : start + len(a)] for start, a, _ in read])
        told[f"{one} against {other}"] = {
            "rows": len(ours),
            "equal_labels": int((ours.argmax(1) == theirs.argmax(1)).sum()),
            "largest_difference": float(np.abs(ours - theirs).max()),
            "accuracy": [float((found.argmax(1) == labels).mean()) for found in (ours, theirs)],
        }
    return told


def rounds(ways: dict[str, Outputs], count: int) -> tuple[dict[str, list[Spent]], dict[str, Any]]:
    """Time every way in turn, and again; return what each round took and the probabilities of the last."""
    import numpy as np

    seconds: dict[str, list[Spent]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    for number in range(count):
        for name, way in ways.items():
            loading = timed(getattr(way, "start", lambda: None))[0]
            spent, made = timed(way)
            seconds[name].append((spent[0] - loading[0], spent[1] - loading[1]))
            found[name] = np.asarray(getattr(way, "read", lambda made: made)(made))
            print(f"round {number + 1}: {name} {seconds[name][-1][0]:.2f} s", flush=True)
    return seconds, found


def timed(call: Callable[[], Any]) -> tuple[Spent, Any]:
    """Return the seconds on the wall, those of the CPU (of this process and those it waited for), and the result."""
    start, before = time.perf_counter(), sum(os.times()[:4])
    made = call()
    return (time.perf_counter() - start, sum(os.times()[:4]) - before), made


def results(
    args: argparse.Namespace, frame: Any, folder: Path, seconds: dict[str, list[Spent]], found: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return a row per way."""
    truth, first = frame["label"].to_numpy(), found["PyTorch fp32"].argmax(1)
    where = {"cpu": cpu(), "flags": flags(), "threads": args.threads}
    rows = []
    for name, spent in seconds.items():
        labels = found[name].argmax(1)
        wall, busy = ([one[i] for one in spent] for i in (0, 1))
        row = {"way": name, "texts": len(frame), "rounds": len(spent), "batch": args.batch, "seconds": wall}
        row |= {"cpu_seconds": busy, "documents_per_second": len(frame) / statistics.median(wall)}
        row["accuracy"] = float((labels == truth).mean())
        row["same_labels"] = float((labels == first).mean())
        row["largest_difference"] = float(abs(found[name] - found["PyTorch fp32"]).max())
        row["megabytes"] = megabytes(folder, name)
        rows.append(row | where)
    return rows


def megabytes(folder: Path, way: str) -> float:
    """Return the size of the weights that a way reads (PyTorch, OpenVINO bf16: those of fp32)."""
    return (folder / ("model.int8.onnx" if way.endswith("int8") else "model.onnx")).stat().st_size / 1e6


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def flags() -> list[str]:
    words = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    return [flag for flag in FLAGS if flag in words]


def write(rows: list[dict[str, Any]]) -> None:
    (RESULTS / "deploy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = table(rows)
    (RESULTS / "deploy.md").write_text(page)
    print(page)


def table(rows: list[dict[str, Any]]) -> str:
    one = rows[0]
    amx = "with AMX" if "amx_tile" in one["flags"] else "without AMX"
    lines = [
        "# What each way of shipping a model costs",
        "",
        f"all-MiniLM-L6-v2, {one['texts']:,} texts of IMDb's test split, at most {LENGTH} tokens, from text to label; "
        f"{one['threads']} thread(s), batch {one['batch']}, texts of similar length together; median of "
        f"{one['rounds']} interleaved rounds on {one['cpu']} {amx} ({', '.join(one['flags'])}). Loading is "
        "not counted.",
        "",
        "| way | documents per second | slowest to fastest round | per CPU second | accuracy | labels as PyTorch fp32 "
        "| MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = (row["texts"] / f(row["seconds"]) for f in (max, min))
        busy = row["texts"] / statistics.median(row["cpu_seconds"])
        lines.append(
            f"| {row['way']} | {row['documents_per_second']:.1f} | {low:.1f} to {high:.1f} | {busy:.1f} "
            f"| {row['accuracy']:.4f} | {row['same_labels']:.2%} | {row['megabytes']:.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
