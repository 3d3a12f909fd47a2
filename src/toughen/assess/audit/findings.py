"""What an audit looks at, and what it finds there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toughen.arrays import Floats, Ints
from toughen.assess.audit.label_errors import LabelErrors, find_label_errors
from toughen.assess.audit.near_duplicates import near_duplicates
from toughen.assess.audit.outliers import FAR, outlier_scores


@dataclass(frozen=True)
class Pool:
    """The rows of a run in folds with what its models answered.

    Attributes:
        rows: N rows in the order of their numbers, with ``text``, maybe ``text_pair``, and ``row``.
        labels: [N] class ids.
        fold: [N] the fold, from 1, whose model did not learn the row.
        probabilities: [N, C] by that model.
        names: of the C classes.
    """

    rows: Any
    labels: Ints
    fold: Ints
    probabilities: Floats
    names: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """What was found, by position in the pool.

    Attributes:
        errors: likely wrong labels.
        group: [N] the first text that each is nearly the same as; itself where there is none.
        agreed: [N] the class that a row's group is likeliest of.
        contradictions: rows whose group carries several labels, and which carry another one than the agreed.
        copies: later rows of a group that carry the label of an earlier one.
        distance: [N] modified z-score of the distance to the nearest others; None where the model has no vectors.
    """

    errors: LabelErrors
    group: Ints
    agreed: Ints
    contradictions: Ints
    copies: Ints
    distance: Floats | None

    @property
    def outliers(self) -> Ints:
        """Rows far from all others, the farthest first."""
        if self.distance is None:
            return np.empty(0, dtype=np.int64)
        order = np.argsort(-self.distance, kind="stable")
        return order[self.distance[order] > FAR]


def examine(pool: Pool, features: Floats | None) -> Findings:
    """Find everything; ``features`` are vectors [N, D] of each row by its fold's model, None where there are none."""
    texts = [" ".join(parts) for parts in zip(*_columns(pool.rows), strict=True)]
    group = near_duplicates(texts)
    size = np.bincount(group, minlength=len(group))
    sums = np.zeros_like(pool.probabilities)
    np.add.at(sums, group, pool.probabilities)
    agreed = sums[group].argmax(axis=1)
    labels = np.zeros((len(group), len(pool.names)), dtype=bool)
    labels[group, pool.labels] = True
    several = labels.sum(axis=1)[group] > 1
    _, first = np.unique(group * len(pool.names) + pool.labels, return_index=True)
    later = np.ones(len(group), dtype=bool)
    later[first] = False
    return Findings(
        errors=find_label_errors(pool.labels, pool.probabilities),
        group=group,
        agreed=agreed,
        contradictions=np.flatnonzero(several & (agreed != pool.labels)),
        copies=np.flatnonzero(later & (size[group] > 1)),
        distance=None if features is None else outlier_scores(features, pool.fold),
    )


def _columns(rows: Any) -> list[Sequence[str]]:
    return [rows[name][:] for name in ("text", "text_pair") if name in rows.column_names]
