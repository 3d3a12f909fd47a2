"""Memory and economy: what runs less often, on fewer rows or twice, and that nothing else changes."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import toughen.engine.step as step_module
from contract.table import ADVERSARIES, INPUTS
from engine.models import BOS, EOS, ScriptedNoise, batch, distance, gradients, tiny
from toughen import Pgd, Sam
from toughen.engine import reduction
from toughen.engine.adversaries import weights as of_weights
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.engine.objectives import CrossEntropy, RDrop
from toughen.engine.weight_average import make_average
from toughen.errors import InputError

PGD = Pgd(radius=0.5, step_size=0.3, steps=2)
ONCE = {name: a for name, a in ADVERSARIES.items() if name != "gradient-penalty"}
"""All adversaries but the one that differentiates twice."""
PAIRS = [
    (name, objective)
    for name in ONCE
    for objective in (CrossEntropy(), RDrop(alpha=3.0), CrossEntropy(focal_gamma=1.0))
    if not (name.startswith("rat") and objective.copies > 1)
]


def engine_of(objective=None, adversary=None, inputs=None, *, dropout=0.0, **settings):
    model = tiny("bert", dropout=dropout)
    settings = {"noise": ScriptedNoise(), "special_ids": (BOS, EOS)} | settings
    return Engine(model, objective, adversary, inputs=inputs, average=make_average(Ema(), model), **settings)


def run(engine, rows, updates=0):
    """Return the gradients of one step, the loss and the passes."""
    engine.updates = updates
    torch.manual_seed(0)
    loss = engine.backward(rows)
    found = gradients(engine.model)
    engine.close()
    return found, float(loss), engine.cost


# memory: low


@pytest.mark.filterwarnings("ignore:.*no dropout above 0")
@pytest.mark.parametrize("inputs", ["none", "neftune"])
@pytest.mark.parametrize(("name", "objective"), PAIRS)
def test_low_memory_has_the_same_gradient_without_dropout(name, objective, inputs):
    rows, parts = batch(), (objective, ONCE[name], INPUTS[inputs])
    normal, loss, cost = run(engine_of(*parts), rows)
    low, low_loss, low_cost = run(engine_of(*parts, memory="low"), rows)
    assert distance(normal, low) < 1e-12
    assert low_loss == pytest.approx(loss, abs=1e-12)
    waits = objective.copies > 1 or name in ("rat", "smart")
    assert (low_cost.units > cost.units) == waits, "nothing was made again, so nothing was tested"


@pytest.mark.parametrize("name", ["none", "pgd", "vat", "smart", "rat", "freelb", "sam"])
def test_low_memory_replays_the_dropout_of_the_pass_it_makes_again(name, monkeypatch):
    """Against the same sequential passes whose activations are kept: bitwise the same draws."""
    objective = CrossEntropy() if name == "rat" else RDrop(alpha=3.0)

    def again():
        return engine_of(objective, ONCE[name], INPUTS["neftune"], dropout=0.3, memory="low")

    low, _, cost = run(again(), batch())
    monkeypatch.setattr(step_module, "recompute_pass", lambda run, noise, *_: run(noise))
    kept, _, kept_cost = run(again(), batch())
    assert distance(low, kept) < 1e-12
    assert cost.units > kept_cost.units


def test_the_canary_of_replayed_dropout():
    """Another seed gives another gradient, so the dropout of the test above matters."""
    first, _, _ = run(engine_of(RDrop(), dropout=0.3, memory="low"), batch())
    engine = engine_of(RDrop(), dropout=0.3, memory="low")
    torch.manual_seed(1)
    engine.backward(batch())
    assert distance(first, gradients(engine.model)) > 1e-3
    engine.close()


@pytest.mark.parametrize("objective", [CrossEntropy(), RDrop()])
def test_low_memory_keeps_the_activations_of_one_copy(objective):
    def bytes_kept(memory):
        kept = 0

        def pack(tensor):
            nonlocal kept
            kept += tensor.nbytes
            return tensor

        engine = engine_of(objective, dropout=0.1, memory=memory)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            step_loss = step_module.Step(engine._context(), batch(lengths=(24,) * 8, labels=(0, 1) * 4)).objective()
        engine.close()
        assert step_loss.requires_grad
        return kept

    share = bytes_kept("low") / bytes_kept("normal")
    if objective.copies == 1:
        assert share == 1
    else:
        assert 0.4 < share < 0.65


def test_low_memory_refuses_what_differentiates_twice():
    with pytest.raises(InputError, match=r"training.memory low cannot be combined.*second derivative"):
        engine_of(adversary=ADVERSARIES["gradient-penalty"], memory="low")


# every, share


@pytest.mark.parametrize("adversary", [PGD, Sam(radius=0.3)])
def test_every_acts_at_each_nth_step_from_the_start(adversary):
    from dataclasses import replace

    rows = batch()
    timed = replace(adversary, start_step=2, every=3)
    acting, _, cost = run(engine_of(adversary=adversary), rows)
    plain, _, plain_cost = run(engine_of(), rows)
    assert distance(acting, plain) > 1e-6
    for updates in range(9):
        found, _, found_cost = run(engine_of(adversary=timed), rows, updates)
        acts = updates in (2, 5, 8)
        assert distance(found, acting if acts else plain) < 1e-12
        assert found_cost.units == (cost if acts else plain_cost).units


def test_a_share_of_the_rows_meets_the_adversary_and_the_others_do_not():
    """The gradient is that of the two parts apart; which rows are meant is the first of the noise's order."""
    rows = batch(lengths=(12, 9, 12, 7, 5, 11), labels=(0, 1, 1, 0, 1, 0))
    half = Pgd(radius=0.5, step_size=0.3, steps=2, share=0.5)
    got, loss, cost = run(engine_of(adversary=half), rows)
    order = ScriptedNoise()("uniform", torch.zeros(6)).argsort()
    wanted, total = None, 0.0
    for part, adversary in ((order[:3], PGD), (order[3:], None)):
        engine = engine_of(adversary=adversary)
        total += float(engine.backward({name: value[part] for name, value in rows.items()}, examples=6))
        found = gradients(engine.model)
        wanted = found if wanted is None else {name: value + found[name] for name, value in wanted.items()}
        engine.close()
    assert distance(got, wanted) < 1e-12
    assert loss == pytest.approx(total, abs=1e-12)
    assert cost.units == pytest.approx((8 + 3) / 2)
    everybody, _, _ = run(engine_of(adversary=PGD), rows)
    assert distance(got, everybody) > 1e-6


