"""Whether probabilities mean what they say: calibration errors, Brier, reliability, and accuracy of the surest part.

A *decision* is a text with its answer (single-label), a word with its tag (tokens), or a text with one label of several
(multi-label).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.classifier.temperature import flat, losses
from toughen.tasks import TaskName

BINS = 15
_POINTS = 100  # of the risk-coverage curve that is kept


@dataclass(frozen=True)
class Decisions:
    """What was said with which confidence, and whether it was right.

    Attributes:
        confidence: [D] probability of the answer; of multi-label the probability of the label.
        right: [D] 0 or 1; of multi-label whether the text carries the label.
        brier: [D] squared error of the probabilities.
        loss: [D] -log p(truth), nats.
        owner: [D] the text of each decision.
        texts: number of texts N.
        ranked: whether decisions can be ranked by confidence (not of multi-label, where there is one per label).
    """

    confidence: Floats
    right: Floats
    brier: Floats
    loss: Floats
    owner: NDArray[np.int64]
    texts: int
    ranked: bool = True


def decisions(task: TaskName, outputs: Any, labels: Any, thresholds: Sequence[float] | None = None) -> Decisions:
    """Return the decisions of a task that has probabilities; arguments as for `task_metrics`."""
    if task == "regression":
        raise ValueError("regression predicts no probabilities")
    p, y = flat(task, outputs, labels)
    if task == "multi-label":
        owner = np.repeat(np.arange(len(p)), p.shape[1])
        loss = np.repeat(losses(task, p, y), p.shape[1])
        error = ((p - y) ** 2).ravel()
        return Decisions(p.ravel(), y.ravel().astype(np.float64), error, loss, owner, len(p), ranked=False)
    said = p.argmax(axis=1) if thresholds is None else (p[:, 1] >= thresholds[0]).astype(np.int64)
    lengths = [len(row) for row in labels] if task == "tokens" else np.ones(len(p), dtype=np.int64)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    rows = np.arange(len(p))
    right = (said == y).astype(np.float64)
    return Decisions(p[rows, said], right, squared_errors(p, y), losses(task, p, y), owner, len(lengths))


def squared_errors(p: Floats, y: NDArray[np.int64]) -> Floats:
    """Return each row's part of the Brier score, as scikit-learn has it.

    Two classes: (p_1 - y)^2, in [0, 1]. More: the sum over classes of (p_c - [y = c])^2, in [0, 2].
    """
    if p.shape[1] == 2:
        return np.asarray((p[:, 1] - y) ** 2)
    return np.asarray(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1))


# ---------------------------------------------------------------- bins


def equal_width(confidence: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin of each confidence: (0, 1/bins], (1/bins, 2/bins], ...; 0 is in the first."""
    edges = np.linspace(0, 1, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)


