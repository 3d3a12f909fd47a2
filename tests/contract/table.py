"""Objectives, adversaries, inputs, averages and tasks, and a table of combinations in which every allowed pair occurs.

Their full product has thousands of entries. :func:`cover` picks a few of them, always the same, such that any two
settings of two different slots meet in at least one; what `toughen.engine.compose` refuses is left out.
"""

from collections import Counter
from functools import cache
from itertools import combinations, product
from types import SimpleNamespace
from typing import NamedTuple

from torch import nn

from toughen import Asam, Awp, Fgm, Fgsm, FreeLb, GradientPenalty, Pgd, Rat, Sam, Smart, Vat
from toughen.engine.adversaries import WeightAdversary
from toughen.engine.averages import CheckpointSoup, Ema, Swa
from toughen.engine.compose import RULES, Setup
from toughen.engine.inputs import Mixup, Neftune
from toughen.engine.objectives import CrossEntropy, RDrop
from toughen.huggingface.composition import TRAINER_RULES, TrainerSetup
from toughen.model.lora_config import Lora
from toughen.recipe.recipe import Recipe

OBJECTIVES = {
    "cross-entropy": CrossEntropy(),
    "rdrop": RDrop(alpha=3.0),
    "focal": CrossEntropy(focal_gamma=2.0, label_smoothing=0.1, class_weights=(0.7, 1.6, 1.1)),
    "dropout-samples": CrossEntropy(dropout_samples=3),
}

# steps x step_size exceeds every radius, so that the projection has work to do
BALL = {"radius": 0.5, "step_size": 0.3, "steps": 3}
LINF = {"radius": 0.05, "step_size": 0.03, "steps": 3, "norm": "linf"}
ADVERSARIES = {
    "none": None,
    "fgm": Fgm(radius=0.4),
    "fgsm-no-special": Fgsm(radius=0.03, special_tokens=False),
    "pgd": Pgd(**BALL),
    "pgd-linf": Pgd(**LINF),
    "pgd-vocabulary": Pgd(**BALL, scope="vocabulary"),
    "pgd-random": Pgd(**BALL, start="random", search_loss="objective", loss="task", weight=0.7),
    "pgd-madry": Pgd(**BALL, start="random", clean=False),
    "pgd-layer": Pgd(**BALL, site="layer 1"),
    "freelb": FreeLb(radius=0.5, step_size=0.3, steps=3, start_size=0.3),
    "freelb-linf": FreeLb(radius=0.05, step_size=0.03, steps=3, start_size=0.03, norm="linf"),
    "vat": Vat(radius=0.5, probe_size=0.1, steps=2),
    "smart": Smart(radius=0.06, start_size=0.02, step_size=0.05, steps=2, weight=3.0, bregman=2.0),
    "rat": Rat(radius=0.4, alpha=2.0),
    "rat-detached": Rat(radius=0.4, alpha=2.0, detached=True),
    "pgd-auto": Pgd(radius="auto", steps=3),
    "freelb-auto": FreeLb(radius="auto", steps=2),
    "vat-auto": Vat(radius="auto"),
    "gradient-penalty": GradientPenalty(radius=1.0),
    "sam": Sam(radius=0.3),
    "asam": Asam(radius=0.5),
    "awp": Awp(radius=0.05),
}
INPUTS = {"none": None, "neftune": Neftune(alpha=2.0), "mixup": Mixup(alpha=0.6)}
AVERAGES = {"none": None, "ema": Ema(decay=0.9), "swa": Swa(start=0.3)}
TASKS = {task: task for task in ("single-label", "multi-label", "regression", "tokens")}


class Combination(NamedTuple):
    """One setting of every slot, by name."""

    objective: str = "cross-entropy"
    adversary: str = "none"
    inputs: str = "none"
    average: str = "none"
    task: str = "single-label"

    def __str__(self):
        left_out = ("none", "cross-entropy", "single-label")
        return "+".join(part for part in self if part not in left_out) or "plain"

    @property
    def spans_rows(self):
        """Whether a norm or a blend runs over the whole micro-batch: no independence of rows can hold for it."""
        adversary = ADVERSARIES[self.adversary]
        table = getattr(adversary, "scope", "example") == "vocabulary"
        return table or isinstance(adversary, WeightAdversary) or self.inputs == "mixup"

    @property
    def moves_embeddings(self):
        """Whether there is a perturbation of embeddings that is not 0 by design."""
        return self.adversary not in ("none", "gradient-penalty") and not self.moves_weights

    @property
    def moves_weights(self):
        """Whether the adversary perturbs the weights."""
        return isinstance(ADVERSARIES[self.adversary], WeightAdversary)


SLOTS = (OBJECTIVES, ADVERSARIES, INPUTS, AVERAGES, TASKS)
ROWS = {"objective": OBJECTIVES, "adversary": ADVERSARIES, "inputs": INPUTS, "average": AVERAGES}
"""The settings of this table by the recipe's slot."""
ELSEWHERE = {
    CheckpointSoup: "averages scored checkpoints when a training ends; no step of the engine meets it",
    Lora: "changes the model before the engine sees it",
}
"""The techniques that no combination here can hold, each with the reason; they have tests of their own."""
EVERYTHING = [Combination(*names) for names in product(*SLOTS)]


STUB = nn.Linear(1, 1)
"""As much of a model as the rules look at."""
STUB.config = SimpleNamespace(model_type="bert", _attn_implementation="sdpa")


def refusals(combination):
    """Return the rules of the product that a combination breaks."""
    objective, adversary, inputs, _, task = (slot[name] for slot, name in zip(SLOTS, combination, strict=True))
    setup = Setup(STUB, objective, adversary, inputs, task, True)
    broken = [rule.pair for rule in RULES if rule.broken(setup)]
    return broken + trainer_refusals(combination.adversary, combination.inputs, combination.average)


@cache
def trainer_refusals(adversary, inputs, average):
    """Return the Trainer's rules that a combination breaks; they read these slots alone."""
    recipe = Recipe(adversary=ADVERSARIES[adversary], inputs=INPUTS[inputs], average=AVERAGES[average])
    return [rule.pair for rule in TRAINER_RULES if rule.broken(TrainerSetup(recipe))]


def pairs_of(combination):
    """Return the pairs of settings, of two slots each, that a combination has."""
    return set(combinations(enumerate(combination), 2))


def cover(allowed):
    """Return combinations in which every pair of the allowed ones occurs.

    Greedily the one with most new pairs comes next; of several, the one whose pairs were chosen least often.
    """
    pairs = {combination: frozenset(pairs_of(combination)) for combination in allowed}
    missing, chosen, often = set().union(*pairs.values()), [], Counter()
    while missing:
        new = {combination: len(found & missing) for combination, found in pairs.items()}
        most = max(new.values())
        equal = [combination for combination in allowed if new[combination] == most]
        best = min(equal, key=lambda combination: sum(often[pair] for pair in pairs[combination]))
        chosen.append(best)
        missing -= pairs[best]
        often.update(pairs[best])
    return chosen


ALLOWED = [combination for combination in EVERYTHING if not refusals(combination)]
COMBINATIONS = sorted(cover(ALLOWED), key=EVERYTHING.index)
PERTURBED = [combination for combination in COMBINATIONS if combination.adversary != "none"]
