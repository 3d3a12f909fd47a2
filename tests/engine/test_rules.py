"""The rules of SPEC 0, each for every adversary: where delta may be, whom it depends on, what a step leaves behind."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.models import (
    ScriptedNoise,
    ToyLinear,
    batch,
    distance,
    gradients,
    pin_dropout,
    tiny,
    toy_batch,
)
from engine.perturbed import ABSOLUTE, ALL, SMALL, TABLE, deltas, perturbations
from toughen import Asam, Awp, Fgm, Fgsm, FreeLb, GradientPenalty, Pgd, Rat, Sam, Smart, Vat
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.engine.objectives import RDrop
from toughen.engine.weight_average import make_average
from toughen.errors import InputError

PASSES = {"fgm": 2, "fgsm": 2, "pgd": 4, "pgd-madry": 4, "pgd-linf": 4, "freelb": 3, "freelb-linf": 3, "vat": 3}
PASSES |= {"smart": 3}


def assert_close(got, want, tolerance=1e-9):
    assert got == pytest.approx(want, rel=0, abs=tolerance)


def by_position(kind, like):
    """Noise that depends on position and coordinate alone, not on the rows or the padding of the batch."""
    noise = ScriptedNoise()(kind, torch.empty(12, like.shape[-1], dtype=like.dtype))
    return noise[: like.shape[-2]].expand_as(like)


# rules of SPEC 0


@pytest.mark.parametrize("objective", ["cross-entropy", "rdrop"])
@pytest.mark.parametrize("name", ALL)
def test_delta_is_exactly_zero_on_padding(name, objective):
    """In every pass of the step, also for random starts; R-Drop's doubled batch gets the same delta twice."""
    model, rows = tiny("bert"), batch()
    if objective == "rdrop":
        pin_dropout(model, 4)
    seen = perturbations(model, rows, ALL[name], RDrop() if objective == "rdrop" else None)
    padding = rows["attention_mask"] == 0
    for delta in seen:
        for copy in delta.split(4):
            assert (copy[padding] == 0).all()
            assert torch.equal(copy, delta[:4])
    assert (seen[-1][:4].norm(dim=(1, 2)) > 1e-3).all()


@pytest.mark.parametrize("name", ALL)
def test_special_tokens_stay_unperturbed_on_request(name):
    model, rows = tiny("bert"), batch(lengths=(7, 4, 5, 3))
    special = (rows["input_ids"] == 2) | (rows["input_ids"] == 3)
    alone = perturbations(model, rows, replace(ALL[name], special_tokens=False), special_ids=(2, 3))
    for delta in alone:
        assert (delta[special] == 0).all()
    assert (alone[-1].norm(dim=(1, 2)) > 1e-4).all()
    assert (perturbations(model, rows, ALL[name])[-1][special].norm(dim=-1) > 0).all()


def test_special_tokens_cannot_be_left_alone_unnamed():
    with pytest.raises(InputError, match="special_ids"):
        Engine(tiny("bert"), adversary=Fgm(special_tokens=False))


@pytest.mark.parametrize("name", ALL)
def test_a_zero_gradient_moves_nothing_and_is_not_nan(name):
    """A head of zeros passes no gradient down: delta stays at its start."""
    model, rows = tiny("bert"), batch()
    with torch.no_grad():
        model.classifier.weight.zero_()
    seen = perturbations(model, rows, ALL[name])
    assert all(delta.isfinite().all() for delta in seen)
    if name in ("fgm", "fgsm", "pgd", "vat", "fgm-table", "pgd-table"):
        assert (seen[-1] == 0).all()
    else:
        assert torch.equal(seen[-1], next(d for d in seen if d.any()))
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("poison", [float("inf"), float("nan")])
@pytest.mark.parametrize("name", SMALL)
def test_an_example_with_a_gradient_that_is_not_finite_gets_delta_zero(name, poison):
    """Row 1's gradient overflows in every pass; the other rows keep exactly the delta they have without it."""
    rows = batch()
    healthy = perturbations(tiny("bert"), rows, SMALL[name])[-1]
    model = tiny("bert")
    bad = torch.zeros(4, 7, 32, dtype=torch.float64)
    bad[1, 2, 3] = poison

    def overflow(_module, _inputs, output):
        if output.requires_grad:
            output.register_hook(lambda g: g + bad)

    with Engine(model, adversary=SMALL[name], noise=ScriptedNoise()) as engine, deltas(model) as seen:
        model.get_input_embeddings().register_forward_hook(overflow)
        engine.backward(rows)
    assert (seen[-1][1] == 0).all()
    others = [0, 2, 3]
    assert torch.allclose(seen[-1][others], healthy[others], rtol=0, atol=1e-12)
    assert (healthy[1] != 0).any()


