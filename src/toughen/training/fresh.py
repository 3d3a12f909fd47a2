"""Adversarial data training with examples sought anew: the model in training is attacked before an epoch begins."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from toughen.arrays import Ints
from toughen.attack.attack_recipes import RECIPES, Ingredients
from toughen.attack.queries import Queries
from toughen.attack.results import AttackResult
from toughen.attack.run_attack import run_attack
from toughen.attack.subject import Examples
from toughen.classifier.answers import texts_dataset
from toughen.classifier.classifier import Classifier
from toughen.data import tokenise
from toughen.data.batches import LengthBuckets, Rows
from toughen.data.config import FRESH, NOISE
from toughen.data.divide.overlap import hashes_of, text_hashes
from toughen.data.read.chunks import as_dataset, numbers_of, table_of_dataset
from toughen.errors import InputError
from toughen.files import write_whole

if TYPE_CHECKING:
    from toughen.data import Splits
    from toughen.data.config import Augment
    from toughen.huggingface.pretrained import Prepared
    from toughen.recipe.recipe import Recipe

FOLDER = "augment"
"""Of a run: what was found before each epoch, a file each."""
_DRAW, _EDIT = 7, 8  # streams of the run's seed: which texts are attacked, and how

Say = Callable[[str], object]


def slots(recipe: Recipe, rows: int) -> int:
    """Return how many places for adversarial examples an epoch of so many training rows has."""
    return recipe.augment.count(rows) if recipe.data.augment == FRESH else 0


def check(recipe: Recipe, splits: Splits, steps_per_epoch: int, steps: int) -> None:
    """Refuse where nothing can be sought, or never would be.

    Args:
        recipe: what to do.
        splits: checked data.
        steps_per_epoch: optimiser steps, the places for adversarial examples counted.
        steps: of the whole training.

    Raises:
        InputError: saying why.
    """
    if recipe.data.augment != FRESH:
        if recipe.data.augment != NOISE and recipe.augment != type(recipe.augment)():
            raise InputError("augment.* is set, but nothing is sought: add --augment attack or noise, or leave it out.")
        return
    _check_words(recipe.augment)
    if recipe.augment.severity != 1:
        raise InputError("augment.severity is for --augment noise; leave it out.")
    pairs = "text_pair" in splits.train.column_names
    if splits.task != "single-label" or pairs:
        what = "pairs of texts" if pairs else splits.task
        raise InputError(f"--augment attack is for single texts with one class each, but the data are {what}.")
    if recipe.training.truncation == "windows":
        raise InputError("--augment attack does not work with training.truncation: windows; use another truncation.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "--augment attack works in one process, and this training has several; start one, or attack beforehand and "
            "give the pairs as --augment FILE."
        )
    if recipe.augment.clean_epochs * steps_per_epoch >= steps:
        raise InputError(
            f"augment.clean_epochs is {recipe.augment.clean_epochs}, but training ends before another epoch begins, so "
            "nothing would be sought; lower it or train longer."
        )


def _check_words(settings: Augment) -> None:
    words, given = settings.attack != "deepwordbug", settings.neighbours is not None
    if words and not given:
        raise InputError(
            f"augment.attack {settings.attack} needs a word list (augment.neighbours): among the model's own "
            "neighbours are opposites, which would be learnt with the wrong label."
        )
    if given and not words:
        raise InputError("augment.neighbours is for attacks that exchange words, not for deepwordbug; leave it out.")


class FreshRows(Rows):
    """Training rows, and behind them places for adversarial examples, of which some may be empty.

    Places are labelled rows N to N + A - 1. An empty place is left out of its batch; where a batch has nothing else, it
    stands for its original with weight 0. So every epoch has the same number of batches.
    """

    def __init__(self, labelled: Any, unlabelled: Any, originals: Ints) -> None:
        """Leave a place for each of the originals, row numbers [A] of ``labelled``."""
        super().__init__(labelled, unlabelled)
        self._own = table_of_dataset(self.labelled)
        self._empty: frozenset[int] = frozenset()
        self.fill(originals, {})

    def fill(self, originals: Ints, found: Mapping[int, Mapping[str, Any]]) -> None:
        """Put examples into the places.

        Args:
            originals: [A] row numbers whose texts were attacked.
            found: the tokenised example by place, 0 to A - 1.
        """
        places = self._own.take(pa.array(originals)).to_pylist()
        for place, tokens in found.items():
            places[place] |= {name: tokens[name] for name in places[place] if name in tokens}
        first = self._own.num_rows
        self._empty = frozenset(first + i for i in range(len(places)) if i not in found)
        if places:
            new = pa.Table.from_pylist(places, schema=self._own.schema)
            self.labelled = as_dataset(pa.concat_tables([self._own, new]))

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return the rows of a batch, but for empty places."""
        kept = [index for index in indices if index not in self._empty]
        if not any(index < len(self.labelled) for index in kept):
            kept = [~indices[0], *kept]
        return super().__getitems__(kept)


