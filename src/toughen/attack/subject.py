"""What is attacked: a classifier by whatever name it is given, and the labelled texts, numbered by their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from toughen.arrays import Floats, Ints
from toughen.attack.search_requests import Asked, Beside, Side
from toughen.data import load_labelled
from toughen.errors import InputError
from toughen.runs.finished import FinishedRun
from toughen.settings import require, require_seed

_READY = {"text", "label", "row"}


@runtime_checkable
class TextClassifier(Protocol):
    """What an attack asks of a model. `toughen.classifier.classifier.Classifier` is one.

    White-box attacks further take ``model`` (a module with ``get_input_embeddings`` whose output has ``logits``),
    ``tokenizer`` (a fast one) and ``max_length``. Where there are ``thresholds`` of two classes, they decide.

    Attributes:
        label_names: names of the C classes, in the order of the probabilities.
    """

    label_names: tuple[str, ...]

    def probabilities(self, dataset: Any, *, batch_size: int = 64) -> Floats:
        """Return the probabilities [N, C] of a dataset with N rows and a ``text`` column."""


@dataclass(frozen=True)
class Examples:
    """Labelled texts in the order of their rows.

    Attributes:
        texts: N texts.
        labels: [N] ids.
        rows: [N] row numbers in the source.
        beside: of pairs, the N texts that stay; None for single texts.
    """

    texts: list[str]
    labels: Ints
    rows: Ints
    beside: tuple[Beside, ...] | None = None

    def beside_of(self, i: int) -> Beside | None:
        """Return the text that stays in example ``i``."""
        return None if self.beside is None else self.beside[i]

    def asked(self, i: int, text: str) -> Asked:
        """Return what the classifier reads where the text of example ``i`` is this one."""
        beside = self.beside_of(i)
        return text if beside is None else beside.pair(text)

    def __len__(self) -> int:
        return len(self.texts)


def threshold_of(classifier: Any) -> float | None:
    """Return the probability from which a classifier of two classes answers 1; None is the likelier class."""
    thresholds = getattr(classifier, "thresholds", None)
    return None if thresholds is None else float(thresholds[0])


def classifier_of(given: Any) -> tuple[Any, Mapping[str, str | None]]:
    """Return the classifier of a run, a run's folder or itself, and the columns that a run's recipe names."""
    if isinstance(given, (str, Path)):
        given = FinishedRun.open(given)
    if isinstance(given, TextClassifier):
        return given, {}
    if not hasattr(given, "classifier"):
        raise TypeError(f"a run, its folder or a classifier is needed, got {type(given).__name__}")
    columns = {name: getattr(given.recipe.data, name) for name in ("text", "text_pair", "label")}
    return given.classifier, columns


def read_labelled(
    classifier: Any,
    data: Any,
    columns: Mapping[str, str | None],
    *,
    limit: int | None,
    seed: int,
) -> Any:
    """Read labelled texts for a classifier; see `toughen.data.load_labelled` for the sources and errors.

    Args:
        classifier: its label names and task say what a label is.
        data: a source; or a dataset that has ``text``, ``label`` and ``row`` already and is taken as it is.
        columns: names of the columns ``text``, ``text_pair`` and ``label``, where they are known.
        limit: so many rows drawn at random, or None.
        seed: of that draw.

    Returns:
        A dataset with ``text``, ``label`` and ``row`` (and ``text_pair``), in the order of the rows.
    """
    require_seed(seed)
    require(limit is None or limit > 0, "limit", limit, "must be at least 1")
    if not _READY.issubset(getattr(data, "column_names", ())):
        data = load_labelled(
            data,
            known=getattr(classifier, "columns", None),
            text=columns.get("text"),
            text_pair=columns.get("text_pair"),
            label=columns.get("label"),
            label_names=classifier.label_names,
            task=getattr(classifier, "task", "single-label"),
            pairs=getattr(classifier, "pairs", None),
        )
    if limit is None or limit >= len(data):
        return data
    drawn = np.random.default_rng(seed).choice(len(data), limit, replace=False)
    return data.select(np.sort(drawn))


def examples_of(
    classifier: Any,
    data: Any,
    columns: Mapping[str, str | None],
    *,
    limit: int | None,
    seed: int,
    side: Side | None = None,
    pairs: str | None = "reads single texts",
) -> Examples:
    """Read texts with one class each.

    Args:
        classifier: as for `read_labelled`, like ``data``, ``columns``, ``limit`` and ``seed``.
        data: see there.
        columns: see there.
        limit: see there.
        seed: see there.
        side: of pairs, the text that is changed; None is the second. Single texts have none.
        pairs: why the attack does not take pairs; None if it does.

    Raises:
        InputError: if the classifier has another task, the texts are pairs and may not be, or are none and a side is
            named; and as `read_labelled`.
    """
    task = getattr(classifier, "task", "single-label")
    if task != "single-label":
        raise InputError(f"attacks are for one class per text (single-label), but the model does {task}; use noise.")
    rows = read_labelled(classifier, data, columns, limit=limit, seed=seed)
    labels, numbers = (np.asarray(rows[name][:], dtype=np.int64) for name in ("label", "row"))
    if "text_pair" not in rows.column_names:
        if side is not None:
            raise InputError(f"--side {side} is for pairs of texts, but the data are single texts; leave it out.")
        return Examples(list(rows["text"]), labels, numbers)
    if pairs is not None:
        raise InputError(
            f"this attack {pairs}, but the data are pairs; measure pairs with --noise, or by an attack on letters or "
            "words, such as deepwordbug or textfooler."
        )
    side = side or "second"
    changed, stays = ("text", "text_pair") if side == "first" else ("text_pair", "text")
    beside = tuple(Beside(text, side) for text in rows[stays])
    return Examples(list(rows[changed]), labels, numbers, beside)
