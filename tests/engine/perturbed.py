"""One small setting of every adversary, and a spy that sees what each pass adds to the embeddings."""

from contextlib import contextmanager

from torch.nn import functional as F

from engine.models import ScriptedNoise
from toughen import Fgm, Fgsm, FreeLb, Pgd, Smart, Vat
from toughen.engine.engine import Engine

ABSOLUTE = {"radius_unit": "absolute"}
START = {"start": "random", "clean": False}
SMALL = {
    "fgm": Fgm(radius=0.3, **ABSOLUTE),
    "fgsm": Fgsm(radius=0.02, **ABSOLUTE),
    "pgd": Pgd(radius=0.25, step_size=0.15, **ABSOLUTE),
    "pgd-madry": Pgd(radius=0.25, step_size=0.15, **START, **ABSOLUTE),
    "pgd-linf": Pgd(radius=0.02, step_size=0.015, norm="linf", **START, **ABSOLUTE),
    "freelb": FreeLb(radius=0.22, step_size=0.1, start_size=0.2, **ABSOLUTE),
    "freelb-linf": FreeLb(radius=0.02, step_size=0.01, start_size=0.015, norm="linf", **ABSOLUTE),
    "vat": Vat(radius=0.3, probe_size=0.1, **ABSOLUTE),
    "smart": Smart(radius=0.02, start_size=0.01, step_size=0.015, bregman=0.0, **ABSOLUTE),
}
TABLE = {
    "fgm-table": Fgm(radius=0.3, scope="vocabulary", **ABSOLUTE),
    "pgd-table": Pgd(radius=0.25, step_size=0.15, scope="vocabulary", **ABSOLUTE),
    "pgd-table-madry": Pgd(radius=0.25, step_size=0.15, scope="vocabulary", **START, **ABSOLUTE),
}
ALL = SMALL | TABLE


@contextmanager
def deltas(model):
    """Collect what was added to the embedding output in each pass; to be entered after the engine is made."""
    seen = []
    table = model.get_input_embeddings()

    def spy(_module, inputs, output):
        seen.append((output - F.embedding(inputs[0], table.weight)).detach())

    handle = table.register_forward_hook(spy)
    yield seen
    handle.remove()


def perturbations(model, rows, adversary, objective=None, **settings):
    """Return the delta of every pass of one step."""
    settings = {"noise": ScriptedNoise()} | settings
    with Engine(model, objective, adversary, **settings) as engine, deltas(model) as seen:
        engine.backward(rows)
    return seen
