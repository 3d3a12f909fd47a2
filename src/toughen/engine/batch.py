"""The gate that a batch passes on its way into a step: names, width and weights; and models that are no classifiers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from toughen.engine.likelihood import IGNORED
from toughen.errors import InputError
from toughen.tasks import TaskName

Batch = Mapping[str, Tensor]

_LOGITS = "return the logits as a tensor, first in a tuple or under 'logits'"


def named_batch(batch: Batch | Sequence[Tensor], columns: Sequence[str] | None) -> Batch:
    """Return a batch by name.

    Args:
        batch: a mapping with ``input_ids`` [B, T] and ``labels``, or the tensors alone in the order of ``columns``.
        columns: what the tensors of a tuple are; None where batches are mappings.

    Raises:
        InputError: if it has no token ids, or a tuple is not as long as ``columns``.
    """
    if not isinstance(batch, Mapping):
        if columns is None:
            raise InputError(
                f"a batch is a {type(batch).__name__}, and nothing says what its tensors are: give the engine "
                "columns=('input_ids', 'labels'), in their order, or make a batch a dict."
            )
        if len(batch) != len(columns):
            raise InputError(
                f"a batch has {len(batch)} tensors, and columns names {len(columns)}: {', '.join(columns)}."
            )
        batch = dict(zip(columns, batch, strict=True))
    lacks = "" if "labels" in batch or "label" in batch else "labels"
    lacks = lacks if "input_ids" in batch else "token ids (input_ids)"
    if lacks:
        raise InputError(
            f"a batch has {', '.join(batch) or 'nothing'} and no {lacks}: Toughen trains classifiers of texts, whose "
            "batches have input_ids [B, T] and labels."
        )
    return batch


def with_fitting_weight(batch: Batch, dtype: torch.dtype) -> Batch:
    """Return the batch with a ``weight`` of the losses' kind: double only in a model of doubles."""
    weight = batch.get("weight")
    wanted = torch.float64 if dtype == torch.float64 else torch.float32
    return batch if weight is None or weight.dtype == wanted else {**batch, "weight": weight.to(wanted)}


def width_multiple(config: Any) -> int:
    """Return what a model pads its batches to a multiple of by itself, 1 where it takes any width.

    A perturbation must be as wide as what the model embeds: of Longformer and LED the window, of BigBird's sparse
    attention the block, of Reformer the chunks of its layers.
    """
    window = getattr(config, "attention_window", None)
    if window:
        return int(max(window) if isinstance(window, (list, tuple)) else window)
    if getattr(config, "attention_type", None) == "block_sparse":
        return int(config.block_size)
    chunks = [getattr(config, f"{kind}_attn_chunk_length", None) for kind in ("lsh", "local")]
    return math.lcm(*(int(chunk) for chunk in chunks if chunk))


def pad_batch(batch: Batch, multiple: int, pad_id: int, *, words: bool) -> Batch:
    """Return the batch with its tensors [B, T] padded on the right until T is a multiple.

    Token ids by ``pad_id``, labels by -100, the attention mask (made where there is none) and the rest by 0.

    Args:
        batch: with ``input_ids`` [B, T].
        multiple: of the width, at least 1.
        pad_id: what stands for no token.
        words: whether labels are of words, [B, T].
    """
    ids = batch["input_ids"]
    missing = -ids.shape[1] % multiple
    if not missing:
        return batch
    made = {"attention_mask": torch.ones_like(ids), **batch}
    fills = {"input_ids": pad_id, "labels": IGNORED, "label": IGNORED}
    wide = {
        name for name, value in made.items() if value.shape == ids.shape and (words or not name.startswith("label"))
    }
    return {
        name: nn.functional.pad(value, (0, missing), value=fills.get(name, 0)) if name in wide else value
        for name, value in made.items()
    }


def refuse_other_kind(model: nn.Module) -> None:
    """Refuse a transformers model that answers something else than which class a text or a word is of.

    Raises:
        InputError: naming the kind, and what to load instead.
    """
    name = type(model).__name__
    kind = _other_kinds().get(name)
    if kind is not None:
        raise InputError(
            f"{name} is {kind}, and Toughen trains classifiers: load it with AutoModelForSequenceClassification, or "
            "AutoModelForTokenClassification for words."
        )


def logits_of(output: Any) -> Tensor:
    """Return the logits of a model's output: an object with ``.logits``, a dict, a tuple, or the tensor itself.

    Raises:
        InputError: if a dict has none.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        if "logits" not in output:
            raise InputError(
                f"the model answers with {', '.join(map(str, output))} and no logits: {_LOGITS}, or load a model with "
                "a classification head."
            )
        logits: Tensor = output["logits"]
        return logits
    first: Tensor = output.logits if hasattr(output, "logits") else output[0]
    return first


def refuse_misshapen(logits: Tensor, task: TaskName) -> None:
    """Refuse what cannot be logits of a task: a loss, hidden states, scores per word where there is one per text.

    Raises:
        InputError: naming the shape that the model answered with, and that of the task.
    """
    wanted = {"tokens": (3,), "regression": (1, 2)}.get(task, (2,))
    if logits.ndim not in wanted:
        shape = "[B, T, C]" if task == "tokens" else "[B, C]"
        raise InputError(
            f"the model answers with a tensor of shape {list(logits.shape)} where task {task} has logits {shape}: "
            f"{_LOGITS}."
        )
    if task == "regression" and logits.ndim == 2 and logits.shape[1] != 1:
        raise InputError(
            f"the model answers with {logits.shape[1]} numbers per text where task regression has 1: make it with "
            "num_labels=1."
        )


@cache
def _other_kinds() -> Mapping[str, str]:
    """Return what models that are no classifiers are, by their classes' names."""
    from transformers.models.auto import modeling_auto as auto  # loads much, and loops of one's own may do without

    kinds = {
        "MULTIPLE_CHOICE": "a model that chooses one of several texts",
        "QUESTION_ANSWERING": "a question-answering model",
        "SEQ_TO_SEQ_CAUSAL_LM": "a model that writes texts",
        "CAUSAL_LM": "a causal language model",
        "MASKED_LM": "a masked language model",
    }
    return {
        name: kind
        for mapping, kind in kinds.items()
        for names in getattr(auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES").values()
        for name in ([names] if isinstance(names, str) else names)
    }
