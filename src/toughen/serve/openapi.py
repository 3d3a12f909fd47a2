"""What /openapi.json says of the addresses that take JSON, with the served model's own answers as examples."""

from __future__ import annotations

import json
from typing import Any

_ERRORS = {
    401: "No token, or a wrong one.",
    408: "The body took too long to arrive.",
    413: "Too many texts, a text that is too long, or a body that is too large.",
    422: "The request cannot be understood.",
    429: "The queue is full; Retry-After says for how many seconds.",
    500: "The service failed.",
    503: "The service is shutting down.",
    504: "There was no answer in time.",
}
_ERROR = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
    "example": {"error": "inputs is an empty list; send at least one text.", "error_type": "validation"},
}
_STRING = {"type": "string"}
_PAIR = {"type": "array", "items": _STRING, "minItems": 2, "maxItems": 2}
_WORDS = {"type": "array", "items": _STRING}
_ONE: dict[str, dict[str, Any]] = {"texts": _STRING, "pairs": _PAIR, "tokens": {"oneOf": [_STRING, _WORDS]}}
_PREDICTIONS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["label", "score"],
        "properties": {
            "label": _STRING,
            "score": {"type": "number"},
            "predicted": {"type": "boolean", "description": "With several labels or thresholds: whether it is given."},
            "word": {"type": "string", "description": "Of a model that tags words: which."},
        },
    },
}
_WHAT = {
    "predict": ("Answer one text or many", "A list of labels with scores, the largest first; for many texts one each."),
    "explain": (
        "Say which words the answer rests on",
        "The text in pieces; effect is the label's score less its score without the piece, null of what stays.",
    ),
    "perturb": ("Answer the text with typing errors", "Per kind of error the corrupted text and the answers to it."),
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "predict": {
        "raw_scores": {"type": "boolean", "default": False, "description": "Logits instead of probabilities."},
        "truncate": {"type": "boolean", "default": True, "description": "Cut long texts instead of refusing them."},
    },
    "explain": {"label": {"type": "string", "description": "For which label; default: the one predicted."}},
    "perturb": {
        "severity": {"type": "integer", "minimum": 1, "maximum": 5, "default": 2},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
    },
}


def example_text(kind: str) -> Any:
    """Return inputs that fit a model's kind."""
    return ["What was it like?", "A warm and bright room."] if kind == "pairs" else "A warm and bright room."


def as_json(value: Any) -> bytes:
    """Return a value as a body."""
    return json.dumps(value).encode()


def documented(name: str, examples: dict[str, Any], kind: str, *, guarded: bool) -> dict[str, Any]:
    """Return the arguments by which FastAPI documents an address.

    Args:
        name: predict, explain or perturb.
        examples: inputs and the model's predictions for them.
        kind: what the model takes: texts, pairs or tokens.
        guarded: whether a token is needed.
    """
    summary, answer = _WHAT[name]
    one = _ONE[kind]
    many = [one, {"type": "array", "items": one}, {"type": "array", "items": _WORDS}]
    inputs = {"oneOf": many} if name == "predict" else one
    body = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"inputs": inputs | {"example": examples["inputs"]}, **_OPTIONS[name]},
    }
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}
    if guarded:
        extra["security"] = [{"bearer": []}]
    return {
        "summary": summary,
        "tags": ["model"],
        "openapi_extra": extra,
        "responses": {200: _answer(name, answer, examples)}
        | {
            status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
            for status, text in _ERRORS.items()
            if status != 401 or guarded
        },
    }


def _answer(name: str, description: str, examples: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {"predictions": _PREDICTIONS}}
    content: dict[str, Any] = {"schema": schema}
    if name == "predict":
        several = [examples["predictions"]]
        content = {
            "schema": {"oneOf": [_PREDICTIONS, {"type": "array", "items": _PREDICTIONS}]},
            "examples": {"one": {"value": examples["predictions"]}, "many": {"value": several}},
        }
    return {"description": description, "content": {"application/json": content}}