def test_a_share_is_at_least_one_row_and_another_one_every_time():
    engine = Engine(tiny("bert"), adversary=Pgd(share=0.01))
    rows = batch(lengths=(12, 9, 12, 7, 5, 11), labels=(0, 1, 1, 0, 1, 0))
    seen = []
    for _ in range(20):
        chosen, rest = engine._choose_rows(rows, 0.01)
        assert len(chosen["labels"]) == 1
        assert len(rest["labels"]) == 5
        seen.append(tuple(chosen["input_ids"][0].tolist()))
    assert len(set(seen)) > 1
    engine.close()


def test_nonsense_is_refused():
    for field, value in (("share", 0.0), ("share", 1.5), ("every", 0)):
        with pytest.raises(InputError, match=f"adversary.{field}"):
            Pgd(**{field: value})


# synchronisation


class Synchronisations(TorchDispatchMode):
    """Counts operations that make the CPU wait for an accelerator: numbers read off a tensor, data-dependent shapes.

    Those inside the model are transformers' own: its masks ask once per forward whether there is any padding.
    """

    NAMES = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique", "_unique2", "equal")

    def __init__(self, model):
        super().__init__()
        self.found, self.inside = [], False
        model.register_forward_pre_hook(lambda *_: setattr(self, "inside", True))
        model.register_forward_hook(lambda *_: setattr(self, "inside", False), always_call=True)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in self.NAMES and not self.inside:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("inputs", ["none", "neftune"])
@pytest.mark.parametrize("name", ADVERSARIES)
def test_a_step_waits_for_the_device_only_to_look_at_its_losses(name, inputs, monkeypatch):
    """One number is read off a tensor before each backward into the weights, and no other, from the second step on.

    Whether a loss is finite must be known before it is back-propagated: a row with NaN would reach every weight.

    Adversaries in weight space read one on a CPU, where nobody waits: here they take themselves to be elsewhere.
    """
    monkeypatch.setattr(of_weights, "_on_cpu", lambda tensor: False)
    looks = []
    look = reduction.refuse_not_finite
    monkeypatch.setattr(reduction, "refuse_not_finite", lambda *args, **named: (looks.append(1), look(*args, **named)))
    objective = CrossEntropy() if name.startswith("rat") else RDrop()
    model = tiny("bert", dropout=0.1, dtype=torch.float32)
    average = make_average(Ema(), model)
    parts = {"inputs": INPUTS[inputs], "average": average, "special_ids": (BOS, EOS)}
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    with Engine(model, objective, ADVERSARIES[name], **parts) as engine:
        rows = batch()
        engine.backward(rows)
        looks.clear()
        with Synchronisations(model) as seen:
            engine.backward(rows)
            optimizer.step()
            average.update()
            optimizer.zero_grad()
            assert looks
            assert len(seen.found) == len(looks)
            engine.terms()
        assert len(seen.found) > len(looks), "reading the log must count, or this test sees nothing"
