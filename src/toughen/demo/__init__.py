"""`toughen demo`: the whole way from texts to scored classifiers, offline, in a few minutes on two cores.

Imports from `run` and below; only the command imports it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from toughen.assess.metrics import classification_metrics
from toughen.attack.noise.typos import typos
from toughen.demo.corpus import FOLDER
from toughen.demo.encoder import NAME, find_minilm
from toughen.recipe.shipped import DEFAULT
from toughen.run import train
from toughen.statistics.seeds import over_seeds

if TYPE_CHECKING:
    from rich.console import Console

    from toughen.run import Run

PLAIN = "plain"
SEEDS = (0, 1, 2)
TYPO_RATE = 0.1
TRAINING: Mapping[str, Any] = {"epochs": 2.0, "max_length": 64, "log_steps": 25}
OF_RECIPE: Mapping[str, Mapping[str, Any]] = {
    # What people do without this package: the model's own head, and no look at the data beforehand.
    PLAIN: {"probe": False, "head.pooling": "model"},
    DEFAULT: {},
}
METRICS = ("accuracy", "f1", "roc_auc", "log_loss")
UNDER_TYPOS = "accuracy_under_typos"
BASELINE = "words"


def main(output: Path = Path("demo-run")) -> dict[str, Any]:
    """Fine-tune all-MiniLM-L6-v2 on the shipped corpus, plain and by default, and print both beside a simple model.

    Args:
        output: folder for the runs, one per recipe and seed; an earlier demo there is replaced.

    Returns:
        {"model", "training", "typo_rate", "seeds", "baseline": metrics, "runs": {recipe: [metrics of each seed]},
        "differences": {metric: {mean, low, high}}}, the default's minus plain's, paired by seed, Student's 95 %
        interval; "verdict" and "next" of the default's first run; "collapsed": whether a run has learnt nothing.

    Raises:
        InputError: if the encoder is not installed or the folder holds something else than a demo.
    """
    model = find_minilm()
    console = Console(highlight=False)
    console.print(f"model: {NAME}, with a new classification head", soft_wrap=True)
    runs: dict[str, list[Run]] = {recipe: [] for recipe in OF_RECIPE}
    for seed in SEEDS:
        for recipe, made in runs.items():
            console.print(f"\n[bold]{recipe}, seed {seed}[/bold]")
            made.append(_train(recipe, seed, model, output / recipe / f"seed-{seed}"))
    results = {recipe: [_scores(run) for run in made] for recipe, made in runs.items()}
    baseline = runs[DEFAULT][0].metrics["baselines"]["test"][BASELINE]
    compared = {name: _difference(results, name) for name in (*METRICS, UNDER_TYPOS)}
    _show(baseline, results, compared, console)
    console.print(f"curves: tensorboard --logdir {output}", soft_wrap=True)
    told = {name: runs[DEFAULT][0].metrics[name] for name in ("verdict", "next")}
    for name, line in told.items():
        console.print(f"{name}: {line}", markup=False, soft_wrap=True)
    return {
        "model": NAME,
        "training": dict(TRAINING),
        "typo_rate": TYPO_RATE,
        "seeds": list(SEEDS),
        "baseline": baseline,
        "runs": results,
        "differences": compared,
        "collapsed": any(run.metrics["collapsed"] for made in runs.values() for run in made),
        **told,
    }


def _train(recipe: str, seed: int, model: Path, output: Path) -> Run:
    settings = OF_RECIPE[recipe]
    return train(
        data=FOLDER,
        model=model,
        recipe=recipe,
        output=output,
        overwrite=True,
        seed=seed,
        training=TRAINING,
        **settings,
    )


def _scores(run: Run) -> dict[str, Any]:
    """Return what the table shows: scores on the test split, accuracy under typos, cost, and where the run is."""
    texts, labels = _test_split()
    names = list(run.classifier.label_names)
    ids = np.array([names.index(label) for label in labels])
    noisy = [list(row["probabilities"].values()) for row in run.predict(typos(texts, rate=TYPO_RATE, seed=0))]
    test, cost, probe = run.metrics["test"], run.metrics["train"], run.metrics.get("probe", {})
    return {
        **{name: test[name] for name in METRICS},
        UNDER_TYPOS: classification_metrics(noisy, ids)["accuracy"],
        "seconds": cost["seconds"] + probe.get("seconds", 0.0),
        "units_per_step": cost["units_per_step"],
        "run": str(run.path),
    }


def _test_split() -> tuple[list[str], list[str]]:
    with (FOLDER / "test.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def _difference(results: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> dict[str, float | None]:
    pairs = zip(results[DEFAULT], results[PLAIN], strict=True)
    found = over_seeds([ours[name] - theirs[name] for ours, theirs in pairs])
    return {"mean": found.mean, "low": found.low, "high": found.high}


_ROWS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "roc_auc": "AUC",
    "log_loss": "log loss (less: better)",
    UNDER_TYPOS: f"accuracy, {TYPO_RATE:.0%} typos",
    "seconds": "seconds of training",
    "units_per_step": "units of a step",
}


def _show(
    baseline: Mapping[str, Any],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    compared: Mapping[str, Mapping[str, float | None]],
    console: Console,
) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left")
    table.title = f"mean of {len(SEEDS)} seeds, 300 test reviews of our own corpus"
    simple, ours = "TF-IDF: with a linear model", f"{DEFAULT}: the default"
    table.caption = f"{simple}. {ours}. Difference: {DEFAULT} minus {PLAIN}, by seed, 95 % interval."
    for column in ("test split", "TF-IDF", *results, "difference"):
        table.add_column(column, justify="left" if column == "test split" else "right", no_wrap=True)
    for name, label in _ROWS.items():
        digits = 3 if name in compared else 0
        means = [f"{np.mean([row[name] for row in rows]):.{digits}f}" for rows in results.values()]
        simple = f"{baseline[name]:.3f}" if name in METRICS else ""
        table.add_row(label, simple, *means, _with_interval(compared[name]) if name in compared else "")
    console.print("\n", table, sep="")


def _with_interval(found: Mapping[str, float | None]) -> str:
    if found["low"] is None:  # all seeds alike
        return f"{found['mean']:+.3f}"
    return rf"{found['mean']:+.3f} \[{found['low']:+.3f}, {found['high']:+.3f}]"
