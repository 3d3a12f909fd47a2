"""Answers as bytes, in the form of each address that gives them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from toughen.serve.model import Row, Served, Text


def as_json(value: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def as_list(values: Iterable[Any]) -> bytes:
    """Return values as a JSON list, put together one by one, so that other threads get a turn in between."""
    return b"[" + b",".join(as_json(value) for value in values) + b"]"


def predictions(
    served: Served, texts: Sequence[Text], rows: Sequence[Row], *, many: bool, raw: bool, top_k: int | None
) -> bytes:
    """Return the labels of each text, of a single one without the list around it."""
    given = zip(texts, rows, strict=True)
    found = (served.predictions(text, row, raw=raw, top_k=top_k) for text, row in given)
    return as_list(found) if many else as_json(next(found))


def tensors(served: Served, texts: Sequence[Text], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the outputs for N texts as the open inference protocol has them.

    Returns:
        Single-label: ``label`` [N] and ``probabilities`` [N, C], ``abstained`` [N] where the model may abstain;
        multi-label: ``predicted`` and ``probabilities``
        [N, C], C in the order of the labels; regression: ``value`` [N]; tokens: ``predictions`` [N], each JSON, for
        texts have different numbers of words.
    """
    count = len(rows)
    if served.task == "tokens":
        found = [as_json(served.predictions(text, row)).decode() for text, row in zip(texts, rows, strict=True)]
        return [_tensor("predictions", "BYTES", [count], found)]
    values = np.stack(rows)
    if served.task == "regression":
        return [_tensor("value", "FP64", [count], values[:, 0].tolist())]
    probabilities = _tensor("probabilities", "FP64", list(values.shape), values.ravel().tolist())
    chosen = [served.chosen(row) for row in rows]
    if served.task == "multi-label":
        predicted = [i in labels for labels in chosen for i in range(len(served.labels))]
        return [_tensor("predicted", "BOOL", list(values.shape), predicted), probabilities]
    label = _tensor("label", "BYTES", [count], [served.labels[i] for (i,) in chosen])
    if not served.may_abstain:
        return [label, probabilities]
    return [label, probabilities, _tensor("abstained", "BOOL", [count], [served.abstains(row) for row in values])]


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def described_tensors(served: Served) -> dict[str, Any]:
    """Return what the open inference protocol says of a model before it is asked: inputs and outputs, -1 any number."""
    names = ["text", "text_pair"] if served.pairs else ["text"]
    classes = len(served.labels)
    probabilities = ("probabilities", "FP64", [-1, classes])
    abstained = [("abstained", "BOOL", [-1])] if served.may_abstain else []
    outputs = {
        "single-label": [("label", "BYTES", [-1]), probabilities, *abstained],
        "multi-label": [("predicted", "BOOL", [-1, classes]), probabilities],
        "regression": [("value", "FP64", [-1])],
        "tokens": [("predictions", "BYTES", [-1])],
    }[served.task]
    return {
        "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in names],
        "outputs": [{"name": name, "datatype": kind, "shape": shape} for name, kind, shape in outputs],
    }
