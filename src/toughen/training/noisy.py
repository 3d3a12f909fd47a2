"""Text noise while training: before each epoch some of the training texts are replaced by mistyped copies."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from toughen.arrays import Ints
from toughen.attack.noise.corruptions import CHINESE, CORRUPTIONS
from toughen.classifier.answers import texts_dataset
from toughen.data import tokenise
from toughen.data.batches import TOKEN_COLUMNS, LengthBuckets, Rows, iter_rows
from toughen.data.config import NOISE
from toughen.data.read.chunks import numbers_of
from toughen.data.words import IDEOGRAPH
from toughen.errors import InputError

if TYPE_CHECKING:
    from toughen.data import Splits
    from toughen.data.config import Augment
    from toughen.huggingface.pretrained import Prepared
    from toughen.recipe.recipe import Recipe

KINDS = ("keyboard", "misspelling", "swap", "drop", "case", "spacing", "punctuation", "contraction", "ocr")
CHINESE_KINDS = tuple(corruption.name for corruption in CHINESE if corruption.needs is None)
_DRAW = 9  # stream of the run's seed
_CHINESE = re.compile(rf"[{IDEOGRAPH}]")


def check(recipe: Recipe, splits: Splits) -> None:
    """Refuse where noise is asked for and cannot be.

    Raises:
        InputError: saying why.
    """
    if recipe.data.augment != NOISE:
        return
    settings = recipe.augment
    known: Augment = type(settings)(share=settings.share, severity=settings.severity)
    if settings != known:
        raise InputError("--augment noise knows augment.share and augment.severity; leave the others out.")
    if splits.task == "tokens":
        raise InputError("--augment noise is not for tagged words: a space that is lost joins two of them.")
    if recipe.training.truncation == "windows":
        raise InputError("--augment noise does not work with training.truncation: windows; use another truncation.")


class NoisyRows(Rows):
    """Training rows of which some are shown with other tokens; labels and numbers stay."""

    def __init__(self, labelled: Any, unlabelled: Any) -> None:
        super().__init__(labelled, unlabelled)
        self.show({}, None)

    def show(self, places: dict[int, int], tokens: Any) -> None:
        """Show row n with the tokens of row ``places[n]`` of a dataset, and all others as they are."""
        self._places = places
        columns = [name for name in TOKEN_COLUMNS if name in self.labelled.column_names]
        self._tokens = tokens if tokens is None else tokens.select_columns(columns)

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return the rows of a batch."""
        rows = super().__getitems__(indices)
        numbers = [~index if index < 0 else index for index in indices]
        shown = [i for i, number in enumerate(numbers) if number in self._places]
        for i, other in zip(shown, iter_rows(self._tokens, [self._places[numbers[i]] for i in shown]), strict=True):
            rows[i] |= other
        return rows


@dataclass
class Noise:
    """Mistypes other texts before each epoch, in another way each time.

    Which texts and how depends on the seed and the epoch alone: nothing need be kept for a resumed run, and all
    processes do the same.
    """

    recipe: Recipe
    splits: Splits
    prepared: Prepared
    rows: NoisyRows
    batches: LengthBuckets

    def __post_init__(self) -> None:
        self._lengths = self.batches.lengths.copy()

    def before_epoch(self, epoch: int, model: nn.Module, *, begun: bool) -> None:
        """Replace an epoch's texts; the model is not asked."""
        numbers = draw_noisy_rows(self.recipe, len(self.splits.train), epoch)
        if not len(numbers):
            return
        tokens = self._tokens(noisy(self.splits.train.select(numbers), self.recipe, epoch))
        self.rows.show({int(n): i for i, n in enumerate(numbers)}, tokens)
        lengths = self._lengths.copy()
        lengths[numbers] = numbers_of(tokens, "length")
        self.batches.lengths = lengths

    def _tokens(self, texts: list[Any]) -> Any:
        rows, length = texts_dataset(texts, "single-label"), self.prepared.max_length
        return tokenise(rows, self.prepared.tokenizer, max_length=length, truncation=self.recipe.training.truncation)


def draw_noisy_rows(recipe: Recipe, rows: int, epoch: int) -> Ints:
    """Return the row numbers, in order, of the training texts that an epoch sees with noise."""
    rng = np.random.default_rng([recipe.training.seed, epoch, _DRAW])
    return np.sort(rng.choice(rows, recipe.augment.count(rows), replace=False)).astype(np.int64)


def noisy(rows: Any, recipe: Recipe, epoch: int) -> list[Any]:
    """Return the texts, or pairs of texts, of a dataset with the noise of an epoch."""
    columns = [rows[name][:] for name in ("text", "text_pair") if name in rows.column_names]
    changed = [[_add_noise(text, recipe, epoch) for text in column] for column in columns]
    return changed[0] if len(changed) == 1 else list(zip(*changed, strict=True))


def _add_noise(text: str, recipe: Recipe, epoch: int) -> str:
    """Return a text with the first kind of noise, in a random order, that changes it; the text if none does."""
    rng = random.Random(f"{recipe.training.seed}:{epoch}:{text}".encode("utf-8", "surrogatepass"))
    kinds = list(CHINESE_KINDS if _CHINESE.search(text) else KINDS)
    rng.shuffle(kinds)
    seed = rng.getrandbits(32)
    found = (CORRUPTIONS[kind](text, severity=recipe.augment.severity, seed=seed) for kind in kinds)
    return next((new for new in found if new != text), text)


def line(recipe: Recipe, rows: int) -> str:
    """Say in one line what an epoch sees."""
    count = recipe.augment.count(rows)
    return (
        f"noise: each epoch sees {count:,} of {rows:,} training texts mistyped (severity {recipe.augment.severity}), "
        "others each time"
    )