@pytest.mark.parametrize("name", SMALL)
def test_delta_of_a_row_depends_on_that_row_alone(name):
    """Neither the other rows nor the padding length change it (the vocabulary scope is exempt: its norm spans all)."""
    model, rows = tiny("bert"), batch()
    full = perturbations(model, rows, SMALL[name], noise=by_position)[-1]
    longer = perturbations(model, batch(total=12), SMALL[name], noise=by_position)[-1]
    assert torch.allclose(longer[:, :7], full, rtol=0, atol=1e-10)
    for i in range(4):
        one = {key: value[i : i + 1] for key, value in rows.items()}
        alone = perturbations(model, one, SMALL[name], noise=by_position)[-1]
        assert torch.allclose(alone[0], full[i], rtol=0, atol=1e-10)


def test_norms_fill_the_ball_per_example_or_per_table():
    model, rows = tiny("bert"), batch()
    last = {name: perturbations(model, rows, ALL[name])[-1] for name in ALL}
    for name, radius in {"fgm": 0.3, "vat": 0.3, "pgd": 0.25}.items():
        assert_close(last[name].norm(dim=(1, 2)).tolist(), [radius] * 4)
    assert_close(last["fgsm"].abs().amax((1, 2)).tolist(), [0.02] * 4, 1e-12)
    assert (last["pgd-linf"].abs() <= 0.02 + 1e-15).all()
    assert (last["freelb-linf"].abs() <= 0.02 + 1e-15).all()
    ids = rows["input_ids"]
    for name, radius in {"fgm-table": 0.3, "pgd-table": 0.25}.items():
        rows_of_table = {int(i): d for i, d in zip(ids.flatten(), last[name].flatten(0, 1), strict=True)}
        assert_close(float(torch.stack(list(rows_of_table.values())).norm()), radius)


@pytest.mark.parametrize("name", TABLE)
def test_vocabulary_scope_shares_one_row_per_word(name):
    model, rows = tiny("gpt2"), batch("gpt2")
    delta, ids = perturbations(model, rows, TABLE[name])[-1], rows["input_ids"]
    recurring = [i for i in ids.unique().tolist() if ((ids == i) & (rows["attention_mask"] == 1)).sum() > 1]
    assert recurring
    for i in recurring:
        here = delta[(ids == i) & (rows["attention_mask"] == 1)]
        assert torch.equal(here, here[:1].expand_as(here))
        assert here.any()


@pytest.mark.parametrize(("family", "padding"), [("bert", 0), ("roberta", 1)])
@pytest.mark.parametrize("name", TABLE)
def test_the_padding_row_never_moves_in_vocabulary_scope(name, family, padding):
    """Even where the text itself holds the padding word; GPT-2's table has no such row and moves it."""
    for model_family, moves in ((family, False), ("gpt2", True)):
        model, rows = tiny(model_family, pad_token_id=padding), batch(model_family)
        rows["input_ids"][0, 2] = padding
        delta = perturbations(model, rows, TABLE[name])[-1]
        assert delta[0, 2].any() == moves
        assert delta[0, 1].any()


# the step around them


@pytest.mark.parametrize("name", ALL)
def test_the_number_of_passes_is_the_published_one(name):
    model, runs = tiny("bert"), []
    model.register_forward_hook(lambda *_: runs.append(1))
    with Engine(model, adversary=ALL[name]) as engine:
        engine.backward(batch())
    assert len(runs) == PASSES[name.replace("-table", "")]


COSTS = [(None, 3), (Fgm(), 6), (Fgsm(), 6), (Pgd(steps=3), 10), (FreeLb(steps=3), 9), (Vat(), 8)]
COSTS += [(Smart(bregman=0.0), 8), (Smart(), 9), (Smart(steps=3), 13), (Rat(), 7), (Rat(detached=True), 6)]
COSTS += [(GradientPenalty(), 6), (Sam(), 6), (Asam(), 6), (Awp(), 6), (Awp(clean=False), 6)]


