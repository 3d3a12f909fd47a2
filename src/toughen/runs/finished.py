"""A finished run as every room may hold it: what its folder has, and the model that answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import toughen.data
from toughen.classifier.answers import list_texts
from toughen.errors import InputError
from toughen.files import read_json
from toughen.files.manifest import verify
from toughen.recipe.recipe import Recipe, load_recipe
from toughen.runs.folder import COMBINATION, COMBINATION_FORMAT, FOLDS, METRICS, MODEL, RECIPE

if TYPE_CHECKING:
    from toughen.classifier.classifier import Classifier  # loads transformers


class FinishedRun:
    """A run folder that can be read, without the verbs of `toughen.Run`, which is one of these.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a run folder.

        Raises:
            InputError: if there is none, training did not finish there, or a file is damaged.
        """
        path = Path(path)
        if not (path / RECIPE).exists():
            raise InputError(
                f"{path} is not a run folder (it has no {RECIPE}); give what toughen train --output wrote."
            )
        if not (path / METRICS).exists():
            raise InputError(f"the run in {path} has not finished (no {METRICS}); continue it with --resume.")
        verify(path)
        return cls(path)

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return load_recipe(self.path / RECIPE)

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``: validation, test, train, environment (in folds: out_of_fold, folds, ...)."""
        return read_json(self.path / METRICS)

    @cached_property
    def folds(self) -> int | None:
        """The number of folds; None for an ordinary run."""
        found: int | None = read_json(self.path / FOLDS).get("folds")
        return found

    @cached_property
    def members(self) -> tuple[Self, ...]:
        """The runs whose outputs are averaged: those of the folds, in order; of an ordinary run, itself alone."""
        if self.folds is None:
            return (self,)
        return tuple(type(self).open(self.path / f"fold-{fold + 1}") for fold in range(self.folds))

    @cached_property
    def parts(self) -> tuple[Self, ...]:
        """The runs that a combination asks: its own copies, or those that it refers to; of other runs none.

        Raises:
            InputError: if one is not there any more.
        """
        found = []
        for member in read_json(self.path / COMBINATION).get("members", ()):
            path = self.path / member["folder"] if member["folder"] else Path(member["source"])
            if not path.exists():
                raise InputError(
                    f"the run {member['source']} that {self.path} refers to is gone; put it back, or combine again "
                    "without --link, which keeps a copy."
                )
            found.append(type(self).open(path))
        return tuple(found)

    @cached_property
    def classifier(self) -> Classifier:
        """The model with its tokenizer, or those of all folds or of a combination as one, loaded once."""
        from toughen.classifier.classifier import Classifier  # loads transformers
        from toughen.runs.combination import Combination, rule_of  # loads transformers
        from toughen.runs.ensemble import Ensemble  # loads transformers

        if (self.path / COMBINATION).exists() and not (self.path / MODEL).exists():
            rule = rule_of(self._combination())
            return Combination.by(rule, [run.classifier for run in self.parts])
        if self.folds is None:
            return Classifier.load(self.path / MODEL, self.recipe.training.max_length)
        return Ensemble.of([member.classifier for member in self.members])

    def _combination(self) -> dict[str, Any]:
        content = read_json(self.path / COMBINATION)
        if content.get("format") != COMBINATION_FORMAT:
            raise InputError(
                f"{self.path / COMBINATION} has format {content.get('format')!r}, and this version reads "
                f"{COMBINATION_FORMAT}; open it with the version that wrote it."
            )
        return content

    def predict(self, texts: Sequence[Any]) -> list[dict[str, Any]]:
        """Answer for each text (a pair of str; for tokens a list of words or a str) with a dict.

        The texts stand in a list, a Series, an array or a generator.

        Single-label: ``label``, its probability as ``score``, and ``probabilities`` by label name. Multi-label:
        ``labels`` and ``probabilities``. Regression: ``score``. Tokens: ``words``, ``tags`` and ``entities``.
        """
        texts = list_texts(texts)
        if not texts:
            return []
        return self.classifier.predict(texts, batch_size=self.recipe.training.eval_batch_size)

    def labelled(self, data: object, columns: Mapping[str, str | None]) -> Any:
        """Read labelled texts as this run's model takes them.

        Args:
            data: as for `toughen.data.load_labelled`.
            columns: text, text_pair and label, None = found; and maybe label_columns or vote_columns, and the
                encoding of text files.
        """
        return toughen.data.load_labelled(
            data,
            text=columns["text"],
            text_pair=columns["text_pair"],
            label=columns["label"],
            label_columns=columns.get("label_columns"),
            vote_columns=columns.get("vote_columns"),
            label_names=self.classifier.label_names,
            task=self.classifier.task,
            pairs=self.classifier.pairs,
            encoding=columns.get("encoding"),
            known=self.classifier.columns,
        )
