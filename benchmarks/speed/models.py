"""Random models of three sizes and random batches of fixed or of IMDb's lengths: what a step costs asks no more."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toughen.data.batches import LengthBuckets

SIZES = {
    "roberta-base": {
        "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "minilm": {
        "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "tiny": {
        "vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64,
    },
}  # fmt: skip
"""MiniLM's shape is that of all-MiniLM-L6-v2, in RoBERTa's architecture, so that sizes differ in nothing else."""
LENGTHS = Path(__file__).parent / "imdb_lengths.json"
PAD, FIRST_WORD = 1, 5
BATCHES = 16
"""Different batches that a measurement cycles through."""

Batch = dict[str, Tensor]


def make_model(size: str, device: str = "cpu") -> Any:
    """Return a random RoBERTa classifier with dropout 0.1, in training mode and float32."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(0)
    # 512 tokens and RoBERTa's two positions before the first.
    config = RobertaConfig(**SIZES[size], max_position_embeddings=514, type_vocab_size=1, num_labels=2)
    return RobertaForSequenceClassification(config).to(device).train()


def make_batch(size: str, lengths: Any, seed: int, device: str = "cpu", width: int | None = None) -> Batch:
    """Return random ids of these lengths, padded to the longest or to ``width``, and random labels."""
    rng = np.random.default_rng(seed)
    shape = len(lengths), width or int(max(lengths))
    ids = torch.from_numpy(rng.integers(FIRST_WORD, SIZES[size]["vocab_size"], shape))
    mask = torch.arange(shape[1]) < torch.as_tensor(np.asarray(lengths)).unsqueeze(1)
    labels = torch.from_numpy(rng.integers(0, 2, len(lengths)))
    batch = {"input_ids": ids.masked_fill(~mask, PAD), "attention_mask": mask.long(), "labels": labels}
    return {name: tensor.to(device) for name, tensor in batch.items()}


@cache
def full_batches(size: str, rows: int, length: int, device: str = "cpu") -> list[Batch]:
    """Return batches without padding."""
    return [make_batch(size, [length] * rows, seed, device) for seed in range(BATCHES)]


@cache
def imdb_lengths() -> Any:
    """Return the tokens of each of 25,000 reviews, shortest first, [N]."""
    counts = json.loads(LENGTHS.read_text())["counts"]
    return np.repeat([int(length) for length in counts], list(counts.values()))


def bucketed_rows(rows: int) -> list[list[int]]:
    """Return one epoch's batches of row numbers, of which the short last one is left out."""
    return list(LengthBuckets(imdb_lengths(), rows, seed=0, drop_last=True))


def random_batches(size: str, rows: int, count: int, longest: int, device: str) -> list[Batch]:
    """Return batches of IMDb's lengths in random order, each padded to its longest text."""
    lengths = np.minimum(np.random.default_rng(1).permutation(imdb_lengths()), longest)
    epoch = [lengths[i : i + rows] for i in range(0, len(lengths) - rows + 1, rows)]
    return [make_batch(size, n, i, device) for i, n in enumerate(_spread(epoch, count))]


def bucketed_batches(size: str, rows: int, count: int, longest: int, device: str) -> list[Batch]:
    """Return batches of similar lengths, padded to a multiple of 8."""
    lengths = np.minimum(imdb_lengths(), longest)
    epoch = [lengths[batch] for batch in bucketed_rows(rows)]
    return [make_batch(size, n, i, device, padded(n)) for i, n in enumerate(_spread(epoch, count))]


def _spread(epoch: list[Any], count: int) -> list[Any]:
    """Return an epoch's batches at evenly spaced places in the order of their tokens: its cost with little noise.

    They come in an order that is random, and the same for every epoch: of two, the narrow ones meet the narrow ones.
    """
    ordered = sorted(epoch, key=lambda batch: (len(batch) * int(batch.max()), int(batch.sum())))
    places = ((np.arange(count) + 0.5) * len(ordered) / count).astype(int)
    return [ordered[i] for i in np.random.default_rng(2).permutation(places)]


def padded(lengths: Any) -> int:
    """Return the width of a batch of ours."""
    return int(-(-int(np.max(lengths)) // 8) * 8)
