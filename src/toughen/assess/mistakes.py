"""The worst mistakes, to be read: what the model was surest of and wrong about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toughen.assess.confusion import add_confusions, confusion
from toughen.assess.slices import Scorable


def worst_mistakes(data: Scorable, most: int) -> list[dict[str, Any]]:
    """Return the texts that are most wrong, worst first.

    Single-label: wrong answers by their probability. Multi-label: wrong label sets by the largest |p - truth| of a
    label that was decided wrongly. Regression: by the absolute error. Tokens: texts by the probability of their
    surest wrong tag.

    Returns:
        Dicts with row, text (text_pair), label, prediction and score (what they are ranked by); of multi-label also
        wrong_label, of tokens word (number from 0).
    """
    scores, more = _SCORES[data.task](data)
    wrong = np.flatnonzero(scores > -np.inf)
    chosen = wrong[np.argsort(-scores[wrong], kind="stable")][:most]
    found = []
    for i in chosen.tolist():
        texts = {name: data.rows[i][name] for name in ("text", "text_pair") if name in data.rows.column_names}
        said = {"label": data.truth[i], "prediction": data.said[i], "score": float(scores[i])}
        found.append({"row": int(data.rows[i]["row"]), **texts, **said, **more[i]})
    return found


TOLD = 10
"""Mistakes that a training keeps, to be read in its report."""


def describe_mistakes(split: str, parts: Sequence[Scorable]) -> dict[str, Any]:
    """Return what a training keeps of its mistakes, as ``mistakes.json`` has it.

    Args:
        split: on which texts.
        parts: the scored sets, one, or of a run in folds one per fold.

    Returns:
        ``split``, ``confusion`` (as :func:`toughen.assess.confusion.confusion` returns it; None of numbers), and
        ``mistakes``, the worst first.
    """
    counts = None if parts[0].task == "regression" else add_confusions([confusion(p.task, p) for p in parts])
    found = [one for part in parts for one in worst_mistakes(part, TOLD)]
    worst = sorted(found, key=lambda one: -one["score"])[:TOLD]
    return {"split": split, "confusion": counts, "mistakes": worst}


Ranked = tuple[Any, list[dict[str, Any]]]


def _single(data: Scorable) -> Ranked:
    wrong = np.array([said != truth for said, truth in zip(data.said, data.truth, strict=True)], dtype=bool)
    sure = np.asarray(data.confidence, dtype=np.float64)
    return np.where(wrong, sure, -np.inf), [{}] * data.n


def _several(data: Scorable) -> Ranked:
    truth = np.asarray(data.rows["label"][:], dtype=np.float64)
    said = np.array([[name in labels for name in data.names] for labels in data.said], dtype=np.float64)
    errors = np.where(said != truth, np.abs(np.asarray(data.outputs) - truth), -np.inf)
    worst = errors.argmax(axis=1)
    return errors.max(axis=1), [{"wrong_label": data.names[i]} for i in worst]


def _number(data: Scorable) -> Ranked:
    errors = np.abs(np.asarray(data.said, dtype=np.float64) - np.asarray(data.truth, dtype=np.float64))
    return np.where(errors > 0, errors, -np.inf), [{}] * data.n


def _tags(data: Scorable) -> Ranked:
    scores, more = np.full(data.n, -np.inf), [{"word": 0} for _ in range(data.n)]
    for i, (rows, tags) in enumerate(zip(data.outputs, data.rows["label"][:], strict=True)):
        sure = (
            np.where(rows.argmax(axis=1) != np.asarray(tags), rows.max(axis=1), -np.inf) if len(rows) else np.empty(0)
        )
        if len(sure):
            scores[i], more[i] = sure.max(), {"word": int(sure.argmax())}
    return scores, more


_SCORES = {"single-label": _single, "multi-label": _several, "regression": _number, "tokens": _tags}
