"""The confusion matrix: which label is predicted for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toughen.assess.slices import Scorable
from toughen.tasks import TaskName


def confusion(task: TaskName, data: Scorable) -> dict[str, Any]:
    """Count answers by truth.

    Returns:
        Single-label and tokens (words): labels, and matrix [C][C], a row per true label, a column per answer.
        Multi-label: {label: {true_positive, false_positive, false_negative, true_negative}} as per_label.
    """
    if task == "multi-label":
        return {"per_label": _per_label(data)}
    number = {name: i for i, name in enumerate(data.names)}
    size = len(number)
    truth, said = data.truth, data.said
    if task == "tokens":
        truth, said = ([tag for tags in rows for tag in tags] for rows in (truth, said))
    cells = [number[a] * size + number[b] for a, b in zip(truth, said, strict=True)]
    counts = np.bincount(np.asarray(cells, dtype=np.int64), minlength=size * size).reshape(size, size)
    return {"labels": list(data.names), "matrix": counts.tolist()}


def add_confusions(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the counts of several sets together, as `confusion` returns those of one."""
    first = parts[0]
    if "matrix" in first:
        return {"labels": first["labels"], "matrix": np.sum([part["matrix"] for part in parts], axis=0).tolist()}
    counted = {
        name: {key: sum(part["per_label"][name][key] for part in parts) for key in counts}
        for name, counts in first["per_label"].items()
    }
    return {"per_label": counted}


def _per_label(data: Scorable) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name in data.names:
        truth, said = (np.array([name in labels for labels in rows], dtype=bool) for rows in (data.truth, data.said))
        found[name] = {
            "true_positive": int((truth & said).sum()),
            "false_positive": int((~truth & said).sum()),
            "false_negative": int((truth & ~said).sum()),
            "true_negative": int((~truth & ~said).sum()),
        }
    return found
