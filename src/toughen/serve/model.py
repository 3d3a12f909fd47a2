"""The model that is served: texts in, rows of numbers out, and what they are called."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toughen.deploy.files import MODEL, is_export, require_run
from toughen.tasks import TaskName

Text = str | tuple[str, str] | list[str]
"""A text, a pair of them, or of a model that tags tokens a list of words."""
Prediction = dict[str, Any]
Row = NDArray[np.float64]
"""Outputs for one text: [C], for regression [1], for tokens [words, K]."""

_TINY = 1e-300
_HALF = 0.5


def open_model(folder: Path, model: str | None = None) -> Served:
    """Open an exported folder (on ONNX Runtime, without PyTorch) or a run folder (on PyTorch).

    Args:
        folder: of either kind.
        model: another graph of an exported folder than model.onnx.

    Raises:
        InputError: if it is neither, or has no such graph.
    """
    if is_export(folder):
        from toughen.deploy.predictor import load

        return Served(load(folder, model=model or MODEL), folder.resolve().name, "onnxruntime")
    require_run(folder, model)
    from toughen.runs.finished import FinishedRun

    return Served(FinishedRun.open(folder).classifier, folder.resolve().name, "pytorch")


class Served:
    """A classifier behind one lock: whoever asks, passes run one after the other.

    Args:
        classifier: a `toughen.deploy.predictor.Predictor` or `toughen.classifier.classifier.Classifier`.
        name: of the model.
        runtime: what computes.
    """

    def __init__(self, classifier: Any, name: str, runtime: str) -> None:
        self.classifier, self.name, self.runtime = classifier, name, runtime
        self.task: TaskName = classifier.task
        self.labels: tuple[str, ...] = tuple(classifier.label_names)
        self.max_length: int = classifier.max_length
        self.pairs = bool(classifier.pairs)
        known = classifier.thresholds
        self.thresholds: tuple[float, ...] | None = None if known is None else tuple(known)
        # A copy, because transformers' tokenizers must not be used by two threads at once.
        self._tokenizer = copy.deepcopy(classifier.tokenizer)
        self._counting, self._running = threading.Lock(), threading.Lock()

    @property
    def reads_all(self) -> bool:
        """Whether nothing of a long text is left out, because the model reads it in windows."""
        encode = getattr(self.classifier, "_encode", self.classifier)
        return getattr(encode, "truncation", "head") == "windows"

    def lengths(self, texts: Sequence[Text]) -> list[int]:
        """Return the tokens of each text, special ones included, as if it were not cut."""
        given: dict[str, Any] = {"text": list(texts)}
        if self.task == "tokens":
            given["is_split_into_words"] = True
        elif self.pairs:
            first, second = zip(*texts, strict=True)
            given = {"text": list(first), "text_pair": list(second)}
        with self._counting:
            ids = self._tokenizer(**given, truncation=False, padding=False, verbose=False)["input_ids"]
        return [len(row) for row in ids]

    def outputs(self, texts: Sequence[Text], batch_size: int) -> list[Row]:
        """Run the model.

        Args:
            texts: N of the model's kind, at least one.
            batch_size: texts per pass.

        Raises:
            InputError: if a text has no tokens.
        """
        with self._running:
            found = self._outputs(list(texts), batch_size)
        return [np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in found]

    def _outputs(self, texts: list[Any], batch_size: int) -> Any:
        if hasattr(self.classifier, "outputs_of"):
            columns = {"text": texts}
            if self.pairs:
                columns = {"text": [one for one, _ in texts], "text_pair": [two for _, two in texts]}
            return self.classifier.outputs_of(columns, batch_size=batch_size)
        from toughen.classifier.answers import texts_dataset

        return self.classifier.outputs(texts_dataset(texts, self.task), batch_size=batch_size)

    def predictions(self, text: Text, row: Row, *, raw: bool = False) -> list[Prediction]:
        """Say what the outputs for a text mean: labels with their scores, the largest first.

        Of tokens, one label and score per word, in the order of the words. ``predicted`` is there where the largest
        score is not the answer: with several labels, or thresholds.

        Args:
            text: the text.
            row: the model's outputs for it.
            raw: give logits instead of probabilities. They are made from the probabilities, so single-label ones are
                the logits up to a constant.
        """
        if self.task == "tokens":
            best = row.argmax(axis=1) if len(row) else []
            scores = self._scores(row, raw)
            words = zip(text, best, scores, strict=True)
            return [{"label": self.labels[i], "score": float(s[i]), "word": word} for word, i, s in words]
        chosen = self.chosen(row)
        told = self.task == "multi-label" or self.thresholds is not None
        found: list[Prediction] = [
            {"label": name, "score": float(score)} | ({"predicted": i in chosen} if told else {})
            for i, (name, score) in enumerate(zip(self.labels, self._scores(row, raw), strict=True))
        ]
        return sorted(found, key=lambda one: -one["score"])

    def _scores(self, row: Row, raw: bool) -> Row:
        if not raw or self.task == "regression":
            return row
        logarithm = np.log(np.maximum(row, _TINY))
        if self.task != "multi-label":
            return np.asarray(logarithm)
        return np.asarray(logarithm - np.log(np.maximum(1 - row, _TINY)))

    def chosen(self, row: Row) -> tuple[int, ...]:
        """Return which labels are predicted for a text that is answered as a whole; of regression none."""
        if self.task == "regression":
            return ()
        if self.task == "multi-label":
            cuts = self.thresholds or (_HALF,) * len(self.labels)
            return tuple(i for i, cut in enumerate(cuts) if row[i] >= cut)
        return (int(row.argmax()) if self.thresholds is None else int(row[1] >= self.thresholds[0]),)

    def described(self) -> dict[str, Any]:
        """Return what a client may want to know of the model."""
        return {
            "model_id": self.name,
            "task": self.task,
            "labels": list(self.labels),
            "thresholds": None if self.thresholds is None else list(self.thresholds),
            "pairs": self.pairs,
            "max_input_length": self.max_length,
            "runtime": self.runtime,
        }


def is_finite(row: Row) -> bool:
    """Tell whether a model's outputs are numbers that JSON knows."""
    return math.isfinite(float(row.sum()))
