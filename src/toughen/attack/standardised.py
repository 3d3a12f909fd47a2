"""The standard attack: a fixed set that nobody can tune, the worst case per text, one number, and its warnings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toughen.attack.attack_recipes import RECIPES, Ingredients
from toughen.attack.queries import Queries
from toughen.attack.results import AttackResult, Outcome
from toughen.attack.run_attack import run_attack, run_pgd
from toughen.attack.subject import Examples, classifier_of, examples_of
from toughen.attack.whitebox import EmbeddingPgd, require_white_box
from toughen.statistics.bootstrap import Interval
from toughen.statistics.shares import clopper_pearson

VERSION = 1
BUDGET = 500
MEMBERS: Mapping[str, str] = {"character": "deepwordbug", "word": "textfooler", "white-box": "hotflip"}
RADII = (0.1, 1.0, 3.0)  # the last is further than the words that may be changed can move a text of 20 words
_STEPS = 10
_SAME = 1e-4  # probabilities that differ by less were only rounded differently


@dataclass(frozen=True)
class StandardResult:
    """What the standard attack found.

    Attributes:
        members: results on text by kind: character, word, white-box.
        bounds: results of embedding-space PGD by radius (relative units); they count for the warnings alone.
        flags: reasons to distrust the number, each a sentence; empty if there are none.
        version: of the set; numbers of different versions do not compare.
    """

    members: Mapping[str, AttackResult]
    bounds: Mapping[float, AttackResult]
    flags: tuple[str, ...]
    version: int = VERSION
    _first: AttackResult = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_first", next(iter(self.members.values())))

    @property
    def n(self) -> int:
        """Texts."""
        return self._first.n

    @property
    def accuracy_before(self) -> float | None:
        """Share of the texts answered rightly."""
        return self._first.accuracy_before

    @property
    def worst(self) -> list[Outcome]:
        """Per text the outcome of the member that fools it with the fewest changed words; of the first if none does."""
        columns = zip(*(result.outcomes for result in self.members.values()), strict=True)
        return [min(outcomes, key=lambda o: (o.status != "fooled", o.changed)) for outcomes in columns]

    @property
    def robust(self) -> int:
        """Texts answered rightly and fooled by no member."""
        return sum(outcome.status == "held" for outcome in self.worst)

    @property
    def robust_accuracy(self) -> float | None:
        """The one number: share of all texts answered rightly and fooled by no member."""
        return self.robust / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Clopper-Pearson interval of `robust_accuracy`, 95 %."""
        return clopper_pearson(self.robust, self.n)

    def rows(self) -> list[tuple[str, str]]:
        """Return (name, value) to be printed."""
        low, high = self.interval or (0.0, 1.0)
        head = self._first
        found = [
            ("standard attack", f"version {self.version}, {self.n} texts, seed {head.seed}, {BUDGET} queries per text"),
            ("constraints", "; ".join(head.constraints)),
            ("accuracy before", f"{self.accuracy_before:.3f}"),
            ("robust accuracy", f"{self.robust_accuracy:.3f} ({low:.3f} to {high:.3f})"),
        ]
        for kind, result in self.members.items():
            queries = (
                "" if result.queries_per_example is None else f", {result.queries_per_example:.1f} queries per text"
            )
            found.append((f"  {kind} ({result.attack})", f"{result.accuracy_after:.3f}{queries}"))
        found += [(f"  bound: pgd, radius {r}", f"{result.accuracy_after:.3f}") for r, result in self.bounds.items()]
        return found + [("warning", flag) for flag in self.flags]

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON."""
        return {
            "version": self.version,
            "n": self.n,
            "accuracy_before": self.accuracy_before,
            "robust_accuracy": self.robust_accuracy,
            "interval": None if self.interval is None else list(self.interval),
            "flags": list(self.flags),
            "members": {kind: result.as_dict() for kind, result in self.members.items()},
            "bounds": {str(radius): result.as_dict() for radius, result in self.bounds.items()},
        }

    def save(self, path: str | Path) -> None:
        """Write the adversarial pairs of all members to a parquet file; see `AttackResult.save`."""
        tables = []
        with TemporaryDirectory() as folder:
            for kind, result in self.members.items():
                part = Path(folder) / f"{kind}.parquet"
                replace(result).save(part)
                tables.append(pq.read_table(part))
        pq.write_table(pa.concat_tables(tables), path)


def standard(
    run_or_classifier: Any,
    data: Any,
    *,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    columns: Mapping[str, str | None] | None = None,
    progress: Callable[[str], None] | None = None,
) -> StandardResult:
    """Run the fixed set: character (deepwordbug), word (textfooler) and white-box (hotflip), and PGD as a bound.

    A fifth of the words may be changed, with 500 queries per text; neighbours are from the model's own embeddings.
    Nothing of this can be set.

    Args:
        run_or_classifier: a run, its folder, or a single-label classifier with its model and fast tokenizer.
        data: labelled single texts, as for `attack`.
        limit: so many texts, drawn by the seed.
        seed: of the draw and the attacks.
        batch_size: texts per pass; it changes nothing else.
        columns: names of the columns ``text`` and ``label``; default the recipe's, or found.
        progress: called with the name of each member that is done.

    Raises:
        InputError: if the data are wrong, the task is not single-label, or the model cannot be looked into.
    """
    classifier, known = classifier_of(run_or_classifier)
    require_white_box(classifier, "the standard attack")
    examples = examples_of(classifier, data, {**known, **(columns or {})}, limit=limit, seed=seed)
    given = Ingredients(classifier, batch_size=batch_size)
    members, bounds = {}, {}
    for kind, name in MEMBERS.items():
        queries = Queries(classifier, batch_size)
        members[kind] = run_attack(RECIPES[name](given), queries, given.services(), examples, seed, BUDGET)
        if progress is not None:
            progress(kind)
    for radius in RADII:
        bounds[radius] = run_pgd(EmbeddingPgd(radius, _STEPS), Queries(classifier, batch_size), examples, seed)
    if progress is not None:
        progress("bound")
    return StandardResult(members, bounds, tuple(_flags(members, bounds, _is_random(classifier, examples, batch_size))))


def _is_random(classifier: Any, examples: Examples, batch_size: int) -> bool:
    """Tell whether the same texts, asked about twice, get different probabilities."""
    texts = examples.texts[:64]
    first, second = (Queries(classifier, batch_size, cache=False).probabilities(texts) for _ in range(2))
    return bool(np.abs(first - second).max(initial=0) > _SAME)


def _flags(members: Mapping[str, AttackResult], bounds: Mapping[float, AttackResult], random: bool) -> list[str]:
    """Say what suggests that the attacks are weaker than the model is strong, after AutoAttack's flags (2003.01690)."""
    flags = []
    if random or any(result.unconfirmed for result in members.values()):
        flags.append("the model answers the same text differently from time to time; attacks on it are unreliable.")
    word, gradient = members["word"], members["white-box"]
    bound = bounds[max(bounds)]
    if _clearly_fewer(gradient, word):
        flags.append(
            f"the white-box attack fools {gradient.fooled} texts and the black-box one {word.fooled} with the same "
            "words; the gradient may be masked."
        )
    blind = max(members.values(), key=lambda result: result.fooled)
    if _clearly_fewer(bound, blind):
        flags.append(
            f"moving the embeddings by radius {max(bounds)} fools {bound.fooled} texts, changing the text "
            f"{blind.fooled}; the gradient may be masked."
        )
    if bound.attacked and bound.fooled < bound.attacked and bound.fooled <= bounds[min(bounds)].fooled:
        flags.append(
            f"a radius of {max(bounds)} fools no more texts than one of {min(bounds)}; success should rise with the "
            "budget, so the gradient may be masked."
        )
    return flags


def _clearly_fewer(one: AttackResult, other: AttackResult) -> bool:
    """Tell whether ``one`` fools fewer of the same texts than ``other``, by more than chance (sign test, 5 %)."""
    from scipy.stats import binomtest

    pairs = list(zip(one.outcomes, other.outcomes, strict=True))
    less = sum(b.status == "fooled" and a.status != "fooled" for a, b in pairs)
    more = sum(a.status == "fooled" and b.status != "fooled" for a, b in pairs)
    return less > more and bool(binomtest(less, less + more, alternative="greater").pvalue < 0.05)