def counted(adversary, objective=None):
    """Return the engine's units and torch's count of floating-point operations of one step, without attention's own."""
    model = tiny("bert", dtype=torch.float32, dropout=0.1 if objective else 0.0)
    model.set_attn_implementation("eager")  # the fused kernels recompute in their backward
    with Engine(model, objective, adversary, average=make_average(Ema(), model)) as engine:
        with FlopCounterMode(display=False) as flops:
            engine.backward(batch())
        return engine.cost.units, flops.get_total_flops()


@pytest.mark.parametrize(("adversary", "units"), COSTS)
def test_the_cost_of_a_step_is_the_published_one(adversary, units):
    """Forward 1, backward 2, backward to delta alone 1: plain 3; torch's own count agrees (penalty: within 3 %)."""
    one = counted(None)[1] / 3
    found, flops = counted(adversary)
    assert found == units
    assert flops / one == pytest.approx(units, rel=0.03)


def test_the_cost_of_rdrop_counts_both_copies():
    """Twice everything; SMART and VAT need a pass over one copy more."""
    plain = counted(None)[1] / 3
    for adversary, units in ((None, 6), (Fgm(), 12), (GradientPenalty(), 12), (Sam(), 12), (Smart(bregman=0.0), 14)):
        found, flops = counted(adversary, RDrop())
        assert found == units
        assert flops / plain == pytest.approx(units, rel=0.03)


@pytest.mark.parametrize(("search", "units"), [("objective", 20), ("task", 16)])
def test_the_cost_of_rdrop_and_pgd_depends_on_what_the_search_climbs(search, units):
    """R-Drop alone 6; with PGD-3 around it 20, or 16 with search passes on the task loss of one copy."""
    for adversary, expected in ((None, 6), (Pgd(steps=3, search_loss=search), units)):
        with Engine(tiny("bert", dropout=0.1), RDrop(), adversary) as engine:
            engine.backward(batch())
            assert engine.cost.units == expected


@pytest.mark.parametrize("name", ["pgd-madry", "pgd-linf", "pgd-table-madry"])
def test_search_passes_leave_parameter_gradients_alone(name):
    """Without a clean pass every gradient is still None when the last, teaching pass begins."""
    model, untouched = tiny("bert"), []
    model.register_forward_pre_hook(lambda *_: untouched.append(all(p.grad is None for p in model.parameters())))
    with Engine(model, adversary=ALL[name]) as engine:
        engine.backward(batch())
    assert untouched == [True] * 4
    assert any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", ALL)
