"""What is lost when an adversary does less: PGD always, now and then, on a share of the rows, late, never; R-AT nearer.

    python benchmarks/economy.py --data PATH_TO_DATA

fine-tunes all-MiniLM-L6-v2 (22.7 M parameters, contrastively trained, Apache-2.0) on 500 sentences of SST-2 per
setting and seed, writes one JSON line per finished run to benchmarks/results/economy.jsonl and the table beside it.
A second start skips the runs that are there. The data are parquet files with columns text and label; they are not
part of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student
from techniques import RESULTS, TASKS, read, take

ROWS = {"train": 500, "validation": 400, "test": 1821}
ATTACKED = 300
RADIUS = 0.1  # of the attack; at 0.5 no more than 3 % of the answers stayed right, whatever was trained
SETTINGS = {"epochs": 3, "learning_rate": 1e-4, "max_length": 64}
STEPS = 96  # 3 epochs of ceil(500 / 16)
VARIANTS: dict[str, dict[str, Any]] = {
    "pgd": {},
    "pgd, every 2": {"adversary.every": 2},
    "pgd, every 4": {"adversary.every": 4},
    "pgd, share 0.5": {"adversary.share": 0.5},
    "pgd, from half-way": {"adversary.start_step": STEPS // 2},
    "plain": {},
    "rat-stack, radius 0.2": {"adversary.radius": 0.2},
    "rat-stack": {},
}
MEASURES = ("f1", "under_pgd", "under_deepwordbug")


def full(name: str) -> str:
    """Return the variant that this one is held against: the same adversary, doing all it can."""
    return "rat-stack, radius 0.2" if name.startswith("rat-stack") else "pgd"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with the data")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--table", action="store_true", help="only write the table anew")
    args = parser.parse_args()
    results = RESULTS / "economy.jsonl"
    if not args.table:
        if args.data is None or not Path(args.data).is_dir():
            sys.exit("give the folder with the data: --data PATH (or TOUGHEN_DATA)")
        splits = drawn(Path(args.data))
        for seed in args.seeds:
            for name in VARIANTS:
                if (name, seed) not in {(row["run"], row["seed"]) for row in read(results)}:
                    row = one(name, splits, seed) | {"command": shlex.join(["python", "benchmarks/economy.py"])}
                    with results.open("a") as file:
                        file.write(json.dumps(row) + "\n")
    (RESULTS / "economy.md").write_text(table(read(results)))


def drawn(root: Path) -> dict[str, Any]:
    """Return the rows that benchmarks/techniques.py draws, cut to fewer."""
    splits = take(TASKS["sst2"], root)
    return {part: splits[part].sample(frac=1, random_state=0)[:count] for part, count in ROWS.items()}


def one(name: str, splits: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one variant; score it, and attack it in embedding space and with wrong letters."""
    import toughen
    from toughen.attack import attack
    from toughen.demo.encoder import find_minilm

    folder = Path(tempfile.mkdtemp(prefix="economy-"))
    overrides = {"training": SETTINGS | {"save_total_limit": 1}} | VARIANTS[name]
    cpu = time.process_time()
    recipe = name.partition(",")[0]
    run = toughen.train(splits, model=find_minilm(), recipe=recipe, output=folder / "run", seed=seed, **overrides)
    cpu = time.process_time() - cpu
    moved = attack(run, splits["test"], "pgd", radius=RADIUS, limit=ATTACKED, seed=0)
    misspelt = attack(run, splits["test"], "deepwordbug", limit=ATTACKED, seed=0)
    metrics = run.metrics
    shutil.rmtree(folder)
    return {
        "run": name, "seed": seed, "f1": metrics["test"]["f1"], "accuracy": metrics["test"]["accuracy"],
        "under_pgd": moved.accuracy_after, "under_deepwordbug": misspelt.accuracy_after,
        "attacks": {"radius": RADIUS, "steps": 10, "rows": ATTACKED},
        "units_per_step": metrics["train"]["units_per_step"], "steps": metrics["train"]["steps"],
        "cpu_seconds": cpu, "rows": ROWS, "settings": SETTINGS, "environment": metrics["environment"],
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Return the page: means, and differences to the adversary that does all it can, paired by seed."""
    lines = [
        "# What is lost when an adversary does less",
        "",
        f"all-MiniLM-L6-v2 on {ROWS['train']} sentences of SST-2, 3 epochs; {ROWS['validation']} rows choose the "
        f"epoch, {ROWS['test']:,} are the test. Accuracy under attack, on {ATTACKED} test rows: PGD, ten steps in "
        f"embedding space, radius {RADIUS} mean embedding rows (a bound, no text is written), and DeepWordBug, which "
        "misspells words. Differences to `pgd` at every step, or to `rat-stack` with radius 0.2, are paired by seed, "
        "with Student's 95 % intervals over seeds. Written by `python benchmarks/economy.py --table` from "
        "`economy.jsonl`.",
        "",
        "| adversary | seeds | units a step | test F1 | difference | under PGD | difference | under DeepWordBug "
        "| difference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    by_name = {name: {row["seed"]: row for row in rows if row["run"] == name} for name in VARIANTS}
    for name, runs in by_name.items():
        if runs:
            units = np.mean([row["units_per_step"] for row in runs.values()])
            cells = [cell for of in MEASURES for cell in _cells(runs, by_name[full(name)], of)]
            lines.append(f"| {name} | {len(runs)} | {units:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cells(runs: dict[int, Any], base: dict[int, Any], of: str) -> tuple[str, str]:
    mean = f"{np.mean([row[of] for row in runs.values()]):.3f}"
    pairs = [runs[seed][of] - base[seed][of] for seed in runs if seed in base]
    if runs is base or len(pairs) < 2:
        return mean, ""
    half = student.ppf(0.975, len(pairs) - 1) * np.std(pairs, ddof=1) / np.sqrt(len(pairs))
    middle = np.mean(pairs)
    return mean, f"{middle:+.3f} [{middle - half:+.3f}, {middle + half:+.3f}]"


if __name__ == "__main__":
    main()
