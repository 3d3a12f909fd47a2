"""The adversary slot: adversarial training. One ascent loop with named presets; in weight space, moves of the weights.

A technique stands in the module of its kind: `ascent` climbs the labels' loss, `smooth` needs no label, `weights` moves
weights. Imports from `engine`'s spaces and choices; the engine's steps and every room above may import it.
"""

from toughen.engine.adversaries.ascent import Climbing
from toughen.engine.adversaries.base import Adversary, Search, Teach
from toughen.engine.adversaries.smooth import Smoothing
from toughen.engine.adversaries.weights import InWeights, WeightAdversary

__all__ = ["Adversary", "AnyAdversary", "Search", "Teach", "WeightAdversary"]

AnyAdversary = Climbing | Smoothing | InWeights
"""Every adversary; ``name`` tells them apart in YAML and flags."""
