"""`toughen demo`: the whole way from texts to a scored classifier, offline, in a few minutes on two cores.

Imports from `run` and below; only the command imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.assess.intervals import metric_intervals, metric_points
from toughen.assess.metrics import classification_metrics
from toughen.assess.typos import typos
from toughen.demo.corpus import FOLDER
from toughen.demo.encoder import NAME, find_minilm
from toughen.run import train

if TYPE_CHECKING:
    from rich.console import Console

    from toughen.run import Run

RECIPES = ("plain", "accuracy")
TYPO_RATE = 0.1
# Both recipes alike, chosen on the validation split: the new head and the short training want a higher rate than 2e-5.
TRAINING: Mapping[str, Any] = {
    "epochs": 2.5,
    "batch_size": 8,
    "max_length": 64,
    "learning_rate": 1.5e-4,
    "log_steps": 25,
    "metric": "accuracy",
}


def main(output: Path = Path("demo-run")) -> dict[str, Any]:
    """Fine-tune all-MiniLM-L6-v2 on the shipped corpus, plain and toughened, and print both runs side by side.

    Args:
        output: folder for the two runs; an earlier demo there is replaced.

    Returns:
        {"model": ..., "runs": {recipe: {accuracy, f1, roc_auc, mcc, ..., intervals, accuracy_under_typos, seconds,
            ...}}}.

    Raises:
        InputError: if the encoder is not installed or the folder holds something else than a demo.
    """
    from rich.console import Console

    model = find_minilm()
    console = Console(highlight=False)
    console.print(f"model: {NAME}, with a new classification head", soft_wrap=True)
    runs = {recipe: _trained(recipe, model, output / recipe, console) for recipe in RECIPES}
    results = {recipe: _assessed(run) for recipe, run in runs.items()}
    _show(results, console)
    return {"model": NAME, "training": dict(TRAINING), "typo_rate": TYPO_RATE, "runs": results}


def _trained(recipe: str, model: Path, output: Path, console: Console) -> Run:
    console.print(f"\n[bold]{recipe}[/bold]")
    return train(data=FOLDER, model=model, recipe=recipe, output=output, overwrite=True, training=TRAINING)


def _assessed(run: Run) -> dict[str, Any]:
    """Collect what the table shows: scores on the test split with intervals, accuracy under typos, cost, places."""
    import numpy as np

    texts, labels = _test_split()
    noisy = typos(texts, rate=TYPO_RATE, seed=0)
    clean_p, noisy_p = (_probabilities(run, version) for version in (texts, noisy))
    names = list(run.classifier.label_names)
    ids = np.array([names.index(label) for label in labels])
    points = metric_points("single-label", clean_p, ids, names)
    intervals = metric_intervals("single-label", clean_p, ids)
    under_typos = metric_intervals("single-label", noisy_p, ids, metrics=["accuracy"])
    cost = run.metrics["train"]
    return {
        **{name: points[name] for name in intervals},
        "intervals": intervals,
        "accuracy_under_typos": classification_metrics(noisy_p, ids)["accuracy"],
        "accuracy_under_typos_interval": under_typos["accuracy"],
        **{name: cost[name] for name in ("seconds", "passes_per_step", "units_per_step")},
        **{name: str(run.path / place) for name, place in _PLACES.items()},
    }


_PLACES = {"model": "model", "metrics": "metrics.json", "tensorboard": "tensorboard"}


def _test_split() -> tuple[list[str], list[str]]:
    import csv

    with (FOLDER / "test.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def _probabilities(run: Run, texts: Sequence[str]) -> list[list[float]]:
    return [list(prediction["probabilities"].values()) for prediction in run.predict(texts)]


def _show(results: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    from rich.table import Table

    table = Table(title="shows that it runs", title_justify="left", caption_justify="left")
    table.caption = "300 test reviews of our own corpus, one seed; 95 % bootstrap intervals over the reviews"
    table.add_column("test split")
    for recipe in results:
        table.add_column(recipe, justify="right")
    for label, cell in _ROWS.items():
        table.add_row(label, *(cell(result) for result in results.values()))
    console.print("\n", table, sep="")
    for name in _PLACES:
        console.print(f"{name:12}" + "  ".join(result[name] for result in results.values()), soft_wrap=True)
    folder = Path(next(iter(results.values()))["tensorboard"]).parent.parent
    console.print(f"curves      tensorboard --logdir {folder}", soft_wrap=True)


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None or interval is None:
        return "undefined"
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]".replace("[", r"\[")


_ROWS: Mapping[str, Any] = {
    "accuracy": lambda r: _with_interval(r["accuracy"], r["intervals"]["accuracy"]),
    "F1": lambda r: _with_interval(r["f1"], r["intervals"]["f1"]),
    "AUC": lambda r: _with_interval(r["roc_auc"], r["intervals"]["roc_auc"]),
    f"accuracy under typos ({TYPO_RATE:.0%})": lambda r: _with_interval(
        r["accuracy_under_typos"], r["accuracy_under_typos_interval"]
    ),
    "training time, seconds": lambda r: f"{r['seconds']:.0f}",
    "forward passes per step": lambda r: f"{r['passes_per_step']:.1f}",
}
