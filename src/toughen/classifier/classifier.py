"""Outputs of a saved classifier: one way to compute them, so that a reloaded model repeats its numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from toughen.assess.metrics import Metrics, task_metrics
from toughen.classifier.temperature import Temperature
from toughen.errors import InputError
from toughen.machine.allocator import freed_memory_kept
from toughen.machine.launch import quiet_libraries
from toughen.machine.runtime import best_device
from toughen.model.saved import load_model
from toughen.tasks import TaskName, task_of_config

if TYPE_CHECKING:
    from toughen.data.tokens.tokenise import Truncation

Floats = NDArray[np.float64]

_LONGEST = 512  # tokens per text where neither the caller nor the model says otherwise
_OUTSIDE = "O"
_MANY = 4  # batches from which keeping freed memory pays


@dataclass
class Classifier:
    """A fine-tuned model with its tokenizer, in evaluation mode and float32.

    Attributes:
        label_names: names of the classes (or tags, or of regression's one value), in the order of the outputs.
        max_length: tokens per text; longer texts are cut, or divided into windows of so many.
        task: what the outputs mean.
        thresholds: probabilities, as `outputs` returns them, from which a label is predicted: one per label of
            multi-label, one alone of two classes; None is 0.5, or the likelier class.
        truncation: which part of a longer text the model reads.
        overlap: tokens that neighbouring windows share.
        pairs: whether the model was trained on pairs of texts; None is not known.
        temperature: softens the probabilities, where one was fitted; ``thresholds`` are its softened ones then.
    """

    model: Any
    tokenizer: Any
    label_names: tuple[str, ...]
    max_length: int
    task: TaskName = "single-label"
    thresholds: tuple[float, ...] | None = None
    truncation: Truncation = "head"
    overlap: int = 0
    pairs: bool | None = field(default=None, kw_only=True)
    temperature: Temperature | None = field(default=None, kw_only=True)

    @classmethod
    def load(cls, folder: Path, max_length: int | None = None) -> Classifier:
        """Load a run's ``model/`` folder onto the GPU, if there is one.

        Args:
            folder: a saved model of any task, or an adapter with its base model's name.
            max_length: tokens per text; default what the model was trained with.

        Raises:
            InputError: if the folder holds no model, or an adapter that cannot be put on its base model.
        """
        from transformers import AutoTokenizer

        from toughen.data.tokens.tokenise import effective_max_length

        with quiet_libraries():
            model = load_model(folder)
        model.to(best_device()).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        noted = getattr(model.config, "toughen", None) or {}
        temperature = Temperature.noted(noted)
        thresholds = noted.get("thresholds") if temperature is None else temperature.softened
        return cls(
            model,
            tokenizer,
            tuple(model.config.id2label[i] for i in range(model.config.num_labels)),
            effective_max_length(max_length or noted.get("max_length") or _LONGEST, tokenizer, model.config),
            task_of_config(model.config),
            None if thresholds is None else tuple(thresholds),
            noted.get("truncation") or "head",
            noted.get("overlap") or 0,
            pairs=noted.get("pairs"),
            temperature=temperature,
        )

    def outputs(
        self, dataset: Any, *, batch_size: int = 64, progress: Callable[[int], None] | None = None
    ) -> Floats | list[Floats]:
        """Run the model on a dataset with a ``text`` column (and ``text_pair`` for pairs), in the dataset's order.

        Texts are tokenised together and run longest first in batches of similar length.

        Args:
            dataset: N texts; for tokens ``text`` holds lists of words. Labels are not looked at.
            batch_size: texts (or windows of them) per pass.
            progress: called with the number of texts that each pass has finished.

        Returns:
            Probabilities [N, C] (single-label) or [N, K] (multi-label), values [N] (regression): the mean over a
            text's windows. For tokens a list of N arrays [words, K] of probabilities, at each word's first piece; a
            word that was cut off, or has no piece, is "O" with probability 1, or uniform where there is no tag "O".

        Raises:
            InputError: if the model knows whether it takes pairs, and the dataset has the other.
        """
        texts = self._own_rows(dataset)
        if self.task == "tokens":
            return [self._soften(words) for words in self._tag(texts, batch_size, progress)]
        means = self._means(texts, batch_size, progress)
        return means[:, 0] if self.task == "regression" else self._soften(means)

    def probabilities(
        self, dataset: Any, *, batch_size: int = 64, progress: Callable[[int], None] | None = None
    ) -> Floats:
        """Score a dataset with a ``text`` column by classes: [N, C], rows in the dataset's order; see `outputs`."""
        if self.task not in ("single-label", "multi-label"):
            raise ValueError(f"the task {self.task} has no probabilities per text; see outputs")
        return np.asarray(self.outputs(dataset, batch_size=batch_size, progress=progress))

    def logits(self, dataset: Any, *, batch_size: int = 64) -> Floats:
        """Return the model's own numbers [N, C] before any softmax or temperature, the mean over a text's windows."""
        if self.task == "tokens":
            raise ValueError("tokens have logits per word, not per text")
        return self._means(self._own_rows(dataset), batch_size, None, raw=True)

    def _soften(self, probabilities: Floats) -> Floats:
        return probabilities if self.temperature is None else self.temperature.apply(self.task, probabilities)

    def _means(
        self, texts: Any, batch_size: int, progress: Callable[[int], None] | None, *, raw: bool = False
    ) -> Floats:
        """Return the mean outputs [N, C] over each text's windows; with ``raw`` of the logits."""
        sums = np.zeros((len(texts), len(self.label_names)))
        windows = np.zeros(len(texts))
        for owners, values, _ in self._passes(texts, batch_size, progress, raw=raw):
            np.add.at(sums, owners, values)
            np.add.at(windows, owners, 1)
        means: Floats = sums / windows[:, None]
        return means

    def predict(self, texts: Sequence[Any], *, batch_size: int = 64) -> list[dict[str, Any]]:
        """Answer for each text.

        Args:
            texts: N str; N pairs (str, str); for tokens N lists of words, or str that are split on white space.
            batch_size: texts per pass.

        Returns:
            N dicts. Single-label: ``label``, that label's probability as ``score``, and ``probabilities`` by name;
            multi-label: ``labels`` (those that reach their thresholds) and ``probabilities``; regression: ``score``;
            tokens: ``words``, ``tags`` and ``entities``, each with ``type``, ``start``, ``end`` and ``text``, where
            words start to end - 1 are the entity, counted from 0.

        Raises:
            InputError: if a text is of the wrong kind.
        """
        from toughen.classifier.answers import answers, texts_dataset

        dataset = texts_dataset(texts, self.task)
        outputs = self.outputs(dataset, batch_size=batch_size)
        return answers(self.task, dataset, outputs, self.label_names, self.thresholds)

    def _own_rows(self, dataset: Any) -> Any:
        """Return the texts alone, numbered by ``row``: so each window says whose it is."""
        import pyarrow as pa

        from toughen.classifier.answers import as_dataset
        from toughen.data.read.chunks import table_of_dataset

        columns = [name for name in ("text", "text_pair") if name in dataset.column_names]
        self._check_pairs(len(columns) == 2)
        table = table_of_dataset(dataset).select(columns)
        return as_dataset(table.append_column("row", pa.array(np.arange(table.num_rows))))

    def _check_pairs(self, given: bool) -> None:
        if self.pairs is None or self.pairs == given:
            return
        if given:
            raise InputError("the model was trained on single texts, but the texts given are pairs; give one of each.")
        raise InputError("the model was trained on pairs of texts, but no second text (text_pair) is given; give both.")

    def _passes(
        self, texts: Any, batch_size: int, progress: Callable[[int], None] | None, *, raw: bool = False
    ) -> Iterator[tuple[NDArray[np.int64], Floats, list[NDArray[np.int64]]]]:
        """Yield of each pass: the text of each row [B], its outputs [B, ...], and for tokens its word numbers [T]."""
        from toughen.data import tokenise
        from toughen.data.batches import Collator

        if not len(texts):
            return
        tokens = tokenise(
            texts,
            self.tokenizer,
            max_length=self.max_length,
            task=self.task,
            truncation=self.truncation,
            overlap=self.overlap,
        )
        owner, order = np.asarray(tokens["row"]), np.argsort(-np.asarray(tokens["length"]), kind="stable")
        waiting = np.bincount(owner, minlength=len(texts))  # windows of each text still to come
        inputs = tokens.select_columns([c for c in tokens.column_names if c in self.tokenizer.model_input_names])
        words = tokens["word"] if self.task == "tokens" else None
        collate = Collator(self.tokenizer, self._multiple_of(), self.max_length)
        with freed_memory_kept(len(order) > _MANY * batch_size):
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                columns = inputs[rows.tolist()]
                batch = collate([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
                numbers = [] if words is None else _placed([words[int(i)] for i in rows], batch)
                yield owner[rows], self._forward(batch, raw), numbers
                np.subtract.at(waiting, owner[rows], 1)
                if progress is not None:
                    progress(int((waiting[np.unique(owner[rows])] == 0).sum()))

    def _multiple_of(self) -> int:
        """Round for a GPU's matrix units alone; padding on the left stays, for it may count as positions."""
        on_cpu = next(self.model.parameters()).device.type == "cpu"
        return 1 if on_cpu and self.tokenizer.padding_side == "right" else 8

    def _tag(self, texts: Any, batch_size: int, progress: Callable[[int], None] | None) -> list[Floats]:
        """Fill in a row of probabilities per word; the fallback stays where no piece of a word was read."""
        unread = np.full(len(self.label_names), 1 / len(self.label_names))
        if _OUTSIDE in self.label_names:
            unread = np.eye(len(self.label_names))[self.label_names.index(_OUTSIDE)]
        result = [np.tile(unread, (len(words), 1)) for words in texts["text"]]
        for owners, values, numbers in self._passes(texts, batch_size, progress):
            for text, probabilities, words in zip(owners, values, numbers, strict=True):
                result[text][words[words >= 0]] = probabilities[words >= 0]
        return result

    def _forward(self, batch: dict[str, torch.Tensor], raw: bool = False) -> Floats:
        device = next(self.model.parameters()).device
        with self._without_gradients():
            logits = self.model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits.double()
            if self.task != "regression" and not raw:
                logits = logits.sigmoid() if self.task == "multi-label" else logits.softmax(-1)
        values: Floats = logits.cpu().numpy()
        return values

    def _without_gradients(self) -> Any:
        return torch.inference_mode()


def _placed(words: Sequence[Sequence[int]], batch: dict[str, torch.Tensor]) -> list[NDArray[np.int64]]:
    """Spread the word numbers of a batch's tokens over its padded rows, -1 on padding, whichever side that is."""
    spread = []
    for numbers, mask in zip(words, batch["attention_mask"].numpy(), strict=True):
        row = np.full(len(mask), -1)
        row[mask == 1] = numbers
        spread.append(row)
    return spread


def score(classifier: Classifier, dataset: Any, *, batch_size: int = 64) -> Metrics:
    """Score a labelled dataset (columns ``text`` and ``label``): its metrics, and how long that took."""
    start = time.perf_counter()
    outputs = classifier.outputs(dataset, batch_size=batch_size)
    seconds = time.perf_counter() - start
    labels = dataset["label"][:]
    metrics = task_metrics(classifier.task, outputs, labels, classifier.label_names, classifier.thresholds)
    return metrics | {"seconds": seconds, "samples_per_second": len(labels) / max(seconds, 1e-9)}
