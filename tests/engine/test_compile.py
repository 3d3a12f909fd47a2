"""A compiled model under the engine: one program for all lengths, and the numbers of the model that is not compiled.

The backend ``aot_eager`` goes through AOTAutograd, as the default one does: it makes the backward ahead, from a pass
that it traces, and refuses what such a backward cannot do. The backend ``eager`` leaves the backward to autograd.
"""

import pytest
import torch
from torch._dynamo.utils import counters

from contract.table import ADVERSARIES, INPUTS, OBJECTIVES
from engine.models import batch, distance, gradients, tiny
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.engine.weight_average import make_average
from toughen.errors import InputError

LENGTHS = (9, 14, 20, 27, 33, 40)

pytestmark = pytest.mark.filterwarnings("ignore")


def compiled_against_plain(parts, lengths, *, backend="aot_eager", memory="normal", dropout=0.2):
    """Take steps with and without compilation; return the largest difference of gradients, and the engine's cost."""
    torch._dynamo.reset()
    counters.clear()
    objective, adversary, inputs = parts
    model = tiny("bert", dropout=dropout, num_hidden_layers=1)
    compiled = torch.compile(model, backend=backend, dynamic=True)
    settings = {"inputs": inputs, "memory": memory, "special_ids": (), "average": make_average(Ema(), model)}
    worst = 0.0
    with Engine(compiled, objective, adversary, **settings) as engine:
        for length in lengths:
            found = []
            for engine.model in (model, compiled):
                torch.manual_seed(length)
                engine.backward(batch(lengths=(length, length - 2, 5, 4)))
                found.append(gradients(model))
                model.zero_grad()
            worst = max(worst, distance(*found))
        return worst, engine.cost


def parts(name):
    """Return objective, adversary and inputs by their names in the contract table, joined by +."""
    names = name.split("+")
    slots = (OBJECTIVES, ADVERSARIES, INPUTS)
    chosen = [next((slot[part] for part in names if part in slot), None) for slot in slots]
    assert sum(part in slot for part in names for slot in slots) == len(names)
    return chosen


def slow(*names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "programs"),
    [
        ("cross-entropy", 1),
        ("rat", 3),
        ("rdrop+pgd", 4),
        ("sam", 1),  # though its weights point to other memory in every second pass
    ],
)
def test_lengths_share_programs_and_gradients_stay_the_same(name, programs):
    worst, _ = compiled_against_plain(parts(name), LENGTHS, backend="eager", dropout=0.0)
    assert worst < 1e-12
    assert counters["stats"]["unique_graphs"] <= programs, "a length of its own made a program of its own"


KINDS = ("pgd-vocabulary", "smart", "awp", "rdrop+fgm", "rdrop+pgd+mixup", "rat+neftune")
"""One of each kind of pass; a model is compiled anew for each of them, which takes half a minute."""


@pytest.mark.parametrize("name", ["rat", *slow(*KINDS)])
def test_a_backward_made_ahead_gives_the_same_gradients(name):
    worst, _ = compiled_against_plain(parts(name), LENGTHS[:2])
    assert worst < 1e-12


@pytest.mark.parametrize("name", ["rat", *slow("rdrop", "smart")])
def test_low_memory_gives_the_same_gradients(name):
    worst, cost = compiled_against_plain(parts(name), LENGTHS[:2], memory="low")
    assert worst < 1e-12
    objective, adversary, _ = parts(name)
    with Engine(tiny("bert"), objective, adversary, average=make_average(Ema(), tiny("bert"))) as normal:
        normal.backward(batch())
    assert cost.units / cost.steps > normal.cost.units, "nothing was made again, so nothing was tested"


@pytest.mark.parametrize(
    ("name", "compiled", "kept"), [("rat", True, True), ("rat", False, False), ("rat-detached", True, False)]
)
def test_a_graph_is_kept_for_the_step_that_needs_it(name, compiled, kept):
    """On a GPU a backward runs in another thread, where torch.compile's settings do not hold, unless told not to."""

    def settings():
        return torch.autograd.is_multithreading_enabled(), torch._functorch.config.donated_buffer

    seen = set()
    objective, adversary, _ = parts(name)
    model = tiny("bert")
    model.classifier.weight.register_hook(lambda _: seen.add(settings()))
    with Engine(model, objective, adversary, compiled=compiled) as engine:
        engine.backward(batch())
    assert seen == {(not kept, not kept)}
    assert settings() == (True, True)


def test_what_differentiates_twice_is_refused_for_a_model_that_is_compiled_already():
    model = torch.compile(tiny("bert"), backend="eager")
    with pytest.raises(InputError, match=r"gradient-penalty and training.compile cannot be combined.*to false"):
        Engine(model, adversary=ADVERSARIES["gradient-penalty"])
