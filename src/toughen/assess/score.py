"""Probabilities of a saved classifier: one way to compute them, so that a reloaded model repeats its numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toughen.assess.metrics import Metrics, classification_metrics
from toughen.errors import InputError
from toughen.training.launch import quiet_libraries
from toughen.training.runtime import best_device


@dataclass
class Classifier:
    """A fine-tuned model with its tokenizer, in evaluation mode and float32.

    Attributes:
        label_names: names of the classes, in the order of the model's outputs.
        max_length: tokens per text; longer texts are cut.
    """

    model: Any
    tokenizer: Any
    label_names: tuple[str, ...]
    max_length: int

    @classmethod
    def load(cls, folder: Path, max_length: int) -> Classifier:
        """Load a run's ``model/`` folder onto the GPU, if there is one.

        Raises:
            InputError: if the folder holds no model.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from toughen.data.tokens import effective_max_length

        if not (folder / "config.json").exists():
            raise InputError(f"{folder} holds no model (no config.json); give the folder of a finished run.")
        with quiet_libraries():
            model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        model.to(best_device()).eval()
        names = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return cls(model, tokenizer, names, effective_max_length(max_length, tokenizer, model.config))

    def probabilities(
        self, dataset: Any, *, batch_size: int = 64, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Score a dataset with a ``text`` column: [N, C], rows in the dataset's order.

        Texts are tokenised together and run longest first in batches of similar length.
        """
        from toughen.data import tokenise
        from toughen.data.batches import Collator

        tokens = tokenise(dataset, self.tokenizer, max_length=self.max_length)
        lengths = np.asarray(tokens["length"])
        order = np.argsort(-lengths, kind="stable")
        inputs = tokens.select_columns([c for c in tokens.column_names if c in self.tokenizer.model_input_names])
        collate = Collator(self.tokenizer, max_length=self.max_length)
        result = np.empty((len(tokens), len(self.label_names)))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = collate([inputs[int(i)] for i in rows])
            result[rows] = self._softmax(batch)
            if progress is not None:
                progress(len(rows))
        return result

    @torch.inference_mode()
    def _softmax(self, batch: dict[str, torch.Tensor]) -> NDArray[np.float64]:
        logits = self.model(**{name: tensor.to(self.model.device) for name, tensor in batch.items()}).logits
        softmax: NDArray[np.float64] = logits.double().softmax(-1).cpu().numpy()
        return softmax


def score(classifier: Classifier, dataset: Any, *, batch_size: int = 64) -> Metrics:
    """Score a labelled dataset (columns ``text`` and ``label``): its metrics, and how long that took."""
    start = time.perf_counter()
    probabilities = classifier.probabilities(dataset, batch_size=batch_size)
    seconds = time.perf_counter() - start
    labels: Sequence[int] = dataset["label"][:]
    metrics = classification_metrics(probabilities, labels, classifier.label_names)
    return metrics | {"seconds": seconds, "samples_per_second": len(labels) / max(seconds, 1e-9)}