def equal_mass(confidence: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin of each confidence, as many in each as can be; equal confidences share one, so there may be fewer.

    Source: adaptive calibration error, Nguyen and O'Connor (D15-1182), Nixon et al. (1904.01685).
    """
    ordered = np.sort(confidence)
    cuts = [round(k * len(ordered) / bins) for k in range(1, bins)]
    # A cut stands before the first of its equals.
    starts = np.unique([ordered[cut] for cut in cuts if 0 < cut < len(ordered)])
    found = np.searchsorted(starts, confidence, side="right")
    return np.unique(found, return_inverse=True)[1].reshape(-1)


BINNINGS: dict[str, Callable[..., NDArray[np.int64]]] = {"equal_mass": equal_mass, "equal_width": equal_width}


def calibration_error(confidence: Floats, right: Floats, bin_of: NDArray[np.int64]) -> float:
    """Return ECE = sum over bins of n_b / D |share right - mean confidence|, in [0, 1]."""
    if not len(confidence):
        raise ValueError("there are no decisions to bin")
    return float(np.abs(np.bincount(bin_of, weights=right - confidence)).sum() / len(confidence))


def reliability(confidence: Floats, right: Floats, bin_of: NDArray[np.int64]) -> list[dict[str, float | int]]:
    """Return of each bin that is not empty: n, low, high (of its confidences), confidence (mean) and accuracy."""
    found = []
    for number in np.unique(bin_of):
        own = confidence[bin_of == number]
        ends = {"low": float(own.min()), "high": float(own.max()), "confidence": float(own.mean())}
        found.append({"n": len(own), **ends, "accuracy": float(right[bin_of == number].mean())})
    return found


# ---------------------------------------------------------------- answering only the surest part


def risk_coverage(confidence: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return coverage [D] = 1/D, 2/D, ..., 1 and risk [D], the share wrong of so many decisions, surest first.

    Of equally sure ones each counts with their mean error, so that the order of the rows plays no part.
    """
    order = np.argsort(-confidence, kind="stable")
    _, group = np.unique(-confidence[order], return_inverse=True)
    group = group.reshape(-1)
    wrong = 1 - right[order]
    shared = (np.bincount(group, weights=wrong) / np.bincount(group))[group]
    count = np.arange(1, len(order) + 1)
    return count / len(order), np.cumsum(shared) / count


def aurc(confidence: Floats, right: Floats) -> float:
    """Return the mean risk over all coverages (Geifman et al., 1805.08206): 0 is best, the error rate is chance."""
    return float(risk_coverage(confidence, right)[1].mean())


def _curve(found: Decisions) -> list[dict[str, float]]:
    """Return about a hundred points of the risk-coverage curve, the last one at coverage 1."""
    coverage, risk = risk_coverage(found.confidence, found.right)
    least = np.sort(found.confidence)[::-1]
    kept = np.unique(np.linspace(0, len(risk) - 1, min(_POINTS, len(risk))).round().astype(int))
    return [{"coverage": float(coverage[i]), "risk": float(risk[i]), "least_confidence": float(least[i])} for i in kept]


# ---------------------------------------------------------------- together


def calibration(found: Decisions) -> dict[str, Any]:
    """Return ece, ece_equal_width, brier, mean_confidence, share_right, and for plots reliability and risk_coverage."""
    if not len(found.confidence):
        return {"decisions": 0}
    bins = {name: binned(found.confidence) for name, binned in BINNINGS.items()}
    parts = {name: (found.confidence, found.right, bin_of) for name, bin_of in bins.items()}
    result: dict[str, Any] = {
        "decisions": len(found.confidence),
        "ece": calibration_error(*parts["equal_mass"]),
        "ece_equal_width": calibration_error(*parts["equal_width"]),
        "brier": float(found.brier.mean()),
        "mean_confidence": float(found.confidence.mean()),
        "share_right": float(found.right.mean()),
        "reliability": {name: reliability(*part) for name, part in parts.items()},
    }
    if found.ranked:
        result |= {"aurc": aurc(found.confidence, found.right), "risk_coverage": _curve(found)}
    return result


def measures(found: Decisions) -> dict[str, Callable[[Floats], Floats]]:
    """Return ece, ece_equal_width, brier and aurc of resamples, from how often each text was drawn [s, N].

    Bins, and the order of confidence, are those of the whole sample.
    """
    table: dict[str, Callable[[Floats], Floats]] = {"brier": partial(mean, found, found.brier)}
    for name, binned in (("ece", equal_mass), ("ece_equal_width", equal_width)):
        table[name] = partial(_error, found, binned(found.confidence))
    if found.ranked:
        table["aurc"] = partial(_aurc, found)
    return table if len(found.confidence) else {}


def _per_decision(found: Decisions, counts: Floats) -> Floats:
    return counts if len(found.owner) == found.texts else counts[:, found.owner]


def mean(found: Decisions, values: Floats, counts: Floats) -> Floats:
    """Return [s] the mean of one number per decision [D] over the decisions of the texts drawn [s, N]."""
    drawn = _per_decision(found, counts)
    return np.asarray(drawn @ values / drawn.sum(axis=1))


def _error(found: Decisions, bin_of: NDArray[np.int64], counts: Floats) -> Floats:
    drawn = _per_decision(found, counts)
    gaps = np.zeros((len(bin_of), int(bin_of.max()) + 1))
    gaps[np.arange(len(bin_of)), bin_of] = found.right - found.confidence
    return np.asarray(np.abs(drawn @ gaps).sum(axis=1) / drawn.sum(axis=1))


def _aurc(found: Decisions, counts: Floats) -> Floats:
    order = np.argsort(-found.confidence, kind="stable")
    drawn = _per_decision(found, counts)[:, order]
    covered = np.cumsum(drawn, axis=1)
    wrong = np.cumsum(drawn * (1 - found.right[order]), axis=1)
    risk = np.divide(wrong, covered, out=np.zeros_like(wrong), where=covered > 0)
    return np.asarray((drawn * risk).sum(axis=1) / covered[:, -1])
