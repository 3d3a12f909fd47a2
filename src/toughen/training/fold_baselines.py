"""Simple models in the folds of a run: every row is answered by those that have not seen it, and test by their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toughen.assess.metrics import task_metrics, weights_of
from toughen.huggingface.pretrained import load_frozen
from toughen.training.baselines import GRID, fit_linear, majority
from toughen.training.fold_plan import Plan, split_fold
from toughen.training.frozen import frozen_features
from toughen.training.probe import ROWS, WORDS_ROWS, label_array, sample_rows, words_outputs

if TYPE_CHECKING:
    from toughen.arrays import Floats
    from toughen.recipe.recipe import Recipe


def fold_baselines(plan: Plan, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Score simple models as the folds' models are scored; each learns from the rows of its fold's model.

    Args:
        plan: the folds.
        recipe: as the first fold settled it. With ``probe: false`` nothing is fitted, and of tokens nothing is either.

    Returns:
        ``out_of_fold`` and, with a test split, ``test``: metrics by simple model, as in ``baselines`` of a training, on
        at most ``ROWS`` rows of each. Empty where nothing was fitted.
    """
    if not recipe.probe or plan.splits.task == "tokens":
        return {}
    seed, test = recipe.training.seed, plan.splits.test
    pool = sample_rows(plan.pool, ROWS, seed)
    scored = {"out_of_fold": pool} | ({} if test is None else {"test": sample_rows(test, ROWS, seed)})
    vectors = _embed_rows(plan, recipe, scored)
    place = {row: at for at, row in enumerate(np.asarray(plan.pool["row"][:]).tolist())}
    fold_of = plan.fold[[place[row] for row in pool["row"][:]]]
    held, others = [], []
    for fold in range(plan.folds):
        mine = np.flatnonzero(fold_of == fold)
        rows = {name: pool.select(mine) if name == "out_of_fold" else part for name, part in scored.items()}
        rows = {name: part for name, part in rows.items() if len(part)}
        of_rows = {name: found[mine] if name == "out_of_fold" else found for name, found in vectors.items()}
        answers = _of_fold(plan, recipe, fold, rows, of_rows, (pool, vectors["out_of_fold"]))
        if len(mine):
            held.append((mine, answers["out_of_fold"]))
        if test is not None:
            others.append(answers["test"])
    whole = {kind: _in_order([(at, found[kind]) for at, found in held], len(pool)) for kind in held[0][1]}
    outputs = {"out_of_fold": whole}
    if others:
        outputs["test"] = {kind: np.mean([found[kind] for found in others], axis=0) for kind in others[0]}
    return {name: _score(plan, scored[name], found) for name, found in outputs.items()}


def _embed_rows(plan: Plan, recipe: Recipe, scored: dict[str, Any]) -> dict[str, Floats]:
    """Return the encoder's vectors of the rows, [N, width]: the encoder as it is is the same in every fold."""
    splits, size = plan.splits, recipe.training.eval_batch_size
    prepared = load_frozen(recipe, splits.label_names, splits.task, pairs="text_pair" in plan.pool.column_names)
    found = {name: frozen_features(prepared, rows, ("model",), batch_size=size) for name, rows in scored.items()}
    return {name: vectors.get("model", np.zeros((len(scored[name]), 0))) for name, vectors in found.items()}


def _of_fold(
    plan: Plan, recipe: Recipe, fold: int, rows: dict[str, Any], vectors: dict[str, Floats], known: tuple[Any, Floats]
) -> dict[str, dict[str, Floats]]:
    """Return by row set what each simple model of a fold answers; ``known`` are rows of the pool and their vectors."""
    task, seed = plan.splits.task, recipe.training.seed
    splits = split_fold(plan, recipe, fold)
    train, classes = splits.train, len(splits.label_names)
    every = label_array(train, task)
    words = words_outputs(sample_rows(train, WORDS_ROWS, seed), list(rows.values()), splits, seed)
    found = {
        name: {"majority": majority(task, every, len(part), classes), "words": answers}
        for (name, part), answers in zip(rows.items(), words, strict=True)
    }
    pool, x = known
    if x.shape[1]:
        learnt = np.isin(np.asarray(pool["row"][:]), np.asarray(train["row"][:]))
        fitted = fit_linear(task, x[learnt], label_array(pool, task)[learnt], classes, GRID, seed)
        for name, answers in found.items():
            answers["frozen"] = fitted.outputs(vectors[name])
    return found


def _in_order(parts: list[tuple[NDArray[np.int64], Floats]], count: int) -> Floats:
    placed = np.empty((count, *parts[0][1].shape[1:]))
    for where, outputs in parts:
        placed[where] = outputs
    return placed


def _score(plan: Plan, rows: Any, outputs: dict[str, Floats]) -> dict[str, Any]:
    task, labels, weights = plan.splits.task, label_array(rows, plan.splits.task), weights_of(rows)
    return {
        kind: task_metrics(task, found, labels, plan.splits.label_names, weights=weights)
        for kind, found in outputs.items()
    }
