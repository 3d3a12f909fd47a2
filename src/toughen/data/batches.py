"""Which rows go into which batch, a pure function of seed and epoch, and how they become tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from toughen.arrays import Ints
from toughen.errors import InputError

MEGABATCH = 50  # batches among which rows are sorted by length
NO_LABEL = -100
TOKEN_COLUMNS = ("input_ids", "attention_mask", "token_type_ids")


class LengthBuckets(Sampler[list[int]]):
    """Batches of rows of similar length, in an order fixed by (seed, epoch) alone.

    Rows are shuffled and cut into stretches of 50 batches; each stretch is sorted by length and cut into batches, and
    the batches are shuffled. The batch with the longest labelled row comes first, so that memory runs out early if at
    all; a short batch comes last. With ``world_size`` W one batch is W times ``batch_size`` rows, of which each rank
    takes its share; where the last one does not divide by W, rows are repeated as ``~index`` (negative), which means
    weight 0 (:class:`Rows` knows). Every labelled row comes exactly once per epoch (``drop_last`` leaves some out).

    Args:
        lengths: tokens of each labelled row, [N].
        batch_size: labelled rows per batch and rank.
        seed: of the order.
        world_size: number of processes.
        rank: which of them this is.
        drop_last: whether to leave out the rows (another random choice every epoch) that fill no batch.
        unlabelled_lengths: tokens of each row without label, [M]; they are numbered N to N+M-1.
        unlabelled_ratio: rows without label per labelled row: each batch and rank gets round(batch_size * ratio) of
            them, none again before all were used.
        bucket: false shuffles rows without regard to length.

    Raises:
        InputError: if ``drop_last`` leaves no batch.
    """

    def __init__(
        self,
        lengths: Sequence[int] | Ints,
        batch_size: int,
        *,
        seed: int,
        world_size: int = 1,
        rank: int = 0,
        drop_last: bool = False,
        unlabelled_lengths: Sequence[int] | Ints | None = None,
        unlabelled_ratio: float = 0.0,
        bucket: bool = True,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be 0 to {world_size - 1}, got {rank}")
        self.lengths: Ints = np.asarray(lengths, np.int64)
        self.unlabelled_lengths: Ints = np.asarray([] if unlabelled_lengths is None else unlabelled_lengths, np.int64)
        self.batch_size, self.world_size, self.rank = batch_size, world_size, rank
        self.seed, self.epoch, self.drop_last, self.bucket = seed, 0, drop_last, bucket
        self.unlabelled = round(batch_size * unlabelled_ratio) if len(self.unlabelled_lengths) else 0
        if len(self) == 0:
            raise InputError(
                f"{len(self.lengths)} rows fill no batch of {batch_size} on {world_size} process(es); "
                "lower training.batch_size or give more rows."
            )

    @property
    def _global_size(self) -> int:
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        """Batches per epoch, equal on every rank."""
        whole, rest = divmod(len(self.lengths), self._global_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        labelled = self._global_batches(np.random.default_rng([self.seed, self.epoch, 0]))
        texts = self._unlabelled_batches(np.random.default_rng([self.seed, self.epoch, 1]), labelled)
        for rows, extra in zip(labelled, texts, strict=True):
            yield self._share(rows).tolist() + extra[self.rank :: self.world_size].tolist()

    def _global_batches(self, rng: np.random.Generator) -> list[Ints]:
        order = rng.permutation(len(self.lengths))
        if self.drop_last:
            order = order[: len(self) * self._global_size]
        if not self.bucket:
            return self._cut(order)
        batches = [batch for part in self._stretches(order) for batch in self._cut(self._longest_first(part))]
        return self._shuffle(batches, rng)

    def _stretches(self, order: Ints) -> list[Ints]:
        """Cut into stretches; less than a batch joins the one before, or its rows, perhaps the longest, came last."""
        stretch = MEGABATCH * self._global_size
        last = len(order) - self._global_size
        return np.split(order, [start for start in range(stretch, len(order), stretch) if start <= last])

    def _longest_first(self, rows: Ints) -> Ints:
        return rows[np.argsort(-self.lengths[rows], kind="stable")]

    def _cut(self, order: Ints) -> list[Ints]:
        return [order[start : start + self._global_size] for start in range(0, len(order), self._global_size)]

    def _shuffle(self, batches: list[Ints], rng: np.random.Generator) -> list[Ints]:
        """Shuffle batches, but keep a short one last and put the one with the longest row first."""
        full = len(batches) - (1 if len(batches[-1]) < self._global_size else 0)
        shuffled = [batches[i] for i in rng.permutation(full)]
        longest = max(range(full), key=lambda i: int(self.lengths[shuffled[i][0]]), default=0)
        if shuffled:
            shuffled.insert(0, shuffled.pop(longest))
        return shuffled + batches[full:]

    def _share(self, batch: Ints) -> Ints:
        """Return this rank's rows of a batch; repeats fill it up to a multiple of the ranks."""
        missing = -len(batch) % self.world_size
        filled = np.concatenate([batch, ~np.resize(batch, missing)])
        return filled[self.rank :: self.world_size]

    def _unlabelled_batches(self, rng: np.random.Generator, labelled: list[Ints]) -> list[Ints]:
        """Deal rows without label to the batches: one shuffled round of all of them after the other."""
        per_batch, count = self.unlabelled * self.world_size, len(self.unlabelled_lengths)
        if not per_batch:
            return [np.empty(0, np.int64)] * len(labelled)
        rounds = math.ceil(per_batch * len(labelled) / count)
        stream = np.concatenate([rng.permutation(count) for _ in range(rounds)])
        if self.bucket:
            self._sort_within_rounds(stream, labelled, per_batch)
        dealt = stream[: per_batch * len(labelled)].reshape(len(labelled), per_batch)
        return list(dealt + len(self.lengths))

    def _sort_within_rounds(self, stream: Ints, labelled: list[Ints], per_batch: int) -> None:
        """Bring long texts to batches of long rows, among batches that one round serves whole."""
        count = len(self.unlabelled_lengths)
        longest = np.array([self.lengths[batch].max() for batch in labelled])
        for first in range(0, len(labelled), MEGABATCH):
            batches = np.arange(first, min(first + MEGABATCH, len(labelled)))
            start, stop = first * per_batch, (batches[-1] + 1) * per_batch
            if start // count == (stop - 1) // count:
                rows = stream[start:stop]
                rows = rows[np.argsort(-self.unlabelled_lengths[rows], kind="stable")]
                ranks = np.argsort(np.argsort(-longest[batches], kind="stable"))
                stream[start:stop] = rows.reshape(len(batches), per_batch)[ranks].reshape(-1)


