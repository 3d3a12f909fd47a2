"""Confident learning: which labels are likely wrong, by probabilities of models that did not learn the row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from toughen.arrays import Floats, Ints


@dataclass(frozen=True)
class LabelErrors:
    """What the probabilities say of the labels.

    Attributes:
        rows: [E] rows whose label is likely wrong, that with the least probability of its label first.
        suggested: [E] the class that each is likeliest of.
        thresholds: [C] mean probability of each class over the rows that carry its label.
        joint: [C, C] estimated rows that carry label i and are of class j; row i sums to the count of label i.
    """

    rows: Ints
    suggested: Ints
    thresholds: Floats
    joint: Floats

    @property
    def share(self) -> float:
        """The estimated share of wrong labels among all rows."""
        return float(1 - np.trace(self.joint) / self.joint.sum())


def find_label_errors(labels: ArrayLike, probabilities: ArrayLike) -> LabelErrors:
    """Rank the labels that are likely wrong.

    Thresholds t_j = mean p_j over the rows labelled j. The confident joint C_ij counts the rows labelled i whose
    likeliest class among those with p_j >= t_j is j; each of its rows is then scaled to the count of its label. Of
    each label i as many rows are named as the joint has of it off the diagonal: those of the least p_i, as far as
    another class is likelier.

    Source: Northcutt, Jiang and Chuang, "Confident learning" (1911.00068), with "prune by class". Deviation: a row
    whose own label is the likeliest is never named.

    Args:
        labels: class ids [N].
        probabilities: [N, C], each row by a model that did not learn from it.
    """
    y, p = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    own = p[np.arange(len(y)), y]
    sizes = np.bincount(y, minlength=p.shape[1])
    # A class that no row carries is never confident.
    sums = np.bincount(y, own, minlength=p.shape[1])
    thresholds = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    joint = _scale_joint(_confident_joint(y, p, thresholds), sizes)
    likeliest = p.argmax(axis=1)
    named = []
    for label in range(p.shape[1]):
        others = np.flatnonzero((y == label) & (likeliest != label))
        most = round(joint[label].sum() - joint[label, label])
        named.append(others[np.argsort(own[others], kind="stable")][:most])
    rows = np.concatenate(named)
    rows = rows[np.argsort(own[rows], kind="stable")]
    return LabelErrors(rows, likeliest[rows], thresholds, joint)


def _confident_joint(y: Ints, p: Floats, thresholds: Floats) -> Ints:
    reached = np.where(p >= thresholds, p, -1.0)
    confident = np.flatnonzero(reached.max(axis=1) >= 0)
    counts = np.zeros((p.shape[1], p.shape[1]), dtype=np.int64)
    np.add.at(counts, (y[confident], reached[confident].argmax(axis=1)), 1)
    return counts


def _scale_joint(counts: Ints, of_label: Ints) -> Floats:
    """Scale each row to the count of its label; a label of which no row is confident is taken as it stands."""
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.where(sums > 0, counts / np.maximum(sums, 1), np.eye(len(counts)))
    return np.asarray(shares * of_label[:, None], dtype=np.float64)