class LiveClassifier(Classifier):
    """The model in training as an attack sees it."""

    def _without_gradients(self) -> Any:
        # What a model caches in inference mode could not be trained through afterwards.
        return torch.no_grad()


@dataclass
class Fresh:
    """Seeks adversarial examples before an epoch, with the raw weights: it is they that learn from them.

    What is found lies in the run's folder ``augment``, a file for each epoch, before the epoch begins; a resumed run
    reads it there. The draw of texts and of edits depends on the seed and the epoch alone, and the model's answers
    on its weights: torch's generators, the model's modes and its gradients are as before.
    """

    recipe: Recipe
    splits: Splits
    prepared: Prepared
    rows: FreshRows
    batches: LengthBuckets
    folder: Path
    say: Say

    def __post_init__(self) -> None:
        self._lengths = self.batches.lengths[: len(self.splits.train)]
        parts = (self.splits.train, self.splits.validation, self.splits.test)
        self._taken = np.concatenate([text_hashes(part) for part in parts if part is not None])

    def before_epoch(self, epoch: int, model: nn.Module, *, begun: bool) -> None:
        """Fill an epoch's places.

        Args:
            epoch: from 0.
            model: as it is now.
            begun: whether steps of this epoch have been taken already, by a run that is resumed.

        Raises:
            InputError: if an epoch that has begun has lost its file.
        """
        sought = self.recipe.augment.find_source_epoch(epoch)
        originals = draw_attacked_rows(self.recipe, len(self.splits.train), epoch if sought is None else sought)
        if not len(originals):
            return
        pairs = None
        if sought is not None:
            path = self.folder / f"epoch-{sought + 1}.parquet"
            if not path.is_file():
                self._seek(sought, originals, model, path, lost=begun or sought < epoch)
            pairs = pq.read_table(path)
        self._place(originals, pairs)

    def _place(self, originals: Ints, pairs: pa.Table | None) -> None:
        lengths = self._lengths[originals]
        found: dict[int, dict[str, Any]] = {}
        if pairs is not None and pairs.num_rows:
            tokens = self._tokens(pairs["adversarial"].to_pylist())
            places = pairs["place"].to_pylist()
            found = dict(zip(places, (tokens[i] for i in range(len(tokens))), strict=True))
            lengths = lengths.copy()
            lengths[places] = numbers_of(tokens, "length")
        self.rows.fill(originals, found)
        self.batches.lengths = np.concatenate([self._lengths, lengths])

    def _tokens(self, texts: list[str]) -> Any:
        rows, length = texts_dataset(texts, "single-label"), self.prepared.max_length
        return tokenise(rows, self.prepared.tokenizer, max_length=length, truncation=self.recipe.training.truncation)

    def _seek(self, epoch: int, originals: Ints, model: nn.Module, path: Path, *, lost: bool) -> None:
        if lost:
            raise InputError(f"{path} is gone, and its epoch has begun; start again with --overwrite.")
        began = time.perf_counter()
        with preserve_state(model):
            result = self._attack(epoch, originals, model)
        pairs = self._usable(originals, result)
        account: dict[str, float] = {
            "epoch": epoch + 1,
            "attacked": len(originals),
            "answered_rightly": result.attacked,
        }
        account |= {"fooled": result.fooled, "added": len(pairs["place"])}
        account |= {"queries": sum(o.queries for o in result.outcomes), "seconds": time.perf_counter() - began}
        path.parent.mkdir(exist_ok=True)
        table = pa.table(pairs, schema=_SCHEMA).replace_schema_metadata({k: str(v) for k, v in account.items()})
        write_whole(path, lambda part: pq.write_table(table, part))
        self.say(line(account, self.recipe.augment.attack))

    def _attack(self, epoch: int, originals: Ints, model: nn.Module) -> AttackResult:
        settings, training = self.recipe.augment, self.recipe.training
        names, length = tuple(self.splits.label_names), self.prepared.max_length
        tokenizer = self.prepared.tokenizer
        live = LiveClassifier(model, tokenizer, names, length, truncation=training.truncation)
        given = Ingredients(live, settings.neighbours, max_changed=settings.max_changed)
        rows = self.splits.train.select(originals)
        examples = Examples(list(rows["text"]), np.asarray(rows["label"][:], np.int64), np.arange(len(originals)))
        seed = int(np.random.default_rng([training.seed, epoch, _EDIT]).integers(2**31))
        queries = Queries(live, training.eval_batch_size)
        return run_attack(RECIPES[settings.attack](given), queries, given.services(), examples, seed, settings.queries)

    def _usable(self, originals: Ints, result: AttackResult) -> dict[str, list[Any]]:
        """Return the pairs whose adversarial text stands in no split, and not twice among themselves."""
        found: dict[str, list[Any]] = {field.name: [] for field in _SCHEMA}
        made = hashes_of(pa.table({"text": pa.array([p.adversarial for p in result.pairs], pa.string())}))
        seen = set(self._taken.tolist())
        for pair, number in zip(result.pairs, made.tolist(), strict=True):
            if number in seen:
                continue
            seen.add(number)
            label = result.label_names[pair.label]
            values = (pair.row, int(originals[pair.row]), pair.text, pair.adversarial, label, pair.queries)
            for name, value in zip(found, values, strict=True):
                found[name].append(value)
        return found


