"""What a graph's metadata says of its model, read and refused where it makes no sense; cpp/graph-metadata.md."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from toughen.data.tokens.encode import TRUNCATIONS
from toughen.deploy.files import FORMAT
from toughen.errors import InputError

ACTIVATIONS = {"single-label": "softmax", "tokens": "softmax", "multi-label": "sigmoid", "regression": "none"}
"""What makes probabilities of each task's logits."""


def read_description(noted: str | None, where: str) -> dict[str, Any]:
    """Return the description.

    Args:
        noted: the metadata's JSON, or None.
        where: names the model in messages.

    Raises:
        InputError: if there is none, it is of another format, or an entry has no meaning here.
    """
    known = _parse(noted)
    if known.get("format") != FORMAT:
        raise InputError(
            f"the model in {where} is of format {known.get('format')}, and this version of toughen reads format "
            f"{FORMAT}; export the model again."
        )
    for name, holds in _ENTRIES.items():
        if not holds(known.get(name), known):
            raise InputError(
                f"the entry {name!r} of the description of the model in {where} is missing or wrong; export the model "
                "again."
            )
    return known


def _parse(noted: str | None) -> dict[str, Any]:
    try:
        known = json.loads(noted or "{}")
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_labels(value: object) -> bool:
    # One with a zero in it would be another one in C.
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and "\0" not in one for one in value)


def _are_columns(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("text"), str)
        and isinstance(value.get("text_pair"), str | None)
        and isinstance(value.get("label"), list)
        and all(isinstance(name, str) for name in value["label"])
    )


def _are_thresholds(value: object, known: dict[str, Any]) -> bool:
    if value is None:
        return True
    if not isinstance(value, list) or not all(map(_is_number, value)):
        return False
    labels = len(known["labels"])
    if known["task"] == "multi-label":
        return len(value) == labels
    return known["task"] == "single-label" and labels == 2 and len(value) == 1


def _is_abstention(value: object, known: dict[str, Any]) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or known["task"] != "single-label":
        return False
    cuts = [value.get(name) for name in ("threshold", "set_threshold")]
    return any(cut is not None for cut in cuts) and all(cut is None or _is_number(cut) for cut in cuts)


def _is_tokenizer(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    sides = all(value.get(name) in ("left", "right") for name in ("truncation_side", "padding_side"))
    pads = all(_is_whole(value.get(name), 0) for name in ("pad_id", "pad_type_id"))
    inputs = value.get("inputs")
    return sides and pads and isinstance(inputs, list) and "input_ids" in inputs and "attention_mask" in inputs


# In this order: later ones look at earlier ones.
_ENTRIES: dict[str, Callable[[Any, dict[str, Any]], bool]] = {
    "task": lambda value, _: value in ACTIVATIONS,
    "activation": lambda value, known: value == ACTIVATIONS[known["task"]],
    "temperature": lambda value, _: _is_number(value) and value > 0,
    "labels": lambda value, _: _are_labels(value),
    "thresholds": _are_thresholds,
    "thresholds_before": _are_thresholds,
    "abstention": _is_abstention,
    "pairs": lambda value, _: value is None or isinstance(value, bool),
    "columns": lambda value, _: value is None or _are_columns(value),
    "max_length": lambda value, _: _is_whole(value, 1),
    "truncation": lambda value, _: value in TRUNCATIONS,
    "overlap": lambda value, _: _is_whole(value, 0),
    "tokenizer": lambda value, _: _is_tokenizer(value),
    "sha256": lambda value, _: value is None or isinstance(value, dict),
}
