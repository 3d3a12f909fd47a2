"""Accuracy against the severity of natural corruptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toughen.arrays import Floats
from toughen.assess.intervals import metric_points, metric_values, resampled_metrics
from toughen.assess.selection import chosen_metric
from toughen.attack.noise.chinese import is_chinese
from toughen.attack.noise.corruptions import CHINESE, CORRUPTIONS, GENERAL, SEVERITIES, Corruption, make_misspelling
from toughen.attack.subject import classifier_of, read_labelled
from toughen.attack.word_lists import read_word_lists
from toughen.errors import InputError
from toughen.settings import require
from toughen.statistics.bootstrap import Interval, percentile_interval
from toughen.tasks import TaskName

Key = tuple[str, ...]
_METRIC: Mapping[str, str] = {"single-label": "accuracy", "multi-label": "accuracy", "regression": "pearson"}
_HEADER = ("corruption", "severity", "rate", "changed", "value", "low", "high")


@dataclass(frozen=True)
class NoisePoint:
    """One corruption at one severity.

    Attributes:
        corruption: its name; "clean" is none, "mean" all of them.
        severity: 1 to 5; 0 for the clean texts.
        rate: chance that a unit is changed; None for the mean.
        changed: share of the texts that differ from the clean ones, 0 to 1.
        value: the metric, None where it is undefined.
        interval: bootstrap interval over the texts, or None.
    """

    corruption: str
    severity: int
    rate: float | None
    changed: float
    value: float | None
    interval: Interval | None

    def row(self) -> tuple[Any, ...]:
        """Return corruption, severity, rate, changed, value, low, high."""
        low, high = self.interval or (None, None)
        return (self.corruption, self.severity, self.rate, self.changed, self.value, low, high)


@dataclass(frozen=True)
class NoiseCurve:
    """What corruptions do to a classifier.

    Attributes:
        metric: what was asked for; else accuracy, or pearson (regression).
        n: texts.
        seed: of the noise and the intervals.
        clean: the metric on the texts as they are.
        points: one per corruption and severity.
        means: one per severity, over all corruptions: the metric's mean, each resample drawing the same texts of all.
        left_out: corruptions of the default set that need a package which is not installed.
    """

    metric: str
    n: int
    seed: int
    clean: NoisePoint
    points: tuple[NoisePoint, ...]
    means: tuple[NoisePoint, ...]
    left_out: tuple[str, ...]
    _corruptions: Mapping[str, Corruption] = field(repr=False)
    _table: Any = field(repr=False)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return one tuple per point (clean, means, then each corruption): see `NoisePoint.row`."""
        return [point.row() for point in (self.clean, *self.means, *self.points)]

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the texts, ready for JSON."""
        points = [dict(zip(_HEADER, row, strict=True)) for row in self.rows()]
        return {
            "metric": self.metric,
            "n": self.n,
            "seed": self.seed,
            "left_out": list(self.left_out),
            "points": points,
        }

    def save(self, path: str | Path) -> None:
        """Write every changed text to a parquet file: row, corruption, severity, text, noisy, label."""
        found = [
            {"row": row, "corruption": name, "severity": severity, "text": text, "noisy": noisy, "label": label}
            for name, corruption in self._corruptions.items()
            for severity in SEVERITIES
            for row, text, label in zip(self._table["row"], self._table["text"], self._table["label"], strict=True)
            if (noisy := corruption(text, severity=severity, seed=self.seed)) != text
        ]
        names = ("row", "corruption", "severity", "text", "noisy", "label")
        pq.write_table(pa.table({name: [entry[name] for entry in found] for name in names}), path)


def noise_curve(
    run_or_classifier: Any,
    data: Any,
    *,
    metric: str | None = None,
    corruptions: Sequence[str] | None = None,
    misspellings: str | Path | Mapping[str, Sequence[str]] | None = None,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    samples: int = 1000,
    columns: Mapping[str, str | None] | None = None,
    progress: Callable[[str], None] | None = None,
) -> NoiseCurve:
    """Score a classifier on corrupted texts, each corruption at five severities.

    Args:
        run_or_classifier: a run, its folder, or a classifier of single-label, multi-label or regression.
        data: labelled texts: a hub id, file, folder (its test split), DataFrame, Dataset or list. Of pairs both texts
            are corrupted.
        metric: any that `Run.evaluate` has an interval for; default accuracy, or pearson (regression).
        corruptions: names; default all general ones, or all Chinese ones where most texts are Chinese.
        misspellings: file or mapping of words and their misspellings, for "misspelling"; default rules of our own.
        limit: so many texts, drawn by the seed.
        seed: of the noise, the draw and the intervals.
        batch_size: texts per pass of the model.
        samples: bootstrap resamples of the texts.
        columns: names of the columns ``text``, ``label`` and ``text_pair``; default the recipe's, or found.
        progress: called with the name of each corruption that is done.

    Raises:
        InputError: if a name is unknown, a package missing that a named corruption needs, the data or word list
            wrong, or the model tags words.
    """
    classifier, known = classifier_of(run_or_classifier)
    task: TaskName = getattr(classifier, "task", "single-label")
    if task == "tokens":
        raise InputError("noise is for texts with labels, but the model tags words; there is no noise for tokens.")
    chosen_by = chosen_metric(metric or _METRIC[task], resampled_metrics(task, classifier.label_names), task=task)
    table = read_labelled(classifier, data, {**known, **(columns or {})}, limit=limit, seed=seed)
    chosen, left_out = _choose_corruptions(corruptions, misspellings, table["text"])
    scorer = _Scorer(classifier, task, chosen_by, np.asarray(table["label"][:]), batch_size, samples, seed)
    texts = _keys(table)
    clean = scorer.point("clean", 0, 0.0, texts, texts)
    points: list[NoisePoint] = []
    for corruption in chosen:
        for severity in SEVERITIES:
            noisy = [tuple(corruption(part, severity=severity, seed=seed) for part in text) for text in texts]
            points.append(scorer.point(corruption.name, severity, corruption.rates[severity - 1], noisy, texts))
        if progress is not None:
            progress(corruption.name)
    named = {corruption.name: corruption for corruption in chosen}
    means = tuple(scorer.mean(severity, points) for severity in SEVERITIES)
    return NoiseCurve(scorer.metric, len(texts), seed, clean, tuple(points), means, left_out, named, table)


def _keys(table: Any) -> list[Key]:
    """Return the one or two texts of each row."""
    columns = [table[name][:] for name in ("text", "text_pair") if name in table.column_names]
    return list(zip(*columns, strict=True))


def _choose_corruptions(
    names: Sequence[str] | None, misspellings: Any, texts: Iterable[str]
) -> tuple[list[Corruption], tuple[str, ...]]:
    """Return the corruptions to run, and the names of those that lack a package."""
    left_out: tuple[str, ...] = ()
    if names is None:
        chosen = list(CHINESE if is_chinese(" ".join(texts)) else GENERAL)
        left_out = tuple(c.name for c in chosen if c.needs and find_spec(c.needs) is None)
        chosen = [c for c in chosen if c.name not in left_out]
    else:
        for name in names:
            require(name in CORRUPTIONS, "corruption", name, f"must be one of {', '.join(CORRUPTIONS)}")
        chosen = [CORRUPTIONS[name] for name in dict.fromkeys(names)]
    if misspellings is not None:
        ours = make_misspelling(read_word_lists(misspellings))
        chosen = [ours if c.name == ours.name else c for c in chosen]
    return chosen, left_out


@dataclass
class _Scorer:
    """Scores versions of the same texts, the clean ones first; a text that did not change is not run again."""

    classifier: Any
    task: TaskName
    metric: str
    labels: Any
    batch_size: int
    samples: int
    seed: int
    _clean: dict[Key, Floats] = field(default_factory=dict)
    _last: dict[Key, Floats] = field(default_factory=dict)
    _drawn: dict[tuple[str, int], Floats] = field(default_factory=dict)

    def point(self, name: str, severity: int, rate: float, texts: Sequence[Key], clean: Sequence[Key]) -> NoisePoint:
        outputs = self._outputs(texts)
        given = (self.task, outputs, self.labels, self.classifier.label_names)
        thresholds = getattr(self.classifier, "thresholds", None)
        value = metric_points(*given, thresholds)[self.metric]
        found = metric_values(*given, thresholds, metrics=[self.metric], samples=self.samples, seed=self.seed)
        drawn = self._drawn[name, severity] = found[self.metric]
        changed = np.mean([new != old for new, old in zip(texts, clean, strict=True)]) if len(texts) else 0.0
        return NoisePoint(name, severity, rate, float(changed), value, percentile_interval(drawn))

    def mean(self, severity: int, points: Sequence[NoisePoint]) -> NoisePoint:
        """Average the corruptions at one severity; texts are resampled, each with all its corrupted versions."""
        own = [point for point in points if point.severity == severity]
        values = [point.value for point in own if point.value is not None]
        interval = percentile_interval(np.mean([self._drawn[point.corruption, severity] for point in own], axis=0))
        changed = float(np.mean([point.changed for point in own]))
        return NoisePoint("mean", severity, None, changed, float(np.mean(values)) if values else None, interval)

    def _outputs(self, texts: Sequence[Key]) -> Floats:
        known = self._clean | self._last
        new = list(dict.fromkeys(text for text in texts if text not in known))
        if new:
            names = ("text", "text_pair")[: len(new[0])]
            columns = {name: [key[i] for key in new] for i, name in enumerate(names)}
            score = getattr(self.classifier, "outputs", self.classifier.probabilities)
            outputs = np.asarray(score(datasets.Dataset.from_dict(columns), batch_size=self.batch_size))
            known.update(zip(new, outputs, strict=True))
        self._last = {text: known[text] for text in texts}
        self._clean = self._clean or self._last
        return np.array([known[text] for text in texts])
