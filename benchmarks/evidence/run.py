"""What the defaults rest on: recipes over data sets and seeds, each training in a process of its own on one thread.

    python benchmarks/evidence/run.py --stage screen --data PATH_TO_DATA [--sets ...] [--arms ...] [--seeds ...]

Appends a line of JSON per finished training to benchmarks/results/evidence-STAGE.jsonl and skips on a second start
what is there. `screen` scores left-over training rows, `finals` the test split. Targets, order and stopping rule are
in plan.md, written before the first row. The data are parquet files; they are not part of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from arms import AN_EPOCH, ARMS, MEMBERS
from sets import SETS, draw

RESULTS = Path(__file__).parent.parent / "results"
TYPO_RATES = (0.1, 0.3)
"""Shares of the words that are mistyped, to see what a classifier is worth on them."""
SCORED = {"screen": "screen", "finals": "test"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stage", choices=SCORED, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with the data")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--cell", nargs=3, metavar=("SET", "ARM", "SEED"), help="one training; prints its row")
    args = parser.parse_args()
    if args.data is None or not Path(args.data).is_dir():
        sys.exit("give the folder with the data: --data PATH (or TOUGHEN_DATA)")
    if args.cell:
        print(json.dumps(train_cell(args.cell[0], args.cell[1], int(args.cell[2]), args.stage, Path(args.data))))
        return
    path = RESULTS / f"evidence-{args.stage}.jsonl"
    for seed in args.seeds:
        for name in args.sets:
            for arm in args.arms:
                if (name, arm, seed) not in {(row["set"], row["arm"], row["seed"]) for row in read(path)}:
                    with path.open("a") as file:
                        file.write(in_child(name, arm, seed, args.stage, args.data))


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of results; none where there is no file yet."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def in_child(name: str, arm: str, seed: int, stage: str, data: Path) -> str:
    """Train one cell in a fresh process on one thread, so that no cell depends on the one before."""
    command = [sys.executable, __file__, "--stage", stage, "--data", str(data), "--cell", name, arm, str(seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()[-1] + "\n"


def train_cell(name: str, arm: str, seed: int, stage: str, root: Path) -> dict[str, Any]:
    """Train one arm on one data set and score the rows of the stage."""
    import numpy as np
    import torch

    import toughen
    from toughen.attack.noise.typos import typos
    from toughen.demo.encoder import find_minilm

    torch.set_num_threads(1)
    parts = draw(name, root)
    rows = parts[SCORED[stage]]
    texts = rows["text"].tolist()
    mistyped = {str(rate): typos(texts, rate=rate, seed=0) for rate in TYPO_RATES}
    settings = settings_of(name, arm)
    recipe, members = settings.pop("recipe"), settings.pop(MEMBERS, 1)
    columns = ["text", "label"]
    data = {part: parts[part][columns] for part in ("train", "validation")}
    answers, seconds = [], 0.0
    for member in range(members):
        folder = Path(tempfile.mkdtemp(prefix="evidence-"))
        before = os.times()
        run = toughen.train(
            data, model=find_minilm(), recipe=recipe, output=folder / "run", seed=seed + 1000 * member, quiet=True,
            **settings,
        )  # fmt: skip
        after = os.times()
        seconds += after.user + after.system - before.user - before.system
        answers.append({None: probabilities_of(run, texts)} | {r: probabilities_of(run, mistyped[r]) for r in mistyped})
        names, metrics = list(run.classifier.label_names), run.metrics
        shutil.rmtree(folder)
    labels = np.array([names.index(str(label)) for label in rows["label"]])
    mean = {rate: np.mean([answer[rate] for answer in answers], axis=0) for rate in answers[0]}
    right = {rate: found.argmax(1) == labels for rate, found in mean.items()}
    return {
        "set": name, "arm": arm, "seed": seed, "stage": stage, "scored": len(rows), **scores(mean[None], labels),
        "under_typos": {rate: float(right[rate].mean()) for rate in mistyped},
        "validation_f1": metrics["validation"]["f1"], "units_per_step": metrics["train"]["units_per_step"],
        "steps": metrics["train"]["steps"], "train_seconds": metrics["train"]["seconds"], "cpu_seconds": seconds,
        "probe": metrics.get("probe"), "settings": settings | {"recipe": recipe, MEMBERS: members},
        "commit": commit(), "environment": metrics["environment"],
        "right": "".join("01"[int(hit)] for hit in right[None]),
    }  # fmt: skip


def settings_of(name: str, arm: str) -> dict[str, Any]:
    """Return the settings of an arm for a data set."""
    an_epoch = -(-SETS[name].rows // ARMS[arm]["training.batch_size"])
    settings = {key: an_epoch if value == AN_EPOCH else value for key, value in ARMS[arm].items()}
    return settings | {"training.max_length": SETS[name].max_length}


def probabilities_of(run: Any, texts: list[str]) -> Any:
    """Return the probabilities [texts, classes] of a run."""
    import numpy as np

    return np.array([list(answer["probabilities"].values()) for answer in run.predict(texts)])


def scores(probabilities: Any, labels: Any) -> dict[str, float]:
    """Return accuracy, F1 (of two classes that of class 1, else macro), AUC (one versus rest) and log loss."""
    from sklearn import metrics as sk

    predicted, two = probabilities.argmax(1), probabilities.shape[1] == 2
    return {
        "accuracy": float((predicted == labels).mean()),
        "f1": float(sk.f1_score(labels, predicted, average="binary" if two else "macro")),
        "auc": float(sk.roc_auc_score(labels, probabilities[:, 1] if two else probabilities, multi_class="ovr")),
        "log_loss": float(sk.log_loss(labels, probabilities, labels=range(probabilities.shape[1]))),
    }


def commit() -> str:
    """Return the commit of the code that ran; with a plus where files were changed."""
    here = Path(__file__).parent
    name = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=here, stdout=subprocess.PIPE, text=True)
    changed = subprocess.run(["git", "status", "--porcelain", "../../src"], cwd=here, stdout=subprocess.PIPE, text=True)
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "")


if __name__ == "__main__":
    main()
