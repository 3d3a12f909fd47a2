"""The labels of one split, read for one task: each task is one class here, and nothing else asks which it is."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns.checks import check_classes, check_labels, check_seen, has_no_labels
from toughen.data.columns.labels import Labels, match_names, name_classes, read_labels
from toughen.data.columns.lists import NameLists, read_label_sets, read_list_column
from toughen.data.columns.numeric import check_numbers, check_spread, read_numbers
from toughen.data.columns.roles import Columns
from toughen.data.columns.spelling import positive_last
from toughen.data.read.raw import Raw
from toughen.errors import InputError
from toughen.tasks import TaskName

WITHHELD = -1.0  # how the hub writes "no label" where labels are numbers


class OneLabel:
    """One class per text; and what all labels that have names share.

    Args:
        raw: the split.
        columns: which of its columns are what.

    Raises:
        InputError: if the label column does not hold what the task needs.
    """

    def __init__(self, raw: Raw, columns: Columns) -> None:
        self.raw, self.columns, self.column = raw, columns, columns.label[0]
        self.labels = self._read_labels()

    def _read_labels(self) -> Labels:
        return read_labels(self.raw, self.column, self.columns.renames)

    def _place(self, position: int) -> str:
        return self.raw.place(position)

    def withheld(self) -> bool:
        """Tell a split that keeps its labels to itself."""
        return self.column in self.raw.class_names and has_no_labels(self.labels)

    def check(self) -> None:
        """Refuse a split in which a row has no label."""
        check_labels(self.raw, self.column, self.labels)

    def label_names(self) -> tuple[str, ...]:
        """Return the names of the labels by id; refuse training rows from which nothing can be learnt."""
        check_classes(self.raw, self.column, self.labels)
        names = name_classes(self.labels)
        return names if self.labels.order else positive_last(names)

    def check_seen(self, train: Self, label_names: tuple[str, ...]) -> None:
        """Refuse a split with a label that the training rows never have."""
        seen = set(train.labels.names.unique().to_pylist())
        check_seen(self.raw, self.labels, [name for name in label_names if name in seen], self._place)

    def match(self, label_names: tuple[str, ...]) -> None:
        """Rewrite the labels into a model's names."""
        self.labels = match_names(self.labels, self.raw, self.column, label_names, self._place)

    def values(self, label_names: tuple[str, ...]) -> Any:
        """Return the ``label`` column, int64 [N]."""
        return self.labels.ids(label_names)


class LabelSet(OneLabel):
    """Any number of labels per text."""

    def _read_labels(self) -> Labels:
        self.offsets = (found := self._lists()).offsets
        return found.flat

    def _lists(self) -> NameLists:
        return read_label_sets(self.raw, self.columns.label)

    def _row(self, position: int) -> int:
        return int(np.searchsorted(self.offsets, position, side="right")) - 1

    def _place(self, position: int) -> str:
        return self.raw.place(self._row(position))

    def withheld(self) -> bool:
        """Tell a split that keeps its labels to itself: none does, as a row may have no label."""
        return False

    def check(self) -> None:
        """Accept every split: a row may have no label, and the reader has refused a null."""

    def label_names(self) -> tuple[str, ...]:
        """Return the names of the labels by id; refuse training rows that are all alike."""
        names = name_classes(self.labels)
        if len(names) < 2:
            raise InputError(
                f"{self.raw.name} has {'one label' if names else 'no label'} in column {self.column!r}, but "
                "multi-label needs at least two; for one, name two classes with data.task single-label."
            )
        hot = NameLists(self.labels, self.offsets).matrix(names)
        if (hot == hot[0]).all():
            raise InputError(
                f"Every row of {self.raw.name} has the same labels, so there is nothing to learn; give rows that "
                "differ."
            )
        return names

    def values(self, label_names: tuple[str, ...]) -> Any:
        """Return the ``label`` column: 1 for each label that a row has, else 0; list<float> [N] of [K]."""
        hot = NameLists(self.labels, self.offsets).matrix(label_names)
        starts = np.arange(len(hot) + 1, dtype=np.int32) * len(label_names)
        return pa.ListArray.from_arrays(pa.array(starts), pa.array(hot.reshape(-1)))


class WordTags(LabelSet):
    """A class per word."""

    def _lists(self) -> NameLists:
        return read_list_column(self.raw, self.column)

    def _place(self, position: int) -> str:
        row = self._row(position)
        return f"{self.raw.place(row)}, word {position - int(self.offsets[row]) + 1}"

    def check(self) -> None:
        """Refuse a split in which a text has more words than tags, or less."""
        words = np.asarray(pc.list_value_length(self.raw.column(self.columns.text)))
        tags = np.diff(self.offsets)
        wrong = np.flatnonzero(words != tags)
        if len(wrong):
            row = int(wrong[0])
            raise InputError(
                f"{self.raw.place(row)}: the text has {words[row]} words but column {self.column!r} {tags[row]} tags; "
                "give every word one."
            )

    def label_names(self) -> tuple[str, ...]:
        """Return the names of the tags by id; refuse training rows with one tag only."""
        check_classes(self.raw, self.column, self.labels)
        return name_classes(self.labels)

    def values(self, label_names: tuple[str, ...]) -> Any:
        """Return the ``label`` column, an id per word: list<int64> [N]."""
        ids = self.labels.ids(label_names).combine_chunks()
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), ids)


class Number:
    """A number per text; arguments and methods as :class:`OneLabel`'s."""

    def __init__(self, raw: Raw, columns: Columns) -> None:
        self.raw, self.column = raw, columns.label[0]
        self.numbers = read_numbers(raw, self.column)

    def withheld(self) -> bool:
        """Tell a split that keeps its labels to itself."""
        return bool((self.numbers == WITHHELD).all())

    def check(self) -> None:
        """Refuse a split in which a row has no number."""
        check_numbers(self.raw, self.column, self.numbers)

    def label_names(self) -> tuple[str, ...]:
        """Return the name of the column; refuse training rows that all have the same number."""
        check_spread(self.raw, self.column, self.numbers)
        return (self.column,)

    def check_seen(self, train: Self, label_names: tuple[str, ...]) -> None:
        """Accept every number."""

    def match(self, label_names: tuple[str, ...]) -> None:
        """Leave the numbers as they are: they have no names."""

    def values(self, label_names: tuple[str, ...]) -> Any:
        """Return the ``label`` column, float64 [N]."""
        return pa.array(self.numbers)


TARGETS: dict[TaskName, type[Any]] = {
    "single-label": OneLabel,
    "multi-label": LabelSet,
    "regression": Number,
    "tokens": WordTags,
}
