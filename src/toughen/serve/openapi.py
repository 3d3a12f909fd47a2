"""What /openapi.json says of the addresses that take JSON, with the served model's own answers as examples."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from toughen.serve.requests import (
    ExplainBody,
    HostedBody,
    InferBody,
    InstancesBody,
    Kind,
    PerturbBody,
    PredictBody,
    schema,
)

_ERRORS = {
    401: "No token, or a wrong one.",
    403: "A page of another origin asks.",
    408: "The body took too long to arrive.",
    413: "Too many texts, a text that is too long, or a body that is too large.",
    415: "The body does not call itself application/json.",
    422: "The request cannot be understood.",
    424: "The model's output is not a number.",
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
_LISTS = {"type": "array", "items": _PREDICTIONS}
_OBJECT = {"type": "object", "properties": {"predictions": _PREDICTIONS}}
_WHAT: dict[str, tuple[type[BaseModel], str, str, dict[str, Any]]] = {
    "predict": (
        PredictBody,
        "Answer one text or many",
        "A list of labels with scores, the largest first; for many texts one each.",
        {"oneOf": [_PREDICTIONS, _LISTS]},
    ),
    "explain": (
        ExplainBody,
        "Say which words the answer rests on",
        "The text in pieces; effect is the label's score less its score without the piece, null of what stays.",
        _OBJECT,
    ),
    "perturb": (
        PerturbBody,
        "Answer the text with typing errors",
        "Per kind of error the corrupted text and the answers to it.",
        _OBJECT,
    ),
    "hosted": (HostedBody, "Answer as hosted inference endpoints do", "A list of labels for each text.", _LISTS),
    "instances": (InstancesBody, "Answer as /v1", "The labels of each instance.", {"type": "object"}),
    "infer": (InferBody, "Answer as the open inference protocol", "Tensors.", {"type": "object"}),
}


EXAMPLE = "A warm and bright room."


def example_text(kind: Kind) -> Any:
    """Return inputs that fit a model's kind."""
    return ["What was it like?", EXAMPLE] if kind == "pairs" else EXAMPLE


def document_operation(name: str, examples: dict[str, Any], kind: Kind, *, guarded: bool) -> dict[str, Any]:
    """Return the arguments by which FastAPI documents an address.

    Args:
        name: predict, explain, perturb, hosted, instances or infer.
        examples: inputs and the model's predictions for them.
        kind: what the model takes: texts, pairs or tokens.
        guarded: whether a token is needed.
    """
    shape, summary, answer, answered = _WHAT[name]
    body = schema(shape, kind)
    if "inputs" in body["properties"] and name != "infer":
        body["properties"]["inputs"] = body["properties"]["inputs"] | {"example": examples["inputs"]}
    content: dict[str, Any] = {"schema": answered}
    if name == "predict":
        several = [examples["predictions"]]
        content["examples"] = {"one": {"value": examples["predictions"]}, "many": {"value": several}}
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}
    if guarded:
        extra["security"] = [{"bearer": []}]
    return {
        "summary": summary,
        "tags": ["model"],
        "openapi_extra": extra,
        "responses": {200: {"description": answer, "content": {"application/json": content}}}
        | {
            status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
            for status, text in _ERRORS.items()
            if status != 401 or guarded
        },
    }
