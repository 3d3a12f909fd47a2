"""Scores of parts of the data: by length, by label, by a column, by a filter of the user's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from toughen.arrays import Floats
from toughen.assess.filters import Filter, Mask, parse
from toughen.assess.intervals import MAIN_METRICS, metric_intervals
from toughen.assess.metrics import task_metrics
from toughen.data.read.raw import quote_names
from toughen.data.words import Words
from toughen.errors import InputError
from toughen.tasks import TaskName

SMALL = 30
"""Slices of fewer texts are flagged: their scores say little."""
_MOST = 20  # values of a column that get a slice each
_OTHER = "(other)"
_MISSING = "(missing)"


@dataclass(frozen=True)
class Scorable:
    """One scored set of N texts, as slices and mistakes see it.

    Attributes:
        task: what a label is.
        names: of the labels.
        thresholds: of the classifier.
        rows: dataset with ``text``, ``label``, ``row``, maybe ``text_pair``.
        outputs: of the classifier, as `Classifier.outputs` returns them.
        said: the answer to each text: a name, a list of names, a number.
        truth: its label, likewise.
        confidence: [N] probability of the answer, where a text has one; else None.
        columns: further columns of the source by name, N values each.
    """

    task: TaskName
    names: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    rows: Any
    outputs: Any
    said: list[Any]
    truth: list[Any]
    confidence: Floats | None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, task: TaskName, names: Sequence[str], thresholds: Sequence[float] | None, rows: Any, outputs: Any
    ) -> Scorable:
        """Decide what a classifier's outputs on labelled rows answer."""
        confidence, labels = None, rows["label"][:]
        said: list[Any]
        truth: list[Any]
        if task == "regression":
            said, truth = outputs.tolist(), [float(label) for label in labels]
        elif task == "multi-label":
            cut = 0.5 if thresholds is None else np.asarray(thresholds)
            said = [[names[int(k)] for k in np.flatnonzero(row)] for row in outputs >= cut]
            truth = [[names[int(k)] for k in np.flatnonzero(row)] for row in np.asarray(labels).reshape(outputs.shape)]
        elif task == "tokens":
            said = [[names[int(k)] for k in row.argmax(axis=1)] if len(row) else [] for row in outputs]
            truth = [[names[k] for k in row] for row in labels]
        else:
            ids = outputs.argmax(axis=1) if thresholds is None else (outputs[:, 1] >= thresholds[0]).astype(int)
            said, truth = [names[int(k)] for k in ids], [names[k] for k in labels]
            confidence = outputs[np.arange(len(ids)), ids]
        cuts = None if thresholds is None else tuple(thresholds)
        return cls(task, tuple(names), cuts, rows, outputs, said, truth, confidence)

    @property
    def n(self) -> int:
        """Texts."""
        return len(self.truth)

    def lengths(self) -> Floats:
        """Return the words of each text [N], of pairs of both; a Chinese character is a word."""
        if self.task == "tokens":
            return np.array([len(words) for words in self.rows["text"]], dtype=np.float64)

        parts = [self.rows[name][:] for name in ("text", "text_pair") if name in self.rows.column_names]
        return np.array(
            [sum(len(Words.of(part)) for part in row) for row in zip(*parts, strict=True)], dtype=np.float64
        )

    def values(self, name: str) -> Sequence[Any]:
        """Return what a filter calls ``name``, N values.

        Raises:
            InputError: if there is no such thing.
        """
        own: dict[str, Any] = {"text": self.rows["text"], "label": self.truth, "prediction": self.said}
        if "text_pair" in self.rows.column_names:
            own["text_pair"] = self.rows["text_pair"]
        if name in self.columns:
            return self.columns[name]
        if name == "length":
            return list(self.lengths())
        if name == "confidence" and self.confidence is not None:
            return list(self.confidence)
        if name in own:
            found: list[Any] = list(own[name])
            return found
        known = [*own, "length", *(["confidence"] if self.confidence is not None else []), *self.columns]
        raise InputError(f"--slice: the data have no {name!r}; there is {quote_names(list(dict.fromkeys(known)))}.")


