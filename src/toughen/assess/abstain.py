"""Fit when a run's model gives no answer: risk control of the answers given, and conformal sets of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from toughen.assess.held_out import held_out_rows, note_in_model, require_one_model, task_of_run
from toughen.classifier.abstention import Abstention
from toughen.classifier.classifier import Classifier
from toughen.errors import InputError
from toughen.runs.folder import ABSTENTION, MODEL
from toughen.settings import require
from toughen.statistics.seeds import holm
from toughen.statistics.shares import lower_bound

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun

THRESHOLDS = (
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9),
    *(0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999),
)
"""What is tried. Fixed, because a grid that is taken from the rows would void the bound."""

CONFIDENCE = 0.9


@dataclass(frozen=True)
class Risk:
    """What one threshold comes to.

    Attributes:
        threshold: answers of at least this probability are given.
        answered: rows that are answered.
        errors: wrong ones of them.
        upper: Clopper-Pearson's upper bound on the share of wrong answers, of this threshold alone.
        p: of the hypothesis that this share is above the error asked for, after Holm's correction.
    """

    threshold: float
    answered: int
    errors: int
    upper: float
    p: float


def risks(scores: ArrayLike, right: ArrayLike, *, error: float, confidence: float) -> list[Risk]:
    """Test every threshold of `THRESHOLDS`.

    P(Binomial(answered, error) <= errors) is at most 1 - confidence exactly where Clopper-Pearson's one-sided upper
    bound at that confidence is at most ``error``; Holm's correction keeps this for all thresholds together.

    Source: Angelopoulos et al., "Learn then Test" (2110.01052), with Holm's correction; Geifman and El-Yaniv,
    "Selective classification for deep neural networks" (1705.08500).

    Args:
        scores: probabilities of the answers [N].
        right: whether each is right [N].
        error: 0 to 1, exclusive.
        confidence: 0 to 1, exclusive.
    """
    from scipy.stats import binom

    score, correct = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    counts = [(int((given := score >= t).sum()), int((given & ~correct).sum())) for t in THRESHOLDS]
    p_values = [float(binom.cdf(wrong, answered, error)) if answered else 1.0 for answered, wrong in counts]
    tail = 1 - confidence
    return [
        Risk(t, answered, wrong, 1 - lower_bound(answered - wrong, answered, tail) if answered else 1.0, float(p or 0))
        for t, (answered, wrong), p in zip(THRESHOLDS, counts, holm(p_values), strict=True)
    ]


def chosen_risk(found: Sequence[Risk], confidence: float) -> Risk | None:
    """Return the lowest threshold that holds its error with this confidence; None where none does."""
    return next((one for one in found if one.p <= 1 - confidence), None)


def set_threshold(of_truth: ArrayLike, coverage: float) -> float:
    """Return the probability from which on a label belongs to a conformal set.

    It is the k-th largest of the true labels' probabilities, k = ceil((n + 1) coverage): 1 less the quantile of
    1 - p that split conformal prediction takes. Of exchangeable texts the set of the next one holds its label with a
    chance of at least ``coverage``, and where no two probabilities are equal at most 1 / (n + 1) more. Rows too few
    for that put every label into every set: 0 is returned.

    Source: Vovk, Gammerman and Shafer, "Algorithmic learning in a random world" (2005); Sadinle, Lei and Wasserman,
    "Least ambiguous set-valued classifiers with bounded error levels" (1609.00451).

    Args:
        of_truth: probabilities of the right labels [N].
        coverage: 0 to 1, exclusive.
    """
    p = np.sort(np.asarray(of_truth, dtype=np.float64))[::-1]
    # Rounded, because (9 + 1) 0.7 is 7.000000000000001 in floating point.
    k = math.ceil(round((len(p) + 1) * coverage, 9))
    return float(p[k - 1]) if k <= len(p) else 0.0


def abstain(
    run: FinishedRun,
    data: object = None,
    *,
    error: float | None = None,
    confidence: float = CONFIDENCE,
    sets: float | None = None,
) -> dict[str, Any]:
    """Fit a threshold, conformal sets, or both on validation rows, and save them with the model.

    From then on each answer of this run, of its exports and of the service says whether the model abstains, and which
    labels may be right. Fitted anew each time.

    Args:
        run: a run with one model of one class per text.
        data: labelled rows that the model did not learn from, as for `toughen.assess.calibrate.calibrate`.
        error: largest share of wrong answers among those given.
        confidence: chance, over draws of the rows, with which that holds.
        sets: share of the texts whose set of labels holds the right one.

    Returns:
        What `Abstention` holds, n, source, and of the threshold ``answered`` {n, share, errors, upper} and ``tried``;
        of the sets ``sets`` {covered, mean_size, empty}; also written to abstention.json.

    Raises:
        InputError: if nothing or something impossible is asked for, no threshold holds the error, or the run has no
            such model or rows.
    """
    if error is None and sets is None:
        raise InputError(
            "say what is to hold: --error 0.05 (wrong among the answered), --sets 0.9 (coverage), or both."
        )
    for name, value in (("--error", error), ("--confidence", confidence), ("--sets", sets)):
        require(value is None or 0 < value < 1, name, value, "must be above 0 and below 1")
    require_one_model(run, "abstain", "threshold")
    if (task := task_of_run(run)) not in (None, "single-label"):
        raise InputError(
            f"the model in {run.path} is of the task {task}; only one class per text can be abstained from."
        )
    classifier = Classifier.load(run.path / MODEL, run.recipe.training.max_length)
    rows = held_out_rows(run, classifier, data)
    p = np.asarray(classifier.outputs(rows, batch_size=run.recipe.training.eval_batch_size))
    labels = np.asarray(rows["label"][:])
    found: dict[str, Any] = {"n": len(rows), "source": None if data is None else str(data)[:200]}
    given: dict[str, Any] = {}
    if error is not None:
        given |= {"error": error, "confidence": confidence}
        given["threshold"], told = _threshold(classifier, p, labels, error, confidence)
        found |= told
    if sets is not None:
        given |= {"coverage": sets, "set_threshold": set_threshold(p[np.arange(len(p)), labels], sets)}
        held = p >= given["set_threshold"]
        covered = float(held[np.arange(len(p)), labels].mean())
        size = held.sum(axis=1)
        found["sets"] = {"covered": covered, "mean_size": float(size.mean()), "empty": float((size == 0).mean())}
    fitted = Abstention(**given)
    found = fitted.note() | found
    note_in_model(run, "abstain", {"abstention": fitted.note()}, ABSTENTION, found)
    return found


def _threshold(
    classifier: Classifier, p: Any, labels: Any, error: float, confidence: float
) -> tuple[float, dict[str, Any]]:
    """Return the threshold and the account of it.

    Raises:
        InputError: if there is none.
    """
    cuts = classifier.thresholds
    chosen = p.argmax(axis=1) if cuts is None else (p[:, 1] >= cuts[0]).astype(int)
    tried = risks(p[np.arange(len(p)), chosen], chosen == labels, error=error, confidence=confidence)
    best = chosen_risk(tried, confidence)
    if best is None:
        least = math.ceil(math.log((1 - confidence) / len(THRESHOLDS)) / math.log1p(-error))
        nearest = min(tried, key=lambda one: one.p)
        raise InputError(
            f"no threshold keeps the wrong answers to {error:.1%} of those given with confidence {confidence:.0%}: the "
            f"nearest, {nearest.threshold:g}, answers {nearest.answered:,} of {len(p):,} rows, {nearest.errors:,} of "
            f"them wrong; allow more with --error, or give more rows with --data (at least {least:,} must be answered)."
        )
    answered = {"n": best.answered, "share": best.answered / len(p), "errors": best.errors, "upper": best.upper}
    return best.threshold, {"answered": answered, "tried": [vars(one) for one in tried]}
