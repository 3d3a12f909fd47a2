"""Outputs of a saved classifier: one way to compute them, so that a reloaded model repeats its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.classifier.abstention import Abstention
from toughen.classifier.answers import answers, texts_dataset
from toughen.classifier.core import Answering, Columns, Encoded, Forward, Pass
from toughen.classifier.temperature import Temperature
from toughen.data import tokenise
from toughen.data.batches import Collator
from toughen.data.read.chunks import as_dataset, table_of_dataset
from toughen.data.tokens.sanitizer import restore_sanitizer
from toughen.data.tokens.tokenise import effective_max_length
from toughen.engine.head_samples import last_vectors, output_layer
from toughen.machine.allocator import freed_memory_kept
from toughen.machine.launch import quiet_libraries
from toughen.machine.rows_per_pass import RowsPerPass
from toughen.machine.runtime import best_device
from toughen.model.saved import load_model
from toughen.tasks import TaskName, task_of_config

if TYPE_CHECKING:
    from toughen.data.tokens.tokenise import Truncation

_LONGEST = 512  # tokens per text where neither the caller nor the model says otherwise
_MANY = 4  # batches from which keeping freed memory pays


@dataclass
class Classifier(Answering):
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
        abstention: when no answer is given, where that was fitted; of the softened probabilities.
        columns: of the training data, by which a source of the same layout is read; None is not known.
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
    abstention: Abstention | None = field(default=None, kw_only=True)
    columns: Mapping[str, Any] | None = field(default=None, kw_only=True)
    _scoring: RowsPerPass = field(default_factory=RowsPerPass, init=False, repr=False, compare=False)

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

        with quiet_libraries():
            model = load_model(folder)
        model.to(best_device()).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        noted = getattr(model.config, "toughen", None) or {}
        restore_sanitizer(tokenizer, Path(folder), noted=bool(noted.get("sanitize")))
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
            abstention=Abstention.noted(noted),
            columns=noted.get("columns"),
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
        return self.answered(self._own_rows(dataset), batch_size, progress)

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
        return self.means(self._own_rows(dataset), self._logits, batch_size)

    def features(self, dataset: Any, *, batch_size: int = 64) -> Floats | None:
        """Return the vectors [N, D] that enter the last layer, the mean over a text's windows; None if it has none.

        Args:
            dataset: as for `outputs`; not for tokens, which have a vector per word.
            batch_size: texts (or windows of them) per pass.
        """
        last = output_layer(self.model)
        if last is None:
            return None
        seen: list[torch.Tensor] = []

        def forward(batch: Any) -> Floats:
            seen.clear()
            self._compute(batch, lambda logits: logits)
            vectors: Floats = last_vectors(seen[-1], batch["attention_mask"].bool()).double().cpu().numpy()
            return vectors

        hook = last.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
        try:
            return self.means(self._own_rows(dataset), forward, batch_size)
        finally:
            hook.remove()

    def predict(self, texts: Sequence[Any], *, batch_size: int = 64) -> list[dict[str, Any]]:
        """Answer for each text.

        Args:
            texts: N str; N pairs (str, str); for tokens N lists of words, or str that are split on white space.
            batch_size: texts per pass.

        Returns:
            N dicts. Single-label: ``label``, that label's probability as ``score``, and ``probabilities`` by name;
            with an abstention ``abstained`` and ``label_set``, whichever was fitted;
            multi-label: ``labels`` (those that reach their thresholds) and ``probabilities``; regression: ``score``;
            tokens: ``words``, ``tags`` and ``entities``, each with ``type``, ``start``, ``end`` and ``text``, where
            words start to end - 1 are the entity, counted from 0.

        Raises:
            InputError: if a text is of the wrong kind.
        """
        dataset = texts_dataset(texts, self.task)
        outputs = self.outputs(dataset, batch_size=batch_size)
        return answers(self.task, dataset, outputs, self.label_names, self.thresholds, self.abstention)

    def _own_rows(self, dataset: Any) -> Any:
        """Return the texts alone, numbered by ``row``: so each window says whose it is."""
        columns = [name for name in ("text", "text_pair") if name in dataset.column_names]
        self.check_pairs(len(columns) == 2)
        table = table_of_dataset(dataset).select(columns)
        return as_dataset(table.append_column("row", pa.array(np.arange(table.num_rows))))

    def encoded(self, texts: Any) -> Encoded:
        """Return the rows of texts that are numbered by ``row``; see `Answering.encoded`."""
        tokens = tokenise(
            texts,
            self.tokenizer,
            max_length=self.max_length,
            task=self.task,
            truncation=self.truncation,
            overlap=self.overlap,
        )
        inputs = tokens.select_columns([c for c in tokens.column_names if c in self.tokenizer.model_input_names])

        def chosen(rows: NDArray[np.int64]) -> list[Columns]:
            columns = inputs[rows.tolist()]
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

        words = tokens["word"] if self.task == "tokens" else None
        return Encoded(np.asarray(tokens["row"]), np.asarray(tokens["length"]), words, chosen, self.pad)

    def pad(self, rows: list[Columns]) -> dict[str, torch.Tensor]:
        """Return rows as a batch; see `Answering.pad`."""
        return Collator(self.tokenizer, self._multiple_of(), self.max_length)([dict(row) for row in rows])

    def columns_of(self, texts: Sequence[Any]) -> Any:
        """Return texts as a dataset, numbered by ``row``; see `Answering.columns_of`."""
        return self._own_rows(texts_dataset(texts, self.task))

    def passes(
        self, texts: Any, forward: Forward, batch_size: int, progress: Callable[[int], None] | None
    ) -> Iterator[Pass]:
        """Yield the passes over the texts; over many of them memory is kept from one to the next."""
        if not len(texts["text"]):
            return
        rows = self.rows_of(texts)

        def in_parts(batch: Any) -> Floats:
            return np.concatenate(self._scoring.run(forward, batch))

        with freed_memory_kept(len(rows.owner) > _MANY * batch_size):
            yield from rows.passes(in_parts, batch_size, progress)

    def _multiple_of(self) -> int:
        """Round for a GPU's matrix units alone; padding on the left stays, for it may count as positions."""
        on_cpu = next(self.model.parameters()).device.type == "cpu"
        return 1 if on_cpu and self.tokenizer.padding_side == "right" else 8

    def forward(self, batch: Any) -> Floats:
        """Return what the model makes of a batch of tensors by name; see `Answering.forward`."""
        return self._compute(batch, self._activate)

    def _logits(self, batch: Any) -> Floats:
        return self._compute(batch, lambda logits: logits)

    def _compute(self, batch: Mapping[str, torch.Tensor], activate: Callable[[torch.Tensor], torch.Tensor]) -> Floats:
        device = next(self.model.parameters()).device
        with self._without_gradients():
            logits = self.model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits
            values: Floats = activate(logits.double()).cpu().numpy()
        return values

    def _activate(self, logits: torch.Tensor) -> torch.Tensor:
        if self.task == "regression":
            return logits
        return logits.sigmoid() if self.task == "multi-label" else logits.softmax(-1)

    def _without_gradients(self) -> Any:
        return torch.inference_mode()
