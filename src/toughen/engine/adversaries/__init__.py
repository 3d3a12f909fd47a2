"""The adversary slot: who pushes back? One ascent loop with named presets; in weight space, moves of the weights."""

from toughen.engine.adversaries.ascent import Climbing, Fgm, Fgsm, FreeLb, Pgd
from toughen.engine.adversaries.base import Adversary, Search, Teach
from toughen.engine.adversaries.smooth import GradientPenalty, Rat, Smart, Smoothing, Vat
from toughen.engine.adversaries.weights import Asam, Awp, InWeights, Sam, WeightAdversary
from toughen.engine.choices import Direction, Loss, Norm, Scope, Unit

__all__ = [
    "Adversary",
    "AnyAdversary",
    "Asam",
    "Awp",
    "Direction",
    "Fgm",
    "Fgsm",
    "FreeLb",
    "GradientPenalty",
    "Loss",
    "Norm",
    "Pgd",
    "Rat",
    "Sam",
    "Scope",
    "Search",
    "Smart",
    "Teach",
    "Unit",
    "Vat",
    "WeightAdversary",
]

AnyAdversary = Climbing | Smoothing | InWeights
"""Every answer to "who pushes back?"; ``name`` tells them apart in YAML and flags."""
