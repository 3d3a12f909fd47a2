"""The probe: one pass of the frozen encoder, between data and training.

It says what fine-tuning has to beat (simple models on the same rows), and how the tokens become one vector where
neither the recipe nor the model's files say. Test rows are scored and decide nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toughen.assess.headline import headlines
from toughen.assess.metrics import task_metrics, weights_of
from toughen.cost.plan_line import probe_line
from toughen.huggingface.pretrained import load_frozen, settle_recipe
from toughen.model.head_config import Pooling
from toughen.recipe.auto import AUTO, fill_auto
from toughen.tasks import TaskName
from toughen.training.baselines import GRID, WORDS_GRID, Fitted, fit_linear, majority, word_features
from toughen.training.frozen import frozen_features

if TYPE_CHECKING:
    from toughen.arrays import Floats
    from toughen.data import Splits
    from toughen.recipe.recipe import Recipe

ROWS = 2_000
"""Rows of a split, at most, that the frozen encoder reads."""
WORDS_ROWS = 20_000
"""Training rows, at most, that TF-IDF is made of."""
CANDIDATES: tuple[Pooling, ...] = ("model", "mean", "cls")
"""Poolings that frozen features can tell apart: attention has yet to learn, and last4 is wider, not another choice."""
Say = Callable[[str], object]
Account = dict[str, Any]


def probe(recipe: Recipe, splits: Splits, say: Say) -> tuple[Recipe, Account]:
    """Settle what the recipe leaves to the run, and find what simple models make of the same rows.

    Args:
        recipe: with ``probe: false`` nothing is passed through the model, and an open pooling is the model's own head.
        splits: checked data; of tokens, which have a vector each, there is no probe.
        say: told every line.

    Returns:
        The recipe with nothing left open, and the account for ``metrics.json``: ``baselines`` (by split, then
        ``majority``, ``words`` and ``frozen``, the metrics of each) and ``probe`` (rows, seconds, pooling, and the log
        loss of each pooling compared); empty where nothing was probed.

    Raises:
        InputError: if the model cannot be found, or cannot have the recipe's head.
    """
    stated = settle_recipe(recipe, splits.task)
    if not recipe.probe or splits.task == "tokens":
        done = fill_auto(stated, {"head.pooling": "model"})
        account: Account = {}
    else:
        parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        rows = {name: sample_rows(part, ROWS, recipe.training.seed) for name, part in parts.items() if part is not None}
        say(probe_line({name: len(part) for name, part in rows.items()}, recipe.training.batch_size))
        began = time.perf_counter()
        done, account = _run_probe(stated, splits, rows)
        account["probe"]["seconds"] = time.perf_counter() - began
    account.get("probe", {})["because"] = because = _reason(recipe, stated, done)
    for line in _lines(recipe, done, because):
        say(line)
    for line in headlines({name: found for name, found in account.get("baselines", {}).items() if name != "test"}):
        say(f"to beat: {line}")
    return done, account


def _run_probe(recipe: Recipe, splits: Splits, rows: Mapping[str, Any]) -> tuple[Recipe, Account]:
    """Pass the rows through the model, choose the pooling if it is open, and score the simple models."""
    task, seed, size = splits.task, recipe.training.seed, recipe.training.eval_batch_size
    # What enters the last layer serves of any head that is decided on.
    asked: tuple[Pooling, ...] = CANDIDATES if recipe.head.pooling == AUTO else ("model",)
    prepared = load_frozen(recipe, splits.label_names, task, pairs="text_pair" in splits.train.column_names)
    features = {name: frozen_features(prepared, part, asked, batch_size=size) for name, part in rows.items()}
    y, classes = label_array(rows["train"], task), len(splits.label_names)
    fitted = {pooling: fit_linear(task, x, y, classes, GRID, seed) for pooling, x in features["train"].items()}
    chosen = better(fitted)
    outputs = _without_encoder(splits, {name: part for name, part in rows.items() if name != "train"}, seed)
    for name, found in outputs.items():
        found |= {} if chosen is None else {"frozen": fitted[chosen].outputs(features[name][chosen])}
    baselines: dict[str, dict[str, Any]] = {name: {} for name in outputs}
    for name, found in outputs.items():
        labels, weights = label_array(rows[name], task), weights_of(rows[name])
        for k, p in found.items():
            baselines[name][k] = task_metrics(task, p, labels, splits.label_names, weights=weights)
    losses = {name: float(fit.losses.mean()) for name, fit in fitted.items() if len(fit.losses)}
    done = fill_auto(recipe, {"head.pooling": chosen or "model"})
    counts = {name: len(part) for name, part in rows.items()}
    return done, {"baselines": baselines, "probe": {"rows": counts, "pooling": done.head.pooling, "losses": losses}}


def better(fitted: Mapping[Pooling, Fitted]) -> Pooling | None:
    """Return the pooling to take: the model's own head, unless another is better by more than its standard error.

    What is compared is the loss of each training row under a model that did not see it, row by row; of several that
    are better, the one of the least loss. A model of whose own head nothing is seen takes the first; None of nothing.
    """
    if not fitted:
        return None
    own = chosen = next(iter(fitted))
    for name, fit in fitted.items():
        gain = fitted[own].losses - fit.losses
        if len(gain) < 2 or gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)):
            continue
        if fit.losses.mean() < fitted[chosen].losses.mean():
            chosen = name
    return chosen


def _without_encoder(splits: Splits, scored: Mapping[str, Any], seed: int) -> dict[str, dict[str, Floats]]:
    """Return what the models that need no encoder answer on the rows of each split."""
    task, classes = splits.task, len(splits.label_names)
    words = sample_rows(splits.train, WORDS_ROWS, seed)
    every = label_array(splits.train, task)
    answers = words_outputs(words, list(scored.values()), splits, seed)
    return {
        name: {"majority": majority(task, every, len(part), classes), "words": found}
        for (name, part), found in zip(scored.items(), answers, strict=True)
    }


def words_outputs(words: Any, others: list[Any], splits: Splits, seed: int) -> list[Floats]:
    """Return what a linear model of TF-IDF answers on each of the others; its penalty is chosen on ``ROWS`` rows."""
    task, classes = splits.task, len(splits.label_names)
    x, found = word_features(words, others)
    y = label_array(words, task)
    few = np.sort(np.random.default_rng(seed).permutation(len(y))[:ROWS])
    strength = fit_linear(task, x[few], y[few], classes, WORDS_GRID, seed).strength
    fitted = fit_linear(task, x, y, classes, (strength,), seed)
    return [fitted.outputs(part) for part in found]


def sample_rows(rows: Any, most: int, seed: int) -> Any:
    """Return at most so many of the rows, drawn without return, in their order."""
    if len(rows) <= most:
        return rows
    return rows.select(np.sort(np.random.default_rng(seed).permutation(len(rows))[:most]))


def label_array(rows: Any, task: TaskName) -> NDArray[Any]:
    """Return the labels of rows: class ids [N], 0 and 1 [N, K], or numbers [N]."""
    return np.asarray(rows["label"][:], np.int64 if task == "single-label" else np.float64)


def _reason(asked: Recipe, stated: Recipe, done: Recipe) -> str:
    if asked.head.pooling != AUTO:
        return "recipe"
    if stated.head.pooling != AUTO:
        return "files"
    return "own" if done.head.pooling == "model" else "probe"


def _lines(asked: Recipe, done: Recipe, because: str) -> Iterator[str]:
    why = {"files": "as the model's files say", "probe": "better in the probe", "own": "the model's own head"}
    if because in why:
        yield f"head.pooling: {done.head.pooling} ({why[because]})"
    if asked.training.learning_rate == AUTO:
        yield f"training.learning_rate: {done.training.learning_rate:g} (by the encoder's width)"
