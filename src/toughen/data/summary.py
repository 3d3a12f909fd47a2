"""What was read: rows per split and class, lengths, texts that recur."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Lengths:
    """Lengths of the texts of one split, in words (runs of characters without white space)."""

    median: int
    percentile_95: int
    longest: int


@dataclass(frozen=True)
class Summary:
    """The account of the data that is printed before training.

    Attributes:
        counts: rows per split and label name.
        lengths: lengths in words per split.
        shared: distinct texts that stand in both splits of a pair, before any was dropped.
        dropped: rows dropped from train because their text stands in validation or test.
        repeated: rows of train (and of the validation split taken from it) that repeat an earlier text.
        conflicting: texts among them that carry more than one label.
        unlabelled: rows of text without labels.
        notes: further sentences about choices made on the way.
    """

    counts: Mapping[str, Mapping[str, int]]
    lengths: Mapping[str, Lengths]
    shared: Mapping[tuple[str, str], int] = field(default_factory=dict)
    dropped: int = 0
    repeated: int = 0
    conflicting: int = 0
    unlabelled: int = 0
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the account as lines of text."""
        lines = [self._split_line(split) for split in self.counts]
        if self.unlabelled:
            lines.append(f"unlabelled: {self.unlabelled:,} rows")
        return lines + self._recurring_lines() + list(self.notes)

    def _split_line(self, split: str) -> str:
        counts, words = self.counts[split], self.lengths[split]
        rows = max(sum(counts.values()), 1)
        classes = ", ".join(f"{name} {count:,} ({count / rows:.1%})" for name, count in _largest(counts))
        return (
            f"{split}: {sum(counts.values()):,} rows; {classes}; words: median {words.median:,}, "
            f"95th percentile {words.percentile_95:,}, longest {words.longest:,}"
        )

    def _recurring_lines(self) -> list[str]:
        lines = [f"{count:,} texts stand in both {a} and {b}" for (a, b), count in self.shared.items() if count]
        if self.dropped:
            lines.append(f"{self.dropped:,} rows dropped from train: their text stands in validation or test")
        elif any("train" in pair and count for pair, count in self.shared.items()):
            lines.append("shared texts were kept in train (data.drop_shared is off): scores will flatter")
        if self.repeated:
            lines.append(f"{self.repeated:,} rows of train repeat an earlier text (kept)")
        if self.conflicting:
            lines.append(f"{self.conflicting:,} texts of train carry more than one label (kept)")
        return lines


def _largest(counts: Mapping[str, int], most: int = 12) -> list[tuple[str, int]]:
    """Return the counts in their order, or past ``most`` classes the largest ones and the sum of the rest."""
    if len(counts) <= most:
        return list(counts.items())
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    rest = sum(count for _, count in ranked[most:])
    return [*ranked[:most], (f"{len(counts) - most} more", rest)]


def count_labels(table: pa.Table, names: tuple[str, ...]) -> dict[str, int]:
    """Return the rows per label name."""
    counts = np.bincount(np.asarray(table["label"]), minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def measure(table: pa.Table) -> Lengths:
    """Return the lengths of the texts in words."""
    words = np.asarray(pc.count_substring_regex(table["text"], r"\S+"))
    median, high = np.percentile(words, [50, 95])
    return Lengths(round(median), round(high), int(words.max()))