def test_no_weight_is_written_and_closing_removes_every_hook(name):
    model, rows = tiny("bert"), batch()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    clean = model(**rows).logits
    with Engine(model, adversary=ALL[name]) as engine:
        engine.backward(rows)
        assert torch.equal(model(**rows).logits, clean)  # outside a step the hook adds nothing
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_an_exception_in_a_pass_leaves_no_delta_behind():
    model, rows = tiny("bert"), batch()
    clean = model(**rows).logits
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")

    with Engine(model, adversary=Fgm(radius=0.5, **ABSOLUTE)) as engine:
        handle = model.classifier.register_forward_hook(fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            engine.backward(rows)
        handle.remove()
        assert torch.equal(model(**rows).logits, clean)


@pytest.mark.parametrize("name", ALL)
def test_the_adversary_waits_for_its_start_step(name):
    model, rows = tiny("bert"), batch()
    adversary = replace(ALL[name], start_step=2)
    with Engine(model, adversary=adversary, noise=ScriptedNoise()) as engine, deltas(model) as seen:
        engine.backward(rows, sync=False, examples=8)
        engine.backward(rows, examples=8)  # one optimiser step of two micro-batches
        engine.backward(rows)
        assert len(seen) == 3
        assert not any(delta.any() for delta in seen)
        engine.backward(rows)
        assert seen[-1].any()


@pytest.mark.parametrize("objective", ["cross-entropy", "rdrop"])
@pytest.mark.parametrize("name", SMALL)
def test_accumulated_micro_batches_equal_one_batch(name, objective):
    """`examples` alone is enough: 3 + 1 rows with examples=4 add up to the batch of 4, in loss and gradient."""

    model, rows = tiny("bert"), batch()
    pin = pin_dropout(model, 4) if objective == "rdrop" else None
    results = []
    for parts in ((slice(0, 4),), (slice(0, 3), slice(3, 4))):
        model.zero_grad()
        loss = 0.0
        with Engine(model, RDrop() if pin else None, ALL[name], noise=by_position) as engine:
            for part in parts:
                if pin:
                    pin.rows = part.stop - part.start
                micro = {key: value[part] for key, value in rows.items()}
                loss += float(engine.backward(micro, examples=4, sync=part is parts[-1]))
        results.append((loss, gradients(model)))
    assert_close(results[0][0], results[1][0], 1e-9)
    assert distance(results[0][1], results[1][1]) < 1e-9
    assert max(float(g.abs().max()) for g in results[0][1].values()) > 1e-3


# not pgd-table-madry: its random start is drawn per word of the micro-batch, so another batch has another start
@pytest.mark.parametrize("name", [*SMALL, "fgm-table", "pgd-table"])
def test_a_row_of_weight_zero_is_as_good_as_absent(name):
    """accelerate repeats rows to even out ranks; weight 0 keeps them out of loss, gradient and perturbation."""

    model, rows = tiny("bert"), batch()
    results = []
    for case in (rows | {"weight": torch.tensor([1.0, 1.0, 1.0, 0.0])}, {key: v[:3] for key, v in rows.items()}):
        model.zero_grad()
        with Engine(model, adversary=ALL[name], noise=by_position) as engine:
            results.append((float(engine.backward(case)), gradients(model)))
    assert_close(results[0][0], results[1][0])
    assert distance(results[0][1], results[1][1]) < 1e-9


@pytest.mark.parametrize("objective", ["cross-entropy", "rdrop"])
@pytest.mark.parametrize("name", ALL)
def test_logged_terms_add_up_to_the_loss(name, objective):
    model = tiny("bert", dropout=0.2 if objective == "rdrop" else 0.0)
    with Engine(model, RDrop() if objective == "rdrop" else None, ALL[name]) as engine:
        loss = float(engine.backward(batch()))
        terms = engine.terms()
    assert sum(terms.get(key, 0.0) for key in ("task", "rdrop", "adversarial")) == pytest.approx(loss, abs=1e-9)
    assert terms["adversarial"] > 0
    assert terms["perturbation_norm"] > 0
    assert ("task" in terms) == (not name.startswith("freelb") and "madry" not in name and name != "pgd-linf")


def test_random_starts_come_from_torchs_generator_by_default():
    """The same seed gives the same perturbation, another seed another one."""
    model, rows, seen = tiny("bert"), batch(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        with Engine(model, adversary=SMALL["freelb"]) as engine, deltas(model) as here:
            engine.backward(rows)
        seen.append(here[0])
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


@pytest.mark.parametrize("name", ALL)
def test_delta_stays_float32_with_half_precision_weights(name):
    """And the gradients that it leaves are finite and not the clean ones."""
    kinds = []

    def noise(kind, like):
        kinds.append(like.dtype)
        return ScriptedNoise()(kind, like)

    model = tiny("bert", dtype=torch.bfloat16)
    with Engine(model, adversary=ALL[name], noise=noise) as engine:
        assert engine.site.dtype == torch.float32
        engine.backward(batch())
        assert engine.terms()["perturbation_norm"] > 1e-3
    assert set(kinds) <= {torch.float32}
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("examples", [1.0, 1000.0])
def test_accumulation_does_not_shrink_the_step_of_a_confident_example(examples):
    """|g| = 2.7e-7: divided by 1,000 examples it would fall under the 1e-8 guard and delta short of its radius."""
    model = ToyLinear()
    model.w.data = torch.tensor([18.0, 0.0], dtype=torch.float64)
    with Engine(model, adversary=Fgm(radius=0.1, **ABSOLUTE)) as engine, deltas(model) as seen:
        engine.backward(toy_batch(), examples=examples)
    assert_close(seen[-1].flatten().tolist(), [-0.1, 0.0], 1e-12)
