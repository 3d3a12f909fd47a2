"""A CSV of a million rows: memory at most and seconds to the first step, beside ten thousand rows and tokenising alone.

    python benchmarks/speed/bigdata.py                   # writes benchmarks/results/bigdata.json

Rows have about 60 words. Every measurement is a fresh process: `toughen.train` takes one step of a tiny random model on
the one file, of which it holds 1,000 rows out; tokenising alone is `datasets` mapping the same tokenizer over it.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from children import AnonymousPeak, peak_bytes, resident_bytes

RESULT = Path(__file__).parents[1] / "results" / "bigdata.json"
TEXTS = 4  # of the demo's corpus in a row: about 60 words
HELD_OUT = 1000


def main() -> None:
    args = parser().parse_args()
    if args.job:
        jobs = {"first_step": first_step, "tokenise": tokenise}
        print("\n" + json.dumps(jobs[args.job[0]](**json.loads(args.job[1]))))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as home:
        found = measure(Path(home), args.small, args.large, args.threads)
    found["command"] = "python benchmarks/speed/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    args.result.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["ratios"], indent=1))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    made.add_argument("--small", type=int, default=10_000, help="rows")
    made.add_argument("--large", type=int, default=1_000_000, help="rows")
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the tokenizer and of torch")
    made.add_argument("--folder", type=Path, help="where files are made (about 3 GB, on a disk); default: TMPDIR")
    made.add_argument("--result", type=Path, default=RESULT)
    made.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    return made


def measure(home: Path, small: int, large: int, threads: int) -> dict[str, Any]:
    """Run every job in a fresh process; the second run on the large file finds its tokens in the cache."""
    import memory
    from measure import machine

    texts = memory._texts()
    model = memory._small_model(home, texts)
    found: dict[str, Any] = {"machine": machine(), "threads": threads, "rows": {"small": small, "large": large}}
    for name, rows in (("small", small), ("large", large)):
        table = home / f"{name}.csv"
        write(table, texts, rows)
        found[f"bytes_{name}"] = table.stat().st_size
        job = {"csv": str(table), "model": str(model), "threads": threads}
        share = min(HELD_OUT / rows, 0.1)
        for run in ("train", "again") if name == "large" else ("train",):
            found[f"{run}_{name}"] = spawn("first_step", home, **job, folder=str(home / f"{run}_{name}"), share=share)
            print(run, name, found[f"{run}_{name}"], flush=True)
        found[f"tokenise_{name}"] = spawn("tokenise", home, **job)
        print("tokenise", name, found[f"tokenise_{name}"], flush=True)
    found["ratios"] = {
        "anonymous_memory_large_over_small": found["train_large"]["anonymous"] / found["train_small"]["anonymous"],
        "first_step_over_tokenising": found["train_large"]["seconds"] / found["tokenise_large"]["seconds"],
        "second_run_over_tokenising": found["again_large"]["seconds"] / found["tokenise_large"]["seconds"],
    }
    return found


def write(path: Path, texts: list[tuple[str, str]], rows: int) -> None:
    """Write rows that differ: a number and four texts of one label."""
    rng = random.Random(0)
    by_label = {label: [text for text, of in texts if of == label] for _, label in texts}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        for number, label in zip(range(rows), itertools.cycle(by_label), strict=False):
            writer.writerow((f"{number} {' '.join(rng.choices(by_label[label], k=TEXTS))}", label))


def spawn(job: str, home: Path, **arguments: Any) -> dict[str, Any]:
    """Run a job in a fresh process with a cache of its own and return what it found."""
    threads = {"OMP_NUM_THREADS": str(arguments["threads"]), "RAYON_NUM_THREADS": str(arguments["threads"])}
    environment = os.environ | threads | {"TOUGHEN_CACHE": str(home / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--job", job, json.dumps(arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def first_step(csv: str, model: str, folder: str, share: float, threads: int) -> dict[str, Any]:
    """Train one step from a CSV; seconds from the call of ``toughen.train`` to the first step."""
    import torch

    import toughen
    from toughen.training import fit

    torch.set_num_threads(threads)
    reached: list[float] = []
    inner = fit.ToughTrainer.training_step

    def noted(*args: Any, **kwargs: Any) -> Any:
        reached.extend((time.perf_counter(), time.process_time()))
        return inner(*args, **kwargs)

    fit.ToughTrainer.training_step = noted
    with AnonymousPeak() as anonymous:
        start, cpu = time.perf_counter(), time.process_time()
        toughen.train(
            csv,
            model=model,
            recipe="plain",
            output=Path(folder) / "run",
            training={"max_steps": 1, "max_length": 128},
            **{"data.validation_share": share},
        )
        seconds = time.perf_counter() - start
    return account(anonymous, reached[0] - start, reached[1] - cpu) | {"seconds_whole_run": seconds}


def tokenise(csv: str, model: str, threads: int) -> dict[str, Any]:
    """Tokenise the texts of a CSV with transformers and datasets alone; seconds of the ``map``, not of the reading."""
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = datasets.Dataset.from_csv(csv, cache_dir=str(Path(csv).parent / "datasets"))
    with AnonymousPeak() as anonymous:
        start, cpu = time.perf_counter(), time.process_time()
        rows.map(lambda batch: tokenizer(batch["text"], truncation=True, max_length=128), batched=True)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return account(anonymous, seconds, cpu)


def account(anonymous: AnonymousPeak, seconds: float, cpu: float) -> dict[str, Any]:
    """Return seconds, those of the processor too, and MiB at most.

    ``anonymous`` is what no file stands behind, ``resident`` includes mapped pages.
    """
    mib = 2**20
    peaks = {"anonymous": anonymous.bytes / mib, "resident": peak_bytes() / mib}
    return {"seconds": seconds, "cpu_seconds": cpu, **peaks, "anonymous_at_the_end": resident_bytes("RssAnon") / mib}


if __name__ == "__main__":
    main()
