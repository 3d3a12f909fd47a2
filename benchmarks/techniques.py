"""What each technique scores and costs on real text: one seed, the same settings for all, MiniLM-L6.

    python benchmarks/techniques.py --task sst2 --data PATH_TO_DATA

fine-tunes all-MiniLM-L6-v2 (22.7 M parameters, contrastively trained, Apache-2.0) on 2,000 training rows with each
recipe and writes one JSON line per finished run to benchmarks/results/. A second start skips the runs that are there.
The data are parquet files with columns text and label; they are not part of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Task:
    """Files of a task below the data folder, the rows taken of each split and the settings all its runs share."""

    train: str
    test: str
    validation: str | None
    rows: dict[str, int]
    training: dict[str, Any]


TASKS = {
    "sst2": Task(
        train="sst_kim/sst2_sentences_train.parquet",
        validation="sst_kim/sst2_sentences_dev.parquet",
        test="sst_kim/sst2_sentences_test.parquet",
        rows={"train": 2000, "validation": 872, "test": 1821, "unlabelled": 4000},
        training={"epochs": 3, "learning_rate": 1e-4, "max_length": 64},
    ),
    "imdb": Task(
        train="imdb/train.parquet",
        validation=None,
        test="imdb/test.parquet",
        rows={"train": 2000, "validation": 500, "test": 1000, "unlabelled": 4000},
        training={"epochs": 1, "learning_rate": 1e-4, "max_length": 256},
    ),
}
RUNS = ("plain", "ema", "rdrop", "fgm", "vat", "freelb", "pgd", "tough-stack", "vat+unlabelled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", choices=sorted(TASKS), required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with the data")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--only", nargs="*", choices=RUNS, default=RUNS)
    args = parser.parse_args()
    if args.data is None or not Path(args.data).is_dir():
        sys.exit("give the folder with the data: --data PATH (or TOUGHEN_DATA)")
    results = RESULTS / f"techniques-{args.task}.jsonl"
    done = {(r["run"], r["seed"]) for r in read(results)}
    task = TASKS[args.task]
    splits = take(task, Path(args.data))
    for name in args.only:
        if (name, args.seed) in done:
            continue
        row = one(name, task, splits, args.seed)
        row |= {"task": args.task, "rows": task.rows, "settings": task.training}
        row["command"] = f"python benchmarks/techniques.py --task {args.task} --seed {args.seed}"
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def take(task: Task, root: Path) -> dict[str, Any]:
    """Draw the rows of each split with a fixed seed, none of them twice."""
    import pandas as pd

    def frame(name: str) -> Any:
        return pd.read_parquet(root / name)[["text", "label"]].drop_duplicates("text")

    pool = frame(task.train).sample(frac=1, random_state=0)
    n = task.rows
    cuts = {"train": n["train"], "unlabelled": n["unlabelled"], "validation": 0 if task.validation else n["validation"]}
    splits: dict[str, Any] = {}
    start = 0
    for name, size in cuts.items():
        splits[name] = pool.iloc[start : start + size]
        start += size
    if task.validation:
        splits["validation"] = frame(task.validation)
    splits["test"] = frame(task.test).sample(frac=1, random_state=0).iloc[: n["test"]]
    return splits


def one(name: str, task: Task, splits: dict[str, Any], seed: int) -> dict[str, Any]:
    """Run one recipe and return its row of the table."""
    import toughen
    from toughen.assess.intervals import MAIN_METRICS, metric_intervals
    from toughen.demo.encoder import find_minilm

    folder = Path(tempfile.mkdtemp(prefix="techniques-"))
    overrides: dict[str, Any] = {"training": task.training | {"save_total_limit": 1}}
    if name.endswith("+unlabelled"):
        splits["unlabelled"][["text"]].to_parquet(folder / "unlabelled.parquet")
        ratio = task.rows["unlabelled"] / task.rows["train"]
        overrides |= {"data.unlabelled": str(folder / "unlabelled.parquet"), "data.unlabelled_ratio": ratio}
    data = {part: splits[part] for part in ("train", "validation", "test")}
    cpu = time.process_time()
    run = toughen.train(
        data,
        model=find_minilm(),
        recipe=name.partition("+")[0],
        output=folder / "run",
        seed=seed,
        **overrides,
    )
    cpu = time.process_time() - cpu
    test = splits["test"]
    predicted = run.predict(test["text"].tolist())
    probabilities = [list(row["probabilities"].values()) for row in predicted]
    intervals = metric_intervals(
        "single-label", probabilities, test["label"].tolist(), metrics=MAIN_METRICS["single-label"]
    )
    metrics = run.metrics
    shutil.rmtree(folder)
    return {
        "run": name,
        "seed": seed,
        "validation": metrics["validation"],
        "test": metrics["test"],
        "test_intervals": {metric: list(interval) for metric, interval in intervals.items() if interval},
        "train": metrics["train"] | {"cpu_seconds_of_the_whole_run": cpu},
        "environment": metrics["environment"],
    }


if __name__ == "__main__":
    main()
