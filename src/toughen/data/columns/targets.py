"""The labels of one split, read for one task: each task is one class here, and nothing else asks which it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toughen.arrays import Floats
from toughen.data.columns.checks import check_classes, check_labels, check_seen, has_no_labels
from toughen.data.columns.labels import Labels, match_names, name_classes, read_labels
from toughen.data.columns.lists import NameLists, read_label_sets, read_list_column
from toughen.data.columns.numeric import check_numbers, check_spread, read_numbers
from toughen.data.columns.roles import Columns, Soft, columns_of_split
from toughen.data.columns.soft_labels import (
    check_probabilities,
    check_votes,
    class_names,
    faulty_rows,
    most_probable,
    read_probabilities,
    read_votes,
    vote_shares,
)
from toughen.data.columns.spelling import positive_last
from toughen.data.read.raw import Raw, quote_names
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
        seen = train.seen()
        check_seen(self.raw, self.labels, [name for name in label_names if name in seen], self._place)

    def seen(self) -> set[str]:
        """Return the labels that there are."""
        return set(self.labels.names.unique().to_pylist())

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


class Probabilities(OneLabel):
    """A probability of each class per text; a text's label is its most probable class.

    Rows are divided by their sums, which may miss 1 by a little.
    """

    def _read_labels(self) -> Labels:
        self.numbers = read_probabilities(self.raw, self.columns.label)
        self._name(class_names(self.columns.label))
        return self._most_probable()

    def _name(self, names: tuple[str, ...]) -> None:
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(
                f"two columns of {self.raw.name} hold probabilities of the class {twice!r}; name one of them."
            )
        self.classes = names

    def _most_probable(self) -> Labels:
        """Return the most probable classes, null where a row is faulty."""
        faulty = np.zeros(len(self.numbers), bool)
        faulty[faulty_rows(self.numbers)] = True
        order = name_classes(Labels(pa.chunked_array([pa.array(self.classes, pa.string())])))
        order = positive_last(order)
        best = most_probable(np.nan_to_num(self._ordered(order)))
        names = pa.array(order, pa.string()).take(pa.array(best, mask=faulty))
        return Labels(pa.chunked_array([names]), order)

    def _ordered(self, label_names: Sequence[str]) -> Floats:
        """Return the numbers by label name, [N, K]; 0 for a class without a column."""
        at = {name: i for i, name in enumerate(self.classes)}
        none = np.zeros(len(self.numbers))
        return np.stack([self.numbers[:, at[n]] if n in at else none for n in label_names], axis=1)

    def check(self) -> None:
        """Refuse a split in which a row's numbers are no probabilities."""
        check_probabilities(self.raw, self.columns.label, self.numbers)

    def label_names(self) -> tuple[str, ...]:
        """Return the classes by id; refuse training rows that all say the same."""
        if (self.numbers == self.numbers[0]).all():
            raise InputError(
                f"Every row of {self.raw.name} has the same probabilities in {quote_names(self.columns.label)}, so "
                "there is nothing to learn; give rows that differ."
            )
        return tuple(self.labels.order or ())

    def seen(self) -> set[str]:
        """Return the classes that the training rows know: all that have a column."""
        return set(self.classes)

    def match(self, label_names: tuple[str, ...]) -> None:
        """Take the columns for the classes of a model."""
        given = Labels(pa.chunked_array([pa.array(self.classes, pa.string())]))
        matched = match_names(given, self.raw, self.column, label_names, lambda position: self.raw.name)
        self._name(tuple(matched.names.to_pylist()))
        self.labels = self._most_probable()

    def soft_labels(self, label_names: tuple[str, ...]) -> Floats:
        """Return the probabilities, [N, K]."""
        values = self._ordered(label_names)
        return np.asarray(values / values.sum(1, keepdims=True))

    def values(self, label_names: tuple[str, ...]) -> Any:
        """Return the ``label`` column, int64 [N]."""
        return pa.array(most_probable(self.soft_labels(label_names)))


class Votes(LabelSet):
    """The classes that annotators gave a text; its label is the most frequent, its soft labels the shares of all."""

    def _lists(self) -> NameLists:
        return read_votes(self.raw, self.columns.label)

    def check(self) -> None:
        """Refuse a split in which a row has no vote."""
        check_votes(self.raw, self.columns.label, NameLists(self.labels, self.offsets))

    def label_names(self) -> tuple[str, ...]:
        """Return the names of the classes by id; refuse training rows in which all votes are for one."""
        check_classes(self.raw, self.column, self.labels)
        names = name_classes(self.labels)
        return names if self.labels.order else positive_last(names)

    def soft_labels(self, label_names: tuple[str, ...]) -> Floats:
        """Return the shares of the votes, [N, K]."""
        return vote_shares(NameLists(self.labels, self.offsets), label_names)

    def values(self, label_names: tuple[str, ...]) -> Any:
        """Return the ``label`` column, int64 [N]."""
        return pa.array(most_probable(self.soft_labels(label_names)))


class BesideSoftLabels(OneLabel):
    """One class per text in a split beside training rows with soft labels."""

    def check_seen(self, train: Any, label_names: tuple[str, ...]) -> None:
        """Rewrite the labels into those of train; refuse one that train does not know."""
        self.match(label_names)


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
SOFT: dict[Soft, type[Any]] = {"probabilities": Probabilities, "votes": Votes}


def target_of(task: TaskName, raw: Raw, columns: Columns) -> Any:
    """Return the labels of one split.

    Args:
        task: what a label is.
        raw: the split.
        columns: of the training rows.

    Raises:
        InputError: if the split does not hold what the task needs.
    """
    own = columns_of_split(raw, columns)
    if own.soft is not None:
        return SOFT[own.soft](raw, own)
    return TARGETS[task](raw, own) if columns.soft is None else BesideSoftLabels(raw, own)
