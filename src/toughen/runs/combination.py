"""Several runs that answer as one, and how they are read back from a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from toughen.classifier.classifier import Classifier
from toughen.runs.ensemble import Ensemble, mean_thresholds
from toughen.runs.rules import Outputs, Rule, Stacker


@dataclass
class Combination(Ensemble):
    """Classifiers of one task as one, by a rule; each reads with its own tokenizer.

    Attributes:
        rule: how their outputs become one.
    """

    rule: Rule = Rule("mean-probabilities")

    @classmethod
    def by(cls, rule: Rule, members: Sequence[Classifier]) -> Combination:
        """Join classifiers with the same labels.

        A vote and a stacker decide by themselves; for the other rules thresholds are averaged as outputs are.
        """
        first = members[0]
        own = {f.name: getattr(first, f.name) for f in fields(Classifier) if f.init}
        known = [member.thresholds for member in members]
        thresholds = None
        if rule.how == "weights" and all(cuts is not None for cuts in known):
            thresholds = tuple(np.average(np.asarray(known, dtype=np.float64), axis=0, weights=rule.weights).tolist())
        elif rule.how not in ("vote", "stack"):
            thresholds = mean_thresholds(known)
        own |= {"thresholds": thresholds, "temperature": None, "abstention": None}
        return cls(**own, members=tuple(members), rule=rule)

    def outputs(self, dataset: Any, *, batch_size: int = 64, progress: Callable[[int], None] | None = None) -> Outputs:
        """Return the combined outputs of all members; ``progress`` is that of the last one."""
        *others, last = self.members
        found: list[Any] = [member.outputs(dataset, batch_size=batch_size) for member in others]
        found.append(last.outputs(dataset, batch_size=batch_size, progress=progress))
        return self.combined(found)

    def combined(self, outputs: Sequence[Outputs]) -> Outputs:
        """Combine what the members said of the same texts."""
        return self.rule.apply(self.task, outputs, [member.thresholds for member in self.members])


def rule_of(content: dict[str, Any]) -> Rule:
    """Return the rule that ``combination.json`` holds."""
    stack = content.get("stack")
    stacker = None
    if stack is not None:
        rows = tuple(tuple(row) for row in stack["coefficients"])
        stacker = Stacker(rows, tuple(stack["intercept"]))
    weights = content.get("weights")
    return Rule(content["how"], None if weights is None else tuple(weights), stacker)
