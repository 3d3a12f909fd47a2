"""Five seeds of `plain` on SST-2, and what `toughen combine` makes of them: accuracy, models per text, seconds.

    python benchmarks/combine.py --data PATH_TO_DATA --work FOLDER

fine-tunes all-MiniLM-L6-v2 (22.7 M parameters, contrastively trained, Apache-2.0) on 2,000 sentences with five seeds
and combines the runs in every way. Runs stay in the work folder, one JSON line per result goes to
benchmarks/results/combine.jsonl; a second start skips what is there and writes benchmarks/results/combine.md anew.
The data are parquet files with columns text and label; they are not part of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import techniques

RESULTS = Path(__file__).parent / "results"
SEEDS = (1, 2, 3, 4, 5)
HELD_OUT = 900  # rows for the stack, which no run has seen
TRAINING = {"epochs": 2, "learning_rate": 1e-4, "max_length": 64, "save_total_limit": 1}
HOWS: dict[str, dict[str, Any]] = {
    "mean-probabilities": {},
    "mean-logits": {},
    "vote": {},
    "weights": {},
    "stack": {"data": "held_out.parquet"},
    "uniform-soup": {},
    "greedy-soup": {},
    "distil": {"unlabelled": "unlabelled.parquet"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with the data")
    parser.add_argument("--work", type=Path, help="folder in which the runs stay")
    parser.add_argument("--table", action="store_true", help="only write the table anew")
    args = parser.parse_args()
    if not args.table:
        if args.data is None or not Path(args.data).is_dir() or args.work is None:
            sys.exit("give the folder with the data, --data PATH (or TOUGHEN_DATA), and --work FOLDER")
        work(Path(args.data), args.work)
    (RESULTS / "combine.md").write_text(table(read()))


def read() -> list[dict[str, Any]]:
    path = RESULTS / "combine.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def work(root: Path, folder: Path) -> None:
    """Make the missing runs and results."""
    import toughen
    from toughen.demo.encoder import find_minilm

    desk = prepare(root, folder)
    done = {row["run"] for row in read()}
    members = [folder / f"seed-{seed}" for seed in SEEDS]
    for seed, output in zip(SEEDS, members, strict=True):
        if f"seed {seed}" in done and (output / "metrics.json").exists():
            continue
        began = time.process_time()
        run = toughen.train(
            desk, model=find_minilm(), recipe="plain", output=output, seed=seed, training=TRAINING, overwrite=True
        )
        if f"seed {seed}" not in done:
            keep(f"seed {seed}", run, desk, time.process_time() - began)
    for how, given in HOWS.items():
        if how in done:
            continue
        given = {key: folder / name for key, name in given.items()}
        began = time.process_time()
        run = toughen.combine(members, how=how, output=folder / how, link=True, overwrite=True, **given)
        keep(how, run, desk, time.process_time() - began)


def prepare(root: Path, folder: Path) -> Path:
    """Write the splits into the work folder, and beside them the texts without labels and the rows for the stack."""
    import pandas as pd

    task = techniques.TASKS["sst2"]
    splits = techniques.take(task, root)
    pool = pd.read_parquet(root / task.train)[["text", "label"]].drop_duplicates("text").sample(frac=1, random_state=0)
    used = task.rows["train"] + task.rows["unlabelled"]
    desk = folder / "data"
    desk.mkdir(parents=True, exist_ok=True)
    for name in ("train", "validation", "test"):
        splits[name].to_parquet(desk / f"{name}.parquet", index=False)
    splits["unlabelled"][["text"]].to_parquet(folder / "unlabelled.parquet", index=False)
    taken = set(splits["validation"]["text"]) | set(splits["test"]["text"])
    rest = pool.iloc[used:]
    rest[~rest["text"].isin(taken)].iloc[:HELD_OUT].to_parquet(folder / "held_out.parquet", index=False)
    return desk


def keep(name: str, run: Any, desk: Path, cpu: float) -> None:
    """Score the test split with its interval and append a line."""
    import torch

    from toughen.assess.intervals import metric_intervals
    from toughen.data import load_labelled

    rows = load_labelled(desk / "test.parquet", label_names=run.classifier.label_names)
    classifier = run.classifier  # loaded before the clock starts
    began = time.process_time()
    outputs = classifier.outputs(rows, batch_size=64)
    answering = time.process_time() - began
    metrics, content = run.metrics, json.loads(_read(run.path / "combination.json"))
    row = {
        "run": name,
        "test": metrics["test"],
        "accuracy_interval": list(metric_intervals("single-label", outputs, rows["label"][:])["accuracy"] or ()),
        "passes_per_text": content.get("passes", 1),
        "train": metrics["train"],
        "teacher": (content.get("distil") or {}).get("teacher_train"),
        "weights": content.get("weights"),
        "in_the_soup": len((content.get("soup") or {}).get("chosen", [])) or None,
        "selection": content.get("selection"),
        "cpu_seconds_of_making_it": cpu,
        "cpu_seconds_to_answer_the_test_split": answering,
        "settings": TRAINING,
        "environment": metrics["environment"] | {"threads": torch.get_num_threads()},
        "command": "python benchmarks/combine.py --data PATH --work FOLDER",
    }
    with (RESULTS / "combine.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else "{}"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table of what is there."""
    lines = [
        "| run | accuracy | 95 % interval | log loss | models per text | ms per text | units | CPU seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found = {row["run"]: row for row in rows}
    singles = [found[f"seed {seed}"] for seed in SEEDS if f"seed {seed}" in found]
    if singles:
        lines.append(_single(singles))
    before = sum(row["cpu_seconds_of_making_it"] for row in singles)
    for how in HOWS:
        lines.append(_line(how, found[how], before) if how in found else f"| {how} | not measured | | | | | | |")
    return "\n".join(["# Five seeds combined, SST-2 sentences", "", *lines, "", NOTE, ""])


def _single(rows: list[dict[str, Any]]) -> str:
    accuracies = [row["test"]["accuracy"] for row in rows]
    loss = statistics.mean(row["test"]["log_loss"] for row in rows)
    spread = f"{min(accuracies):.4f} to {max(accuracies):.4f} (range)"
    units = statistics.mean(_units(row["train"]) for row in rows)
    seconds = statistics.mean(row["cpu_seconds_of_making_it"] for row in rows)
    mean, each = statistics.mean(accuracies), statistics.mean(map(_each, rows))
    cells = [f"{mean:.4f}", spread, f"{loss:.4f}", 1, f"{each:.1f}", f"{units:,.0f}", f"{seconds:,.0f}"]
    return f"| single, mean of {len(rows)} | {' | '.join(map(str, cells))} |"


def _line(name: str, row: dict[str, Any], before: float) -> str:
    """Return the line of a combination; its cost includes what the members cost before."""
    low, high = row["accuracy_interval"]
    test, parts = row["test"], [row["train"], *([row["teacher"]] if row["teacher"] else [])]
    units, seconds = sum(map(_units, parts)), before + row["cpu_seconds_of_making_it"]
    told = f"{name} ({row['in_the_soup']} of {len(SEEDS)})" if row["in_the_soup"] else name
    cells = [f"{test['accuracy']:.4f}", f"{low:.4f} to {high:.4f}", f"{test['log_loss']:.4f}", row["passes_per_text"]]
    cells += [f"{_each(row):.1f}", f"{units:,.0f}", f"{seconds:,.0f}"]
    return f"| {told} | {' | '.join(map(str, cells))} |"


def _each(row: dict[str, Any]) -> float:
    return 1000 * float(row["cpu_seconds_to_answer_the_test_split"]) / int(row["test"]["n"])


def _units(train: dict[str, float]) -> float:
    return train["units_per_step"] * train["steps"]


NOTE = (
    "All-MiniLM-L6-v2 with `plain`, 2,000 training sentences of SST-2, 2 epochs at most 64 tokens, seeds 1 to 5; 872 "
    "validation rows choose the epoch, the weights and the soup; 1,821 test rows are scored once per run. The interval "
    "is a bootstrap over the test texts, so it says nothing of other seeds: of the single runs the range over the "
    f"seeds stands there. The stack is fitted on {HELD_OUT} labelled rows that no run has seen, which the others do "
    "not have. The student of `distil` (alpha 1/2, temperature 2, same size) reads 4,000 more sentences without "
    "labels. Units: a forward pass counts 1, a backward pass 2, per step; those of `distil` and of everything else "
    "include the five runs that are combined. CPU seconds are those of the whole process, with reading, validation and "
    "scoring, one thread, on a machine that did other things too: compare units. Every number is in `combine.jsonl`."
)

if __name__ == "__main__":
    main()
