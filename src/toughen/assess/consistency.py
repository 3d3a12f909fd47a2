"""Dropout consistency: how much the answers of a model move when its own dropout is left on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch

from toughen.arrays import Floats
from toughen.errors import InputError
from toughen.statistics.bootstrap import percentile_interval, resample_measures
from toughen.tasks import TaskName

_TINY = 1e-300


def dropout_consistency(
    classifier: Any, rows: Any, clean: Any, *, passes: int, seed: int, samples: int, batch_size: int
) -> dict[str, Any]:
    """Run a classifier several times with dropout on, and compare the passes with the clean one and each other.

    Definitions, over all texts and passes (for tokens a text's words are averaged first):

    - flip_rate: share of (text, pass) whose answer is not the clean one's; of several labels, of label sets.
    - unstable: share of texts that at least one pass answers otherwise.
    - kl_clean: mean of (KL(p || q) + KL(q || p)) / 2 between the clean p and a pass's q, nats; of several labels
      the sum over labels of that of two outcomes each. kl_passes: the same between each two passes, which is what
      R-Drop's term trains (2106.14448). Both are of the probabilities that the classifier returns.
    - regression has no answers: squared_clean and squared_passes are mean squared differences instead.

    Args:
        classifier: of any task, with dropout; of several models each has it on.
        rows: N texts.
        clean: its outputs on them without dropout.
        passes: 1 or more; kl_passes takes 2.
        seed: of the masks; the same seed and batch size give the same result on one machine.
        samples: bootstrap resamples of the texts, for intervals.
        batch_size: texts per pass.

    Raises:
        InputError: if the model has no dropout.
    """
    found = []
    for number in range(passes):
        with _enable_dropout(classifier, seed * 1_000_003 + number):
            found.append(classifier.outputs(rows, batch_size=batch_size))
    if all(_equal(clean, other) for other in found):
        raise InputError("--dropout-samples: the model has no dropout, so every pass is the same; leave it out.")
    per_text = _per_text(classifier, clean, found)
    measures = {name: partial(_mean, values) for name, values in per_text.items()}
    drawn = resample_measures(measures, len(rows), samples=samples, seed=seed)
    intervals = {name: percentile_interval(values) for name, values in drawn.items()}
    means = {name: float(values.mean()) for name, values in per_text.items()}
    return {"passes": passes, "seed": seed, **means, "intervals": intervals}


def _per_text(classifier: Any, clean: Any, found: Sequence[Any]) -> dict[str, Floats]:
    """Return each number of each text [N], averaged over the passes found."""
    task = classifier.task
    kind = "squared" if task == "regression" else "kl"
    per_text = {f"{kind}_clean": np.mean([_distance(task, clean, other) for other in found], axis=0)}
    if len(found) > 1:
        pairs = combinations(found, 2)
        per_text[f"{kind}_passes"] = np.mean([_distance(task, one, other) for one, other in pairs], axis=0)
    if task != "regression":
        flips = np.array([_flips(task, clean, other, classifier.thresholds) for other in found])  # [passes, N]
        per_text |= {"flip_rate": flips.mean(axis=0), "unstable": (flips > 0).any(axis=0).astype(np.float64)}
    return per_text


def _mean(values: Floats, counts: Floats) -> Floats:
    return np.asarray(counts @ values / len(values))


@contextmanager
def _enable_dropout(classifier: Any, seed: int) -> Iterator[None]:
    """Put the model, or all of several, in training mode with dropout of this seed; then back."""
    models = [member.model for member in getattr(classifier, "members", ()) or (classifier,)]
    devices = sorted({p.device.index or 0 for model in models for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            for model in models:
                model.train()
            yield
        finally:
            for model in models:
                model.eval()


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(np.array_equal(one, other))


def _flips(task: TaskName, clean: Any, other: Any, thresholds: Any) -> Floats:
    """Say of each text [N] how much of its answer differs: 0 or 1; of tokens the share of its words."""
    if task == "tokens":
        pairs = zip(clean, other, strict=True)
        return np.array([np.mean(a.argmax(1) != b.argmax(1)) if len(a) else 0.0 for a, b in pairs])
    if task == "multi-label":
        cut = 0.5 if thresholds is None else np.asarray(thresholds)
        return np.asarray(((clean >= cut) != (other >= cut)).any(axis=1), dtype=np.float64)
    said = [p.argmax(1) if thresholds is None else (p[:, 1] >= thresholds[0]).astype(int) for p in (clean, other)]
    return np.asarray(said[0] != said[1], dtype=np.float64)


def _distance(task: TaskName, one: Any, other: Any) -> Floats:
    """Return of each text [N] the symmetric KL divergence of two outputs; of numbers the squared difference."""
    if task == "regression":
        return np.asarray((one - other) ** 2)
    if task == "tokens":
        pairs = zip(one, other, strict=True)
        return np.array([symmetric_kl(a, b).mean() if len(a) else 0.0 for a, b in pairs])
    if task == "multi-label":
        return symmetric_kl(one, other) + symmetric_kl(1 - one, 1 - other)
    return symmetric_kl(one, other)


def symmetric_kl(p: Floats, q: Floats) -> Floats:
    """Return [N] = sum over classes of (p - q)(log p - log q) / 2, which is (KL(p || q) + KL(q || p)) / 2."""
    logs = np.log(np.maximum(p, _TINY)) - np.log(np.maximum(q, _TINY))
    return np.asarray(((p - q) * logs).sum(axis=1) / 2)
