"""A compiled model under the engine: one program for all lengths, and the numbers of the model that is not compiled."""

import pytest
import torch
from torch._dynamo.utils import counters

from toughen.training.adversaries import Pgd, Rat, Sam
from toughen.training.engine import Engine
from toughen.training.objectives import CrossEntropy, RDrop
from training.models import batch, distance, gradients, tiny

LENGTHS = (9, 14, 20, 27, 33, 40)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize(
    ("objective", "adversary", "programs"),
    [
        (CrossEntropy(), None, 1),
        (CrossEntropy(), Rat(radius=0.4), 3),
        (RDrop(), Pgd(radius=0.5, step_size=0.3), 4),
        (CrossEntropy(), Sam(radius=0.3), 1),  # though its weights point to other memory in every second pass
    ],
    ids=["plain", "rat", "rdrop+pgd", "sam"],
)
def test_lengths_share_programs_and_gradients_stay_the_same(objective, adversary, programs):
    torch._dynamo.reset()
    counters.clear()
    model = tiny("bert")
    compiled = torch.compile(model, backend="eager", dynamic=True)
    with Engine(compiled, objective, adversary) as engine:
        for length in LENGTHS:
            rows = batch(lengths=(length, length - 2, 5, 4))
            engine.model = model
            engine.backward(rows)
            wanted = gradients(model)
            model.zero_grad()
            engine.model = compiled
            engine.backward(rows)
            assert distance(gradients(model), wanted) < 1e-12
            model.zero_grad()
    assert counters["stats"]["unique_graphs"] <= programs, "a length of its own made a program of its own"
