"""What clients send: the bodies of all addresses, and one sentence for whatever is wrong with one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, ValidationInfo, model_validator

from toughen.serve.model import Text
from toughen.serve.refusals import Refusal, invalid

Kind = Literal["texts", "pairs", "tokens"]

_SHAPES = {
    "texts": 'a string, or a list of strings, such as {"inputs": "a good film"}',
    "pairs": 'a pair of strings, or a list of pairs, such as {"inputs": [["a question", "an answer"]]}',
    "tokens": 'a string, or a list of strings or of lists of words, such as {"inputs": [["a", "good", "film"]]}',
}
_STRING = {"type": "string"}
_PAIR = {"type": "array", "items": _STRING, "minItems": 2, "maxItems": 2}
_WORDS = {"type": "array", "items": _STRING}
_ONE: dict[str, dict[str, Any]] = {"texts": _STRING, "pairs": _PAIR, "tokens": {"oneOf": [_STRING, _WORDS]}}


@dataclass(frozen=True)
class Inputs:
    """The texts of a request.

    Attributes:
        texts: at least one, of the model's kind.
        many: whether they came as a list, and are answered as one.
    """

    texts: list[Text]
    many: bool


@dataclass(frozen=True)
class Expected:
    """What a service takes: the model's kind of text, and how many in one request."""

    kind: Kind
    most: int


def _read_inputs(given: Any, info: ValidationInfo) -> Inputs:
    return inputs_of(given, cast(Expected, info.context))


class _Body(BaseModel):
    """A JSON object; what is null is as if it were not there, and what nobody knows is passed over."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None or name == "inputs"}


class _Texts(_Body):
    inputs: Annotated[Any, PlainValidator(_read_inputs)]

    @property
    def texts(self) -> list[Text]:
        """The texts, at least one."""
        found: list[Text] = self.inputs.texts
        return found


class PredictBody(_Texts):
    """Of /predict."""

    raw_scores: bool = Field(default=False, description="Logits instead of probabilities.")
    truncate: bool = Field(default=True, description="Cut long texts instead of refusing them.")
    truncation_direction: Literal["left", "right"] | None = Field(
        None, description="At which end; only that at which the model was trained is taken."
    )
    top_k: int | None = Field(default=None, ge=1, description="How many of the labels are given; default: all.")


class ExplainBody(_Texts):
    """Of /explain."""

    label: str | None = Field(default=None, description="For which label; default: the one predicted.")


class PerturbBody(_Texts):
    """Of /perturb."""

    severity: int = Field(default=2, ge=1, le=5)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


class _Parameters(_Body):
    top_k: int | None = Field(default=None, ge=1)
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None
    truncation: bool = True


class HostedBody(_Texts):
    """Of POST /, as hosted inference endpoints take it."""

    parameters: _Parameters = _Parameters()

    def as_predict(self, own: str) -> PredictBody:
        """Return it as a body of /predict.

        Args:
            own: the function that makes the model's probabilities.

        Raises:
            Refusal: if another one is asked for.
        """
        wanted = self.parameters.function_to_apply or own
        if wanted not in (own, "none"):
            raise invalid(
                f"parameters.function_to_apply is {wanted}, and this model's is {own}; use that, none, or leave it out."
            )
        return PredictBody.model_construct(
            inputs=self.inputs,
            raw_scores=wanted == "none",
            truncate=self.parameters.truncation,
            top_k=self.parameters.top_k,
        )


class InstancesBody(_Body):
    """Of /v1/models/NAME:predict."""

    instances: list[Any]

    def as_predict(self, expected: Expected) -> PredictBody:
        """Return it as a body of /predict for many texts."""
        return _many(self.instances, "instances", expected)


class _Tensor(_Body):
    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: Literal["BYTES"]
    data: list[Any]

    def texts(self) -> list[Any]:
        """Return the elements in their order; nested lists are opened."""
        flat = self.data
        for _ in self.shape[1:]:
            flat = [one for row in flat for one in (row if isinstance(row, list) else [row])]
        if prod(self.shape) != len(flat):
            raise invalid(
                f"Tensor {self.name[:40]} has {len(flat):,} elements, and its shape says {prod(self.shape):,}."
            )
        return flat


class InferBody(_Body):
    """Of /v2/models/NAME/infer, the open inference protocol: a tensor of texts, and for pairs a second one."""

    id: str | None = None
    inputs: list[_Tensor]

    def as_predict(self, expected: Expected) -> PredictBody:
        """Return it as a body of /predict for many texts."""
        wanted = 2 if expected.kind == "pairs" else 1
        if len(self.inputs) != wanted:
            names = "tensors, the texts and what belongs to each" if wanted == 2 else "tensor, the texts"
            raise invalid(f"inputs has {len(self.inputs)} tensors, and this model takes {wanted} {names}.")
        columns = [tensor.texts() for tensor in self.inputs]
        if len({len(column) for column in columns}) > 1:
            raise invalid("The two tensors of inputs have different numbers of texts; send a pair for each.")
        texts = [list(pair) for pair in zip(*columns, strict=True)] if wanted == 2 else columns[0]
        return _many(texts, "inputs", expected)


def _many(texts: list[Any], name: str, expected: Expected) -> PredictBody:
    if expected.kind == "pairs" and len(texts) == 2 and all(isinstance(one, str) for one in texts):
        raise invalid(f"Text 1 of {name} is one string; this model takes {_SHAPES['pairs']}.")
    found = inputs_of(texts, expected, name)
    return PredictBody.model_construct(inputs=Inputs(found.texts, True))


Body = TypeVar("Body", bound=BaseModel)


def read(shape: type[Body], body: bytes, expected: Expected) -> Body:
    """Take a request's body apart.

    Args:
        shape: what the address takes.
        body: JSON.
        expected: of the texts.

    Raises:
        Refusal: if it is not JSON, lacks something, or has something of another kind.
    """
    try:
        return shape.model_validate_json(body, context=expected)
    except ValidationError as error:
        raise _refusal(shape, error, expected) from None


def _refusal(shape: type[BaseModel], error: ValidationError, expected: Expected) -> Refusal:
    """Say the first thing that is wrong in one sentence."""
    (first, *_) = error.errors(include_url=False, include_context=False)
    kind, place, said = first["type"], first["loc"], first["msg"]
    if kind == "json_invalid":
        return _not_json(said)
    if not place or kind == "missing":
        if "instances" in shape.model_fields:
            return invalid('The body must be a JSON object with instances, such as {"instances": ["a good film"]}.')
        if issubclass(shape, InferBody):
            return invalid(
                'The body must be a JSON object with inputs, a list of {"name", "shape", "datatype", "data"}.'
            )
        return invalid(f"The body must be a JSON object with inputs: {_SHAPES[expected.kind]}.")
    there = _schema_at(shape.model_json_schema(), place)
    name = ".".join(str(part + 1) if isinstance(part, int) else part for part in place)
    value = first["input"]
    number = there.get("type") == "integer" and isinstance(value, int) and not isinstance(value, bool)
    return invalid(f"{name} must be {_rule(there)}, got {value if number and abs(value) < 10**9 else _kind(value)}.")


def _not_json(said: str) -> Refusal:
    if "recursion" in said:
        return invalid("The body is nested too deeply to be read; send inputs as a string or a list.")
    if "surrogate" in said or "end of hex escape" in said:
        return invalid("A text of the body has half of a surrogate pair; send whole characters.")
    where = re.search(r"line (\d+) column (\d+)", said)
    at = f" (line {where[1]}, column {where[2]})" if where else ""
    return invalid(f"The body is not valid JSON in UTF-8{at}; send an object with inputs.")


def _schema_at(schema: dict[str, Any], place: Sequence[str | int]) -> dict[str, Any]:
    """Return what the schema says of a place."""
    here = schema
    for part in place:
        here = here["items"] if isinstance(part, int) else here["properties"][part]
        here = next((one for one in here.get("anyOf", []) if one.get("type") != "null"), here)
        if "$ref" in here:
            here = schema["$defs"][here["$ref"].rpartition("/")[2]]
    return here


def _rule(schema: dict[str, Any]) -> str:
    """Say in words what a schema takes."""
    if "enum" in schema or "const" in schema:
        return "one of: " + ", ".join(schema.get("enum") or [schema["const"]])
    if schema.get("type") == "integer":
        least, most = schema.get("minimum"), schema.get("maximum")
        return f"a whole number from {least} to {most}" if most is not None else f"a whole number of at least {least}"
    kinds = {"boolean": "true or false", "string": "a string", "array": "a list", "object": "an object"}
    return kinds[schema["type"]]


def schema(shape: type[BaseModel], kind: Kind) -> dict[str, Any]:
    """Return the JSON schema of a body, its texts of the model's kind."""
    found = shape.model_json_schema()
    if issubclass(shape, _Texts):
        one = _ONE[kind]
        many = [one, {"type": "array", "items": one}, {"type": "array", "items": _WORDS}]
        found["properties"]["inputs"] = one if shape in (ExplainBody, PerturbBody) else {"oneOf": many}
    return found


