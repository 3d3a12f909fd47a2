"""What was read: rows per split and label, lengths, texts that recur."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.divide.overlap import word_counts
from toughen.data.divide.stratify import label_matrix
from toughen.errors import count
from toughen.tasks import TaskName


@dataclass(frozen=True)
class Lengths:
    """Lengths of the texts of one split, in words (see `toughen.data.divide.overlap.word_counts`)."""

    median: int
    percentile_95: int
    longest: int


@dataclass(frozen=True)
class Spread:
    """The numbers of one split of regression data."""

    mean: float
    sd: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Summary:
    """The account of the data that is printed before training.

    Attributes:
        counts: rows per split and label name (tokens: words; regression: empty).
        lengths: lengths in words per split.
        shared: distinct texts that stand in both splits of a pair, before any was dropped.
        dropped: rows dropped from train because their text stands in validation or test.
        repeated: rows of train (and of the validation split taken from it) that repeat an earlier text.
        conflicting: texts among them that carry more than one label.
        unlabelled: rows of text without labels.
        notes: further sentences about choices made on the way.
        task: what a label is.
        rows: rows per split; where it is empty, every row has one of the labels counted.
        bare: multi-label rows per split that have no label.
        spread: the numbers per split of regression data.
    """

    counts: Mapping[str, Mapping[str, int]]
    lengths: Mapping[str, Lengths]
    shared: Mapping[tuple[str, str], int] = field(default_factory=dict)
    dropped: int = 0
    repeated: int = 0
    conflicting: int = 0
    unlabelled: int = 0
    notes: tuple[str, ...] = ()
    task: TaskName = "single-label"
    rows: Mapping[str, int] = field(default_factory=dict)
    bare: Mapping[str, int] = field(default_factory=dict)
    spread: Mapping[str, Spread] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the account as lines of text."""
        lines = [self._split_line(split) for split in self.counts]
        if self.unlabelled:
            lines.append(f"unlabelled: {count(self.unlabelled, 'row')}")
        return lines + self._recurring_lines() + list(self.notes)

    def _split_line(self, split: str) -> str:
        words = self.lengths[split]
        rows = self.rows.get(split, sum(self.counts[split].values()))
        return (
            f"{split}: {count(rows, 'row')}; {self._labels(split, rows)}; words: median {words.median:,}, "
            f"95th percentile {words.percentile_95:,}, longest {words.longest:,}"
        )

    def _labels(self, split: str, rows: int) -> str:
        counts, spread = self.counts[split], self.spread.get(split)
        if spread is not None:
            return (
                f"label mean {spread.mean:.4g}, sd {spread.sd:.4g}, lowest {spread.lowest:.4g}, "
                f"highest {spread.highest:.4g}"
            )
        whole = max(sum(counts.values()) if self.task == "tokens" else rows, 1)
        shown = [f"{name} {count:,} ({count / whole:.1%})" for name, count in _largest(counts)]
        if split in self.bare:
            shown.append(f"without label {self.bare[split]:,} ({self.bare[split] / whole:.1%})")
        return ", ".join(shown)

    def _recurring_lines(self) -> list[str]:
        lines = [
            f"{count(texts, 'text stands', 'texts stand')} in both {a} and {b}"
            for (a, b), texts in self.shared.items()
            if texts
        ]
        if self.dropped:
            lines.append(f"{count(self.dropped, 'row')} dropped from train: text that stands in validation or test")
        elif any("train" in pair and texts for pair, texts in self.shared.items()):
            lines.append("shared texts were kept in train (data.drop_shared is off): scores will flatter")
        if self.repeated:
            lines.append(
                f"{count(self.repeated, 'row of train repeats', 'rows of train repeat')} an earlier text (kept)"
            )
        if self.conflicting:
            lines.append(
                f"{count(self.conflicting, 'text of train carries', 'texts of train carry')} more than one label (kept)"
            )
        return lines


def _largest(counts: Mapping[str, int], most: int = 12) -> list[tuple[str, int]]:
    """Return the counts in their order, or past ``most`` classes the largest ones and the sum of the rest."""
    if len(counts) <= most:
        return list(counts.items())
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    rest = sum(count for _, count in ranked[most:])
    return [*ranked[:most], (f"{len(counts) - most} more", rest)]


def count_labels(table: pa.Table, names: tuple[str, ...], task: TaskName = "single-label") -> dict[str, int]:
    """Return the rows per label name (tokens: words; regression: nothing)."""
    if task == "regression":
        return {}
    if task == "multi-label":
        counts = label_matrix(table["label"]).sum(0)
    else:
        ids = pc.list_flatten(table["label"]) if task == "tokens" else table["label"]
        counts = np.bincount(np.asarray(ids), minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def count_bare(table: pa.Table) -> int:
    """Return the multi-label rows that have no label."""
    return int((label_matrix(table["label"]).sum(1) == 0).sum())


def spread_of(table: pa.Table) -> Spread:
    """Return the numbers of regression data in four: the standard deviation is that of the rows (divided by N)."""
    numbers = np.asarray(table["label"], np.float64)
    return Spread(float(numbers.mean()), float(numbers.std()), float(numbers.min()), float(numbers.max()))


def measure(table: pa.Table) -> Lengths:
    """Return the lengths of the texts in words."""
    words = word_counts(table)
    median, high = np.percentile(words, [50, 95])
    return Lengths(round(median), round(high), int(np.max(words)))
