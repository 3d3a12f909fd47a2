"""How far an exported variant is from PyTorch's model: differences, labels, metric and time on the same texts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toughen.assess.metrics import DEFAULT_METRIC, task_metrics
from toughen.classifier.answers import texts_dataset
from toughen.data.batches import Collator
from toughen.data.tokens.encode import Encoder
from toughen.deploy.probes import adversarial_texts
from toughen.runs.members import leaves
from toughen.statistics.shares import clopper_pearson

if TYPE_CHECKING:
    from toughen.classifier.classifier import Classifier
    from toughen.deploy.predictor import Predictor

Progress = Callable[[str | int], None]
"""Takes in what is begun, and how many texts each of its passes has finished."""

_TIMED = 32  # texts whose latency is measured


@dataclass(frozen=True)
class Variant:
    """One form of the exported model, beside PyTorch's.

    Attributes:
        name: pytorch, fp32, int8 or fp16.
        file: its name in the folder; None for PyTorch.
        megabytes: size of the file (of PyTorch: of the weights).
        milliseconds: median per text, one at a time, tokenising included.
        largest_difference: of any output from PyTorch's, on adversarial texts and those of the validation split.
        agreement: share of validation texts (for tokens: words) with PyTorch's labels (regression: with values within a
            quarter of the values' standard deviation); None without validation texts.
        metric: the metric's name and value on the validation split; None without.
        changed: 95 % interval of the share of texts (words) whose labels are others than PyTorch's; None without.
    """

    name: str
    file: str | None
    megabytes: float
    milliseconds: float
    largest_difference: float
    agreement: float | None
    metric: tuple[str, float] | None
    changed: tuple[float, float] | None = None


class Bench:
    """The texts on which variants are compared with PyTorch, and PyTorch's answers.

    Args:
        classifier: PyTorch's.
        validation: labelled rows, or None.
        progress: called with the number of texts that each pass has finished.
    """

    def __init__(self, classifier: Classifier, validation: Any, progress: Progress | None = None) -> None:
        self.classifier, self.validation, self._progress = classifier, validation, progress
        pairs = bool(classifier.pairs)
        self._probes = adversarial_texts(classifier.tokenizer, classifier.max_length, classifier.task, pairs)
        self._sets = [texts_dataset(self._probes, classifier.task)] + ([] if validation is None else [validation])
        self._wanted = [classifier.outputs(texts, progress=progress) for texts in self._sets]
        self.texts = sum(map(len, self._sets))
        self.worst = ""

    def pytorch(self) -> Variant:
        """Return what PyTorch's own model scores."""
        size = sum(p.numel() * p.element_size() for m in leaves(self.classifier) for p in m.model.parameters())
        return self._variant("pytorch", None, size, self._wanted, self._torch_pass)

    def measure(self, name: str, predictor: Predictor, file: Path) -> Variant:
        """Compare one variant, and take its time."""
        found = [predictor.outputs(texts, progress=self._progress) for texts in self._sets]
        return self._variant(name, file.name, file.stat().st_size, found, predictor.outputs_of)

    def _variant(
        self, name: str, file: str | None, size: int, found: Sequence[Any], ask: Callable[..., Any]
    ) -> Variant:
        largest = self._largest(found)
        milliseconds = self._latency(ask)
        if self.validation is None:
            return Variant(name, file, size / 1e6, milliseconds, largest, None, None)
        alike = self._alike(found[-1])
        low, high = clopper_pearson(int((~alike).sum()), len(alike)) or (0.0, 1.0)
        metric = self._metric(found[-1])
        return Variant(name, file, size / 1e6, milliseconds, largest, float(alike.mean()), metric, (low, high))

    def _largest(self, found: Sequence[Any]) -> float:
        """Return the largest difference of any output, infinity where one is no number; note the text it is of."""
        parts = [
            [float(np.abs(a - b).max(initial=0)) for a, b in zip(ours, wanted, strict=True)]
            for ours, wanted in zip(found, self._wanted, strict=True)
        ]
        differences = np.concatenate([np.nan_to_num(part, nan=np.inf) for part in parts])
        worst = int(differences.argmax())
        known = worst < len(self._probes)
        self.worst = (
            _text_excerpt(self._probes[worst]) if known else f"row {worst - len(self._probes) + 1} of the validation"
        )
        return float(differences[worst]) / self._scale()

    def _scale(self) -> float:
        if self.classifier.task != "regression":
            return 1.0
        return max(1.0, *(float(np.abs(values).max(initial=0)) for values in self._wanted))

    def _latency(self, ask: Callable[..., Any]) -> float:
        texts = self._sets[-1]
        rows = texts.select(range(min(_TIMED, len(texts))))
        seconds = []
        for row in rows:
            start = time.perf_counter()
            ask({name: [row[name]] for name in ("text", "text_pair") if name in row}, batch_size=1)
            seconds.append(time.perf_counter() - start)
        return 1000 * statistics.median(seconds)

    def _torch_pass(self, columns: dict[str, list[Any]], batch_size: int) -> None:
        """Tokenise and run one text, without what a data set costs."""
        how = self.classifier
        encode = Encoder(how.tokenizer, how.max_length, how.task, how.truncation, how.overlap)
        found = encode(columns | {"row": [0]})
        names = [name for name in found if name in how.tokenizer.model_input_names]
        collate = Collator(how.tokenizer, max_length=how.max_length)
        for i in range(len(found["input_ids"])):
            batch = collate([{name: found[name][i] for name in names}])
            for member in leaves(how):
                member.forward(batch)

    def _alike(self, outputs: Any) -> NDArray[np.bool_]:
        """Say of each validation text (word) whether its label is PyTorch's."""
        wanted = self._wanted[-1]
        if self.classifier.task == "regression":
            return np.asarray(np.abs(outputs - wanted) <= np.std(wanted) / 4)
        alike = [self._same(a, b) for a, b in zip(outputs, wanted, strict=True)]
        return np.concatenate(alike).astype(bool)

    def _same(self, ours: Any, wanted: Any) -> Any:
        """Say of one text whether its labels are the same, [1]; of words [words]."""
        if self.classifier.task == "multi-label":
            return np.array([np.array_equal(self._labels(ours), self._labels(wanted))])
        return self._labels(ours) == self._labels(wanted)

    def _labels(self, row: Any) -> Any:
        """Return what is predicted for one text: one label, or one per label or word."""
        thresholds = self.classifier.thresholds
        if self.classifier.task == "multi-label":
            return row >= np.asarray(0.5 if thresholds is None else thresholds)
        if thresholds is not None:
            return np.atleast_1d(row[1] >= thresholds[0])
        return np.atleast_1d(row.argmax(-1))

    def _metric(self, outputs: Any) -> tuple[str, float] | None:
        known = self.classifier
        name = "accuracy" if known.task == "single-label" else DEFAULT_METRIC[known.task]
        labels = self.validation["label"][:]
        value = task_metrics(known.task, outputs, labels, known.label_names, known.thresholds).get(name)
        return (name, float(value)) if isinstance(value, (int, float)) else None


def _text_excerpt(text: Any) -> str:
    shown = ascii(text)
    return shown if len(shown) < 60 else shown[:56] + "...'"
