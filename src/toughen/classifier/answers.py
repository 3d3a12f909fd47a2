"""What a classifier is asked and what it answers: Python texts in, one dict per text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toughen.arrays import Floats
from toughen.classifier.abstention import Abstention
from toughen.classifier.tags import find_entities
from toughen.errors import InputError
from toughen.tasks import TaskName

if TYPE_CHECKING:
    import datasets

Answer = dict[str, Any]
Text = str | tuple[str, str] | Sequence[str]


def texts_columns(texts: Sequence[Text], task: TaskName) -> dict[str, list[Any]]:
    """Put texts into the columns ``text`` (and ``text_pair``), lists of N; for tokens ``text`` holds words.

    Raises:
        InputError: if a text is of another kind than the task takes, or some are pairs and some are not.
    """
    texts = list_texts(texts)
    if task == "tokens":
        return {"text": [_words(text, i) for i, text in enumerate(texts)]}
    in_pairs = not isinstance(texts[0], str) if texts else False
    for i, text in enumerate(texts):
        _check(text, i, in_pairs)
    if not in_pairs:
        return {"text": list(texts)}
    return {name: [text[i] for text in texts] for i, name in enumerate(("text", "text_pair"))}


def list_texts(texts: Any) -> list[Any]:
    """Return what texts stand in (a list, a pandas Series, an array, a generator) as a list.

    Raises:
        InputError: if they are one text, or a table.
    """
    if isinstance(texts, (str, bytes)):
        raise InputError(f"the texts are one {type(texts).__name__}; give a list of texts: [text].")
    if isinstance(texts, Mapping) or hasattr(texts, "columns") or hasattr(texts, "column_names"):
        raise InputError(f"the texts are a {type(texts).__name__}; give one column of it, such as data['text'].")
    try:
        return list(texts)
    except TypeError:
        raise InputError(f"the texts are a {type(texts).__name__}; give a list of texts.") from None


def texts_dataset(texts: Sequence[Text], task: TaskName) -> datasets.Dataset:
    """Put texts into a dataset with the columns of `texts_columns`.

    Raises:
        InputError: as there.
    """
    # pyarrow, which an exported model does not need to answer.
    import pyarrow as pa

    from toughen.data.read.chunks import as_dataset  # loads pyarrow

    kind = pa.list_(pa.string()) if task == "tokens" else pa.string()
    return as_dataset(pa.table({name: pa.array(v, kind) for name, v in texts_columns(texts, task).items()}))


def _words(text: Text, position: int) -> list[str]:
    words = text.split() if isinstance(text, str) else text
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise InputError(
            f"text {position + 1} to be tagged is a {type(text).__name__}; give a list of words, or a str to be split "
            "on white space."
        )
    for word in words:
        _refuse_half_characters(word, position)
    return list(words)


def _check(text: Text, position: int, in_pairs: bool) -> None:
    pair = isinstance(text, (tuple, list)) and len(text) == 2 and all(isinstance(part, str) for part in text)
    if pair if in_pairs else isinstance(text, str):
        for part in (text,) if isinstance(text, str) else text:
            _refuse_half_characters(part, position)
        return
    wanted = "a pair of str" if in_pairs else "a str"
    wanted = "a str or a pair of str" if position == 0 else f"{wanted} like the first"
    raise InputError(f"text {position + 1} is a {type(text).__name__}; it must be {wanted}.")


def _refuse_half_characters(text: str, position: int) -> None:
    """Refuse what is no Unicode: half of a surrogate pair is what cutting an escaped emoji leaves."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise InputError(
            f"text {position + 1} holds half of a surrogate pair ({half!a}): a character that was cut in two; write it "
            "whole or remove it."
        ) from None


def answers(
    task: TaskName,
    texts: datasets.Dataset | Mapping[str, Sequence[Any]],
    outputs: Any,
    names: Sequence[str],
    thresholds: Sequence[float] | None,
    abstention: Abstention | None = None,
) -> list[Answer]:
    """Say in words what the outputs (as `Classifier.outputs` returns them) mean: one dict per text.

    ``texts`` has a column ``text``, which is looked at for tokens only; ``abstention`` joins one class per text.
    """
    if task == "regression":
        return [{"score": float(value)} for value in outputs]
    if task == "tokens":
        return [_tagged_answer(words, row, names) for words, row in zip(texts["text"], outputs, strict=True)]
    if task == "multi-label":
        return [_multi(row, names, thresholds) for row in outputs]
    found = [_single(row, names, thresholds) for row in outputs]
    if abstention is None:
        return found
    given = zip(found, outputs, strict=True)
    return [answer | abstention.told(answer["score"], row, names) for answer, row in given]


def _by_name(row: Floats, names: Sequence[str]) -> dict[str, float]:
    return dict(zip(names, row.tolist(), strict=True))


def _single(row: Floats, names: Sequence[str], thresholds: Sequence[float] | None) -> Answer:
    chosen = int(row.argmax()) if thresholds is None else int(row[1] >= thresholds[0])
    return {"label": names[chosen], "score": float(row[chosen]), "probabilities": _by_name(row, names)}


def _multi(row: Floats, names: Sequence[str], thresholds: Sequence[float] | None) -> Answer:
    cuts = [0.5] * len(names) if thresholds is None else thresholds
    labels = [name for name, p, cut in zip(names, row.tolist(), cuts, strict=True) if p >= cut]
    return {"labels": labels, "probabilities": _by_name(row, names)}


def _tagged_answer(words: Sequence[str], rows: Floats, names: Sequence[str]) -> Answer:
    tags = [names[i] for i in rows.argmax(axis=1)]
    entities = [
        {"type": found.type, "start": found.start, "end": found.end, "text": " ".join(words[found.start : found.end])}
        for found in find_entities(tags)
    ]
    return {"words": list(words), "tags": tags, "entities": entities}
