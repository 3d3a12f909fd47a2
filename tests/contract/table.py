"""Every objective x adversary x average: 3 x 16 x 3 = 144 combinations.

An average never changes a gradient, so tests parametrised over the 48 pairs carry all three averages along in one run
and check each of them: that covers the 144.
"""

from toughen.training.adversaries import Fgm, Fgsm, FreeLb, Pgd, Vat
from toughen.training.averages import Ema, Swa
from toughen.training.objectives import CrossEntropy, RDrop

SMOOTHED = {"label_smoothing": 0.1, "class_weights": (0.7, 1.6)}
OBJECTIVES = {
    "cross-entropy": CrossEntropy(),
    "smoothed": CrossEntropy(**SMOOTHED),
    "rdrop": RDrop(alpha=3.0, **SMOOTHED),
}

# steps x step_size exceeds every radius, so that the projection has work to do
BALL = {"radius": 0.5, "step_size": 0.3, "steps": 3}
LINF = {"radius": 0.05, "step_size": 0.03, "steps": 3, "norm": "linf"}
ADVERSARIES = {
    "none": None,
    "fgm": Fgm(radius=0.4),
    "fgm-no-special": Fgm(radius=0.4, special_tokens=False),
    "fgsm": Fgsm(radius=0.03),
    "pgd": Pgd(**BALL),
    "pgd-linf": Pgd(**LINF),
    "pgd-vocabulary": Pgd(**BALL, scope="vocabulary"),
    "pgd-random": Pgd(**BALL, start="random"),
    "pgd-madry": Pgd(**BALL, start="random", clean=False),
    "pgd-task": Pgd(**BALL, loss="task", weight=0.7),
    "pgd-search-objective": Pgd(**BALL, search_loss="objective"),
    "pgd-layer": Pgd(**BALL, site="layer 1"),
    "freelb": FreeLb(radius=0.5, step_size=0.3, steps=3, start_size=0.3),
    "freelb-linf": FreeLb(radius=0.05, step_size=0.03, steps=3, start_size=0.03, norm="linf"),
    "vat": Vat(radius=0.5, probe_size=0.1),
    "vat-2": Vat(radius=0.5, probe_size=0.1, steps=2),
}
AVERAGES = {"none": None, "ema": Ema(decay=0.9), "swa": Swa(start=0.3)}

PAIRS = [(objective, adversary) for objective in OBJECTIVES for adversary in ADVERSARIES]
PERTURBED = [pair for pair in PAIRS if pair[1] != "none"]


def names(pairs):
    """Return test ids of pairs."""
    return ["+".join(pair) for pair in pairs]


def spans_rows(adversary):
    """Whether the norm of this adversary runs over the whole micro-batch: no independence of rows can hold for it."""
    return getattr(ADVERSARIES[adversary], "scope", "example") == "vocabulary"