class Rows(Dataset[dict[str, Any]]):
    """Tokenised rows by the numbers that :class:`LengthBuckets` deals.

    Number i of the N labelled rows is i, or ``~i`` for a repeat of weight 0; number j of the rows without label is
    N + j. Each row is a dict of ``input_ids``, ``attention_mask`` (and ``token_type_ids``) as lists of int, ``labels``
    and ``weight`` float. Labels are an int (-100 for a row without), a list of K floats (several labels or soft ones;
    -100.0 each), a float (nan), or a list of int per token. The weight is 1, or what the column ``weight`` says.
    """

    filler_aware = True  # the trainer need not wrap it to give repeats weight 0

    def __init__(self, labelled: datasets.Dataset, unlabelled: datasets.Dataset | None = None) -> None:
        columns = [name for name in TOKEN_COLUMNS if name in labelled.column_names]
        self.labelled = labelled.select_columns([*columns, *_present(labelled, "weight"), "labels"])
        self.unlabelled = None
        if unlabelled is not None:
            self.unlabelled = unlabelled.select_columns([*columns, *_present(unlabelled, "weight")])
            self.no_label = _no_label(self.labelled)

    def __len__(self) -> int:
        return len(self.labelled) + (0 if self.unlabelled is None else len(self.unlabelled))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return several rows at once, which is how a DataLoader asks for a batch."""
        numbers = [~index if index < 0 else index for index in indices]
        known = len(self.labelled)
        rows = iter_rows(self.labelled, [n for n in numbers if n < known])
        texts = iter_rows(self.unlabelled, [n - known for n in numbers if n >= known])
        return [
            _with_weight(next(rows), index < 0)
            if number < known
            else _with_weight(next(texts) | {"labels": self.no_label})
            for index, number in zip(indices, numbers, strict=True)
        ]


def _present(dataset: datasets.Dataset, name: str) -> list[str]:
    return [name] if name in dataset.column_names else []


def _with_weight(row: dict[str, Any], repeat: bool = False) -> dict[str, Any]:
    return {**row, "weight": 0.0 if repeat else row.get("weight", 1.0)}


def _no_label(labelled: datasets.Dataset) -> Any:
    """Return what stands for "no label" beside the labels that there are."""
    label = labelled[0]["labels"]
    if isinstance(label, list):
        if not all(isinstance(part, float) for part in label):
            raise ValueError("rows without labels have no place beside labels of tokens")
        return [float(NO_LABEL)] * len(label)
    return math.nan if isinstance(label, float) else NO_LABEL


def iter_rows(dataset: datasets.Dataset | None, numbers: list[int]) -> Iterator[dict[str, Any]]:
    """Yield the rows of these numbers, in their order."""
    if dataset is None or not numbers:
        return
    columns = dataset[numbers]
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


class Collator:
    """Pad rows to the longest of the batch, rounded up to a multiple of 8 (which matrix units like).

    Args:
        tokenizer: a Hugging Face tokenizer with a padding token.
        multiple_of: round the padded length up to a multiple of this.
        max_length: never pad beyond this, multiple or not.

    Raises:
        InputError: if the tokenizer has no padding token.
    """

    def __init__(self, tokenizer: Any, multiple_of: int = 8, max_length: int | None = None) -> None:
        if tokenizer.pad_token is None:
            raise InputError("The tokenizer has no padding token; set tokenizer.pad_token (GPT-2: to its eos_token).")
        self.tokenizer, self.multiple_of, self.max_length = tokenizer, multiple_of, max_length

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return a batch.

        Returns:
            ``input_ids``, ``attention_mask`` (and ``token_type_ids``) int64 [B, T]; and where the rows have them
            ``weight`` float32 [B] and ``labels``: int64 [B] of int, float32 [B] of float, float32 [B, K] of lists of
            float, int64 [B, T] of lists of int, padded with -100 on the side of the tokens' padding.
        """
        features = [{name: row[name] for name in TOKEN_COLUMNS if name in row} for row in rows]
        longest = max(len(row["input_ids"]) for row in rows)
        batch = self._pad(features, self._width(longest))
        if "labels" in rows[0]:
            batch["labels"] = self._labels([row["labels"] for row in rows], batch["input_ids"].shape[1])
        if "weight" in rows[0]:
            batch["weight"] = torch.tensor([row["weight"] for row in rows], dtype=torch.float32)
        return batch

    def _labels(self, labels: list[Any], width: int) -> torch.Tensor:
        first = np.asarray(labels[0])
        if first.dtype.kind == "f":
            return torch.tensor(np.asarray(labels), dtype=torch.float32)
        if first.ndim == 0:
            return torch.tensor(labels, dtype=torch.int64)
        left = self.tokenizer.padding_side == "left"
        fills = [[NO_LABEL] * (width - len(row)) for row in labels]
        padded = [fill + list(row) if left else list(row) + fill for row, fill in zip(labels, fills, strict=True)]
        return torch.tensor(padded, dtype=torch.int64)

    def _width(self, longest: int) -> int:
        width = math.ceil(longest / self.multiple_of) * self.multiple_of
        return width if self.max_length is None else max(longest, min(width, self.max_length))

    def _pad(self, features: list[dict[str, Any]], width: int) -> dict[str, torch.Tensor]:
        # A fast tokenizer warns that pad() after tokenising is slower than both at once, which needs the whole batch.
        told = self.tokenizer.deprecation_warnings
        before = told.get("Asking-to-pad-a-fast-tokenizer", False)
        told["Asking-to-pad-a-fast-tokenizer"] = True
        try:
            return dict(self.tokenizer.pad(features, padding="max_length", max_length=width, return_tensors="pt"))
        finally:
            told["Asking-to-pad-a-fast-tokenizer"] = before


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Return the share, 0 to 1, of a padded epoch's tokens that is padding.

    Args:
        lengths: tokens of each row, [N].
        batches: row numbers, ``~index`` for repeats.
    """
    rows = [np.array([lengths[~i if i < 0 else i] for i in batch]) for batch in batches]
    padded = sum(int(row.max()) * len(row) for row in rows)
    return 1 - sum(int(row.sum()) for row in rows) / padded
