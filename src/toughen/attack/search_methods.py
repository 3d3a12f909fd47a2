"""Searches: in which order replacements are tried. A search is a generator that yields what it wants to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from toughen.arrays import Floats
from toughen.attack.constraints import Constraint
from toughen.attack.goals import Goal
from toughen.attack.search_requests import Asking, Gains, Scores
from toughen.attack.transforms import Transformation
from toughen.data.words import Words
from toughen.settings import require

_NEVER = -np.inf


class Trial(NamedTuple):
    """A version of the text that the model has answered."""

    words: Words
    margin: float
    reached: bool


@dataclass
class Problem:
    """One text under attack: what a search may try, and how it asks.

    Attributes:
        original: the text.
        label: its true class.
        margin: the goal's margin on the original.
        seed: of this text's random choices.
        exhausted: set when the query budget has ended.
    """

    original: Words
    label: int
    margin: float
    goal: Goal
    transformation: Transformation
    constraints: Sequence[Constraint]
    seed: int
    exhausted: bool = field(default=False, init=False)

    @property
    def start(self) -> Trial:
        """The original as a trial."""
        return Trial(self.original, self.margin, False)

    def free(self, state: Words) -> list[int]:
        """Return the positions that may still be changed."""
        locked = frozenset[int]().union(*(c.locked(self.original, state) for c in self.constraints))
        changed = self.original.changed(state)
        return [i for i in range(len(self.original)) if i not in locked and i not in changed]

    def ranks(self, texts: Sequence[str]) -> Asking[Floats]:
        """Ask the model for margins alone: those of the first m texts, where the budget ends after m."""
        return (yield from self._ask(Scores(tuple(texts), roughly=True)))[0]

    def margins(self, texts: Sequence[str], *, first: bool = False) -> Asking[tuple[Floats, list[bool]]]:
        """Ask the model: margins and successes of the first m texts, where the budget ends after m.

        Args:
            texts: to be asked about.
            first: only the first success counts, so texts behind it need no answer and may be left out.
        """
        enough = partial(self.goal.reached, label=self.label) if first else None
        return (yield from self._ask(Scores(tuple(texts), enough)))

    def _ask(self, scores: Scores) -> Asking[tuple[Floats, list[bool]]]:
        if not scores.texts or self.exhausted:
            return np.empty(0), []
        probabilities = yield scores
        reached = self.goal.reached(probabilities, self.label)
        served = scores.enough is not None and bool(reached.any())
        self.exhausted = len(probabilities) < len(scores.texts) and not served
        return self.goal.margin(probabilities, self.label), [bool(value) for value in reached]

    def replacements(self, state: Words, positions: Sequence[int]) -> Asking[list[tuple[int, str]]]:
        """Return the single replacements that the transformation offers and the quick constraints allow."""
        offers = yield from self.transformation.offers(state, positions, self.seed)
        return [
            (i, new)
            for i in positions
            for new in dict.fromkeys(offers.get(i, ()))
            if new != self.original.words[i] and self._is_allowed(state.replaced(i, new), i)
        ]

    def _is_allowed(self, candidate: Words, position: int) -> bool:
        return all(c.allows(self.original, candidate, position) for c in self.constraints)

    def try_all(self, candidates: Sequence[Words], *, first: bool = False) -> Asking[list[Trial]]:
        """Sift candidates by the slow constraints and ask the model about the rest; ``first`` as in `margins`."""
        for constraint in self.constraints:
            candidates = yield from constraint.sift(self.original, candidates)
        margins, reached = yield from self.margins([c.text for c in candidates], first=first)
        return [Trial(c, float(m), r) for c, m, r in zip(candidates, margins, reached, strict=False)]

    def vary(self, state: Words, positions: Sequence[int]) -> Asking[list[Trial]]:
        """Try the allowed replacements at these positions: all of them, or up to one that reaches the goal."""
        pairs = yield from self.replacements(state, positions)
        return (yield from self.try_all([state.replaced(i, new) for i, new in pairs], first=True))


class Search(Protocol):
    """Looks for a version of the text that reaches the goal."""

    def __call__(self, problem: Problem) -> Asking[Trial]:
        """Return the version found, or the best one, which has not reached the goal."""

    def describe(self) -> str:
        """Say it in words."""


def _best(trials: Sequence[Trial]) -> Trial:
    return max(trials, key=lambda trial: trial.margin)


@dataclass(frozen=True)
class GreedyByImportance:
    """Rank the words once by what leaving each out does to the margin; replace them in that order, each by its best.

    A replacement that does not raise the margin is not kept. The first replacement offered that reaches the goal ends
    the search.
    """

    def __call__(self, problem: Problem) -> Asking[Trial]:
        """See `Search`."""
        current, places = problem.start, problem.free(problem.original)
        margins = yield from problem.ranks([problem.original.without(i) for i in places])
        order = np.argsort(-margins, kind="stable").tolist()
        for i in (places[k] for k in order):
            if problem.exhausted or i not in problem.free(current.words):
                break
            trials = yield from problem.vary(current.words, [i])
            found = next((trial for trial in trials if trial.reached), None)
            if found is not None:
                return found
            current = _best([current, *trials])
        return current

    def describe(self) -> str:
        """See `Search`."""
        return "greedy, words ranked by what leaving each out does"


@dataclass(frozen=True)
class GreedyBySaliency:
    """Probability-weighted word saliency: each word's best replacement, in the order of gain times soft-maxed saliency.

    Saliency is what leaving the word out adds to the margin; the gain is what its best replacement adds, alone.
    """

    def __call__(self, problem: Problem) -> Asking[Trial]:
        """See `Search`."""
        places = problem.free(problem.original)
        saliency = yield from problem.ranks([problem.original.without(i) for i in places])
        trials = yield from problem.vary(problem.original, places)
        found = next((trial for trial in trials if trial.reached), None)
        if found is not None:
            return found
        current = problem.start
        for i, new in self._plan(problem, dict(zip(places, saliency, strict=False)), trials):
            if problem.exhausted or i not in problem.free(current.words):
                break
            (trial,) = (yield from problem.try_all([current.words.replaced(i, new)])) or (current,)
            if trial.reached:
                return trial
            current = _best([current, trial])
        return current

    def _plan(self, problem: Problem, saliency: dict[int, float], trials: Sequence[Trial]) -> list[tuple[int, str]]:
        """Return each word's best replacement, the most promising word first."""
        best: dict[int, Trial] = {}
        for trial in trials:
            (i,) = problem.original.changed(trial.words)
            best[i] = trial if i not in best else _best([best[i], trial])
        if not best or not saliency:
            return []
        top = max(saliency.values())
        weight = {i: float(np.exp(value - top)) for i, value in saliency.items()}
        gain = {i: (trial.margin - problem.margin) * weight.get(i, 0.0) for i, trial in best.items()}
        return [(i, best[i].words.words[i]) for i in sorted(gain, key=lambda i: -gain[i])]

    def describe(self) -> str:
        """See `Search`."""
        return "greedy, words ranked by saliency times the gain of their best replacement (PWWS)"