def inputs_of(given: Any, expected: Expected, name: str = "inputs") -> Inputs:
    """Return the texts that stand where a client puts them.

    Raises:
        Refusal: if there are none or too many, or one is of another kind than the model takes.
    """
    if isinstance(given, list) and not given:
        raise invalid(f"{name} is an empty list; send at least one text.")
    many = _is_many(given, expected.kind)
    if many and len(given) > expected.most:
        sentence = f"{name} has {len(given):,} texts and one request may have {expected.most:,}; send them in parts."
        raise Refusal(413, sentence)
    texts = [_text(one, expected.kind, f"Text {i + 1} of {name}") for i, one in enumerate(given if many else [given])]
    return Inputs(texts, many)


def _is_many(inputs: Any, kind: Kind) -> bool:
    """Tell whether inputs are a list of texts; a list of two strings is one pair where the model takes pairs."""
    if not isinstance(inputs, list):
        return False
    return not (kind == "pairs" and len(inputs) == 2 and all(isinstance(one, str) for one in inputs))


def _text(given: Any, kind: Kind, name: str) -> Text:
    """Return one text, as the model takes it."""
    strings = [given] if isinstance(given, str) else given
    if not isinstance(strings, list) or not all(isinstance(one, str) for one in strings):
        raise invalid(f"{name} is {_kind(given)}; inputs must be {_SHAPES[kind]}.")
    if kind == "tokens":
        return list(strings) if isinstance(given, list) else given.split()
    if len(strings) != (2 if kind == "pairs" else 1):
        was = "one string" if isinstance(given, str) else f"a list of {len(strings)} strings"
        raise invalid(f"{name} is {was}; this model takes {_SHAPES[kind]}.")
    return (strings[0], strings[1]) if kind == "pairs" else strings[0]


def _kind(value: Any) -> str:
    """Say in JSON's words what a value is."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "something else")
