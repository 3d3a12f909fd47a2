"""What an attack found, and everything without which its number says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toughen.attack.search_requests import Side
from toughen.statistics.bootstrap import Interval
from toughen.statistics.shares import clopper_pearson

Status = Literal["wrong", "held", "fooled"]


@dataclass(frozen=True)
class Outcome:
    """One text after the attack.

    Attributes:
        row: number in the source.
        text: the original.
        label: its true class id.
        before: class that the model answers.
        status: "wrong" (answered wrongly already, not attacked), "held" or "fooled".
        adversarial: the text that fools it; None otherwise, and for attacks on embeddings.
        after: class answered then; ``before`` where it is not fooled.
        words: words of the original.
        changed: words that differ in the adversarial text.
        queries: distinct texts asked about (on embeddings: passes); 0 where it was not attacked.
        beside: of a pair, the text that stays.
    """

    row: int
    text: str
    label: int
    before: int
    status: Status
    adversarial: str | None
    after: int
    words: int
    changed: int
    queries: int
    beside: str | None = None


@dataclass(frozen=True)
class AttackResult:
    """An attack on a classifier.

    Attributes:
        attack: its name.
        source: the paper.
        goal: in words.
        transformation: in words.
        constraints: in words.
        search: in words.
        budget: queries per text, or None.
        seed: of the draw of texts and of the attack.
        label_names: by class id.
        outcomes: one per text, in the order of the rows.
        texts_run: texts that went through the model; a repeated question costs none.
        passes: passes of the model.
        seconds: of the search.
        unconfirmed: successes that the model did not repeat when asked again; they count as held.
        precision: of the search; successes are always float32's.
        side: of pairs, which text was changed; None for single texts.
    """

    attack: str
    source: str
    goal: str
    transformation: str
    constraints: tuple[str, ...]
    search: str
    budget: int | None
    seed: int
    label_names: tuple[str, ...]
    outcomes: tuple[Outcome, ...] = field(repr=False)
    texts_run: int = 0
    passes: int = 0
    seconds: float = 0.0
    unconfirmed: int = 0
    precision: str = "fp32"
    side: Side | None = None

    @property
    def n(self) -> int:
        """Texts."""
        return len(self.outcomes)

    @property
    def attacked(self) -> int:
        """Texts that the model answered rightly, and that were attacked."""
        return sum(outcome.status != "wrong" for outcome in self.outcomes)

    @property
    def fooled(self) -> int:
        """Texts on which the attack succeeded."""
        return sum(outcome.status == "fooled" for outcome in self.outcomes)

    @property
    def accuracy_before(self) -> float | None:
        """Share of all texts answered rightly."""
        return _share(self.attacked, self.n)

    @property
    def accuracy_after(self) -> float | None:
        """Share of all texts answered rightly and not fooled."""
        return _share(self.attacked - self.fooled, self.n)

    @property
    def accuracy_after_interval(self) -> Interval | None:
        """Clopper-Pearson interval of `accuracy_after`, 95 %."""
        return clopper_pearson(self.attacked - self.fooled, self.n)

    @property
    def success_rate(self) -> float | None:
        """Share of the attacked texts that were fooled."""
        return _share(self.fooled, self.attacked)

    @property
    def success_interval(self) -> Interval | None:
        """Clopper-Pearson interval of `success_rate`, 95 %."""
        return clopper_pearson(self.fooled, self.attacked)

    @property
    def queries_per_example(self) -> float | None:
        """Mean queries of the attacked texts."""
        return _mean([o.queries for o in self.outcomes if o.status != "wrong"])

    @property
    def changed_share(self) -> float | None:
        """Mean share of words changed in the adversarial texts."""
        return _mean([o.changed / max(1, o.words) for o in self.pairs])

    @property
    def pairs(self) -> list[Outcome]:
        """The outcomes that have an adversarial text."""
        return [outcome for outcome in self.outcomes if outcome.adversarial is not None]

    def success_at(self, budgets: Sequence[int]) -> list[float | None]:
        """Return the success rate that each smaller budget would have had, at least: it only ends a search earlier."""
        spent = [o.queries for o in self.outcomes if o.status == "fooled"]
        return [_share(sum(queries <= budget for queries in spent), self.attacked) for budget in budgets]

    def rows(self) -> list[tuple[str, str]]:
        """Return (name, value) to be printed."""
        budget = "none" if self.budget is None else f"{self.budget} per text"
        return [
            ("attack", self.attack),
            ("source", self.source),
            ("goal", self.goal),
            ("transformation", self.transformation),
            ("constraints", "; ".join(self.constraints) or "none"),
            ("search", f"{self.search}; in {self.precision}"),
            ("query budget", budget),
            ("texts", f"{self.n} (seed {self.seed}), {self.attacked} answered rightly and attacked"),
            *([("changed text", f"the {self.side} of each pair; the other stays")] if self.side else []),
            ("queries per text", _number(self.queries_per_example, 1)),
            ("accuracy before", _number(self.accuracy_before)),
            ("accuracy after", _number(self.accuracy_after) + _ends(self.accuracy_after_interval)),
            ("success rate", _number(self.success_rate) + _ends(self.success_interval)),
            ("words changed", _number(self.changed_share)),
        ] + ([("unconfirmed", f"{self.unconfirmed} successes not repeated, counted as held")] * (self.unconfirmed > 0))

    def as_dict(self, *, pairs: bool = False) -> dict[str, Any]:
        """Return the numbers and the attack's parts, ready for JSON; with ``pairs`` also the adversarial texts."""
        parts = ("attack", "source", "goal", "transformation", "search", "budget", "n", "seed", "attacked", "fooled")
        numbers = ("accuracy_before", "accuracy_after", "success_rate", "queries_per_example", "changed_share")
        costs = ("texts_run", "passes", "seconds", "unconfirmed", "precision")
        found: dict[str, Any] = {name: getattr(self, name) for name in (*parts, *numbers, *costs)}
        found |= {"side": self.side} if self.side else {}
        found["constraints"] = list(self.constraints)
        for name in ("accuracy_after_interval", "success_interval"):
            interval = getattr(self, name)
            found[name] = None if interval is None else list(interval)
        if pairs:
            found["pairs"] = [self._entry(outcome) for outcome in self.pairs]
        return found

    def save(self, path: str | Path) -> None:
        """Write the adversarial pairs to a parquet file, one row each, with the row numbers of their originals."""
        entries = [self._entry(outcome) for outcome in self.pairs]
        columns = {name: pa.array([entry[name] for entry in entries], kind) for name, kind in self._columns().items()}
        pq.write_table(pa.table(columns), path)

    def _entry(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "row": outcome.row,
            "text": outcome.text,
            "adversarial": outcome.adversarial,
            "label": self.label_names[outcome.label],
            "predicted": self.label_names[outcome.after],
            "words": outcome.words,
            "changed": outcome.changed,
            "queries": outcome.queries,
            "attack": self.attack,
        } | ({"beside": outcome.beside} if self.side else {})

    def _columns(self) -> dict[str, Any]:
        texts = dict.fromkeys(("text", "adversarial", "label", "predicted"), pa.string())
        counts = dict.fromkeys(("words", "changed", "queries"), pa.int64())
        last = ("attack", "beside") if self.side else ("attack",)
        return {"row": pa.int64(), **texts, **counts, **dict.fromkeys(last, pa.string())}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _number(value: float | None, digits: int = 3) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