_TEXTS = [(name, pa.string()) for name in ("text", "adversarial", "label")]
_SCHEMA = pa.schema([("place", pa.int64()), ("train_row", pa.int64()), *_TEXTS, ("queries", pa.int64())])


def draw_attacked_rows(recipe: Recipe, rows: int, epoch: int) -> Ints:
    """Return the row numbers, in order, of the training texts that an epoch attacks."""
    rng = np.random.default_rng([recipe.training.seed, epoch, _DRAW])
    return np.sort(rng.choice(rows, slots(recipe, rows), replace=False)).astype(np.int64)


@contextmanager
def preserve_state(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode; its modes and torch's generators are afterwards what they were."""
    modes = [(module, module.training) for module in model.modules()]
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training


def line(account: Mapping[str, Any], attack: str) -> str:
    """Say in one line what was found."""
    return (
        f"augmented: before epoch {account['epoch']}, {attack} fooled {account['fooled']:,} of "
        f"{account['answered_rightly']:,} training texts ({float(account['seconds']):.0f} s); "
        f"{account['added']:,} join the epoch"
    )


def report(run: Path, recipe: Recipe) -> dict[str, Any]:
    """Return what a finished run says of its attacks in metrics.json; nothing where there were none."""
    files = sorted((run / FOLDER).glob("epoch-*.parquet"), key=lambda path: int(path.stem.rpartition("-")[2]))
    if not files:
        return {}
    epochs = [_account(pq.read_schema(path).metadata or {}) for path in files]
    return {"augment": {"attack": recipe.augment.attack, "epochs": epochs}}


def _account(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    facts = {name.decode(): value.decode() for name, value in metadata.items()}
    return {name: float(value) if name == "seconds" else int(value) for name, value in facts.items()}