@dataclass(frozen=True)
class Beam:
    """Try every replacement of every word in each of the best versions; go on from the best of those.

    On a linear model a beam of any width finds a success with the fewest words changed, if there is one.

    Attributes:
        width: versions kept.
        guided: if set, so many replacements of each version are tried: those of the highest first-order gain.
    """

    width: int = 3
    guided: int | None = None

    def __post_init__(self) -> None:
        require(self.width >= 1, "beam", self.width, "must be at least 1")
        require(self.guided is None or self.guided >= 1, "guided", self.guided, "must be at least 1")

    def __call__(self, problem: Problem) -> Asking[Trial]:
        """See `Search`."""
        beam, best = [problem.start], problem.start
        while beam and not problem.exhausted:
            candidates: dict[str, Words] = {}
            for state in beam:
                for words in (yield from self._candidates(problem, state.words)):
                    candidates.setdefault(words.text, words)
            trials = yield from problem.try_all(list(candidates.values()))
            if not trials:
                break
            top = _best(trials)
            if top.reached or any(trial.reached for trial in trials):
                return _best([trial for trial in trials if trial.reached])
            if top.margin <= best.margin:
                break
            best = top
            beam = sorted(trials, key=lambda trial: -trial.margin)[: self.width]
        return best

    def _candidates(self, problem: Problem, state: Words) -> Asking[list[Words]]:
        pairs = yield from problem.replacements(state, problem.free(state))
        if self.guided is not None and pairs:
            gains = yield Gains(state, problem.label, tuple(pairs))
            order = np.argsort(-gains, kind="stable")[: self.guided]
            pairs = [pairs[k] for k in order if gains[k] > _NEVER]
        return [state.replaced(i, new) for i, new in pairs]

    def describe(self) -> str:
        """See `Search`."""
        how = "" if self.guided is None else f", the {self.guided} replacements of the highest first-order gain each"
        return f"beam of width {self.width} over all words{how}"