def slices(data: Scorable, asked: Sequence[str] = (), *, samples: int, seed: int) -> list[dict[str, Any]]:
    """Score the texts by quarters of length, by label, and by what was asked for.

    Args:
        data: the scored texts.
        asked: columns and filters; see `toughen.assess.filters.parse`.
        samples: bootstrap resamples of each slice's texts.
        seed: of the resamples.

    Returns:
        One dict per slice: by ("length", "label", a column's name or "filter"), name, n, share (of all texts), small
        (fewer than `SMALL` texts), metrics (the task's main ones, None where undefined) and intervals.

    Raises:
        InputError: if a column or field is missing, or a filter cannot be read.
    """
    masks = [*_by_length(data), *_by_label(data)]
    for one in asked:
        masks += _parts_of(data, parse(one, list(data.columns)))
    return [_score_part(data, by, name, mask, samples, seed) for by, name, mask in masks]


Part = tuple[str, str, Mask]


def _by_length(data: Scorable) -> Iterator[Part]:
    yield from _quarters("length", data.lengths(), " words")


def _quarters(by: str, values: Floats, unit: str = "") -> Iterator[Part]:
    """Divide numbers at their quartiles; equal ones stay together, so there may be fewer than four parts."""
    known = values[~np.isnan(values)]
    if not len(known):
        return
    cuts = [cut for cut in np.unique(np.quantile(known, [0.25, 0.5, 0.75], method="lower")) if cut > known.min()]
    ends = [known.min(), *cuts, np.inf]
    for low, high in pairwise(ends):
        mask = (values >= low) & (values < high)
        own = values[mask]
        name = f"{own.min():g}" if own.min() == own.max() else f"{own.min():g} to {own.max():g}"
        yield by, name + unit, mask


def _by_label(data: Scorable) -> Iterator[Part]:
    if data.task == "regression":
        yield from _quarters("label", np.asarray(data.truth, dtype=np.float64))
        return
    if data.task == "tokens":
        return
    for name in data.names:
        yield (
            "label",
            name,
            np.array(
                [name == label or (data.task == "multi-label" and name in label) for label in data.truth], dtype=bool
            ),
        )


def _parts_of(data: Scorable, asked: Filter | str) -> Iterator[Part]:
    if isinstance(asked, str):
        yield from _by_column(asked, list(data.values(asked)))
        return
    masks = [term.mask(data.values(term.field)) for term in asked.terms]
    yield "filter", asked.name, np.logical_and.reduce(masks)


def _by_column(name: str, values: Sequence[Any]) -> Iterator[Part]:
    """Give each value of a column a slice, the frequent ones first; numbers of many values are quartered."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    present = [v for v in values if v is not None]
    if numbers and len(numbers) == len(present) and len(set(numbers)) > _MOST // 2:
        yield from _quarters(name, np.array([np.nan if v is None else v for v in values], dtype=np.float64))
        return
    shown = [_MISSING if v is None else str(v) for v in values]
    frequent = [value for value, _ in Counter(shown).most_common(_MOST)]
    if len(set(shown)) > _MOST:
        shown = [value if value in frequent else _OTHER for value in shown]
        frequent.append(_OTHER)
    for value in frequent:
        yield name, value, np.array([other == value for other in shown], dtype=bool)


def _score_part(data: Scorable, by: str, name: str, mask: Mask, samples: int, seed: int) -> dict[str, Any]:
    chosen, n = np.flatnonzero(mask), int(mask.sum())
    found: dict[str, Any] = {"by": by, "name": name, "n": n, "share": n / max(data.n, 1), "small": n < SMALL}
    outputs = [data.outputs[i] for i in chosen] if isinstance(data.outputs, list) else data.outputs[chosen]
    labels = data.rows["label"][:]
    own: Any = [labels[i] for i in chosen]
    wanted = MAIN_METRICS[data.task]
    empty: dict[str, dict[str, Any]] = {"metrics": dict.fromkeys(wanted), "intervals": dict.fromkeys(wanted)}
    if not n:
        return found | empty
    if by == "label" and data.task == "single-label":
        wanted = ("accuracy",)  # one class alone: F1 and AUC have nothing to compare
    metrics = task_metrics(data.task, outputs, own, data.names, data.thresholds)
    intervals = metric_intervals(
        data.task, outputs, own, data.names, data.thresholds, metrics=wanted, samples=samples, seed=seed
    )
    known = {metric: None if metrics[metric] is None else intervals[metric] for metric in wanted}
    empty["metrics"].update({metric: metrics[metric] for metric in wanted})
    empty["intervals"].update(known)
    return found | empty
