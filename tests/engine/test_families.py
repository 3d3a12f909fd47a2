"""The engine computes what the naive loops compute, on every family, to 1e-9 in every gradient and in the loss."""

import pytest
import torch

from engine import naive, naive_slots
from engine.models import FAMILIES, ScriptedNoise, batch, checkpointing, distance, gradients, pin_dropout, tiny
from toughen import Fgm, Fgsm, FreeLb, GradientPenalty, Pgd, Rat, Smart, Vat
from toughen.engine.engine import Engine
from toughen.engine.objectives import CrossEntropy, RDrop

TOLERANCE = 1e-9
SMOOTHED = {"label_smoothing": 0.1, "class_weights": (0.7, 1.6)}
OBJECTIVES = {
    "cross-entropy": (CrossEntropy(**SMOOTHED), {"smoothing": 0.1, "weights": (0.7, 1.6)}),
    "rdrop": (RDrop(alpha=3.0, **SMOOTHED), {"smoothing": 0.1, "weights": (0.7, 1.6), "alpha": 3.0}),
}
BALL = {"radius": 0.25, "step_size": 0.15, "steps": 3}  # 3 * .15 > .25: the projection has work to do
LINF = {"radius": 0.02, "step_size": 0.012, "steps": 3, "norm": "linf"}
MADRY = {"start": "random", "clean": False}
LB = {"step_size": 0.1, "steps": 3, "start_size": 0.2}
VAT = {"radius": 0.3, "probe_size": 0.1}
BOX = {"radius": 0.04, "start_size": 0.01, "step_size": 0.03, "bregman": 0.0}

# name: (the product's adversary, the naive loop, the settings that both understand)
EXAMPLE = {
    "fgm": (Fgm, naive.fgm, {"radius": 0.2}),
    "fgm-task": (Fgm, naive.fgm, {"radius": 0.2, "loss": "task", "weight": 0.5}),
    "fgsm": (Fgsm, naive.fgsm, {"radius": 0.01}),
    "pgd": (Pgd, naive.pgd, BALL),
    "pgd-full": (Pgd, naive.pgd, BALL | {"search_loss": "objective"}),
    "pgd-task": (Pgd, naive.pgd, BALL | {"loss": "task", "weight": 0.7}),
    "pgd-madry": (Pgd, naive.pgd, BALL | MADRY),
    "pgd-random": (Pgd, naive.pgd, BALL | {"start": "random"}),
    "pgd-last-only": (Pgd, naive.pgd, BALL | {"clean": False, "search_loss": "objective"}),
    "pgd-linf": (Pgd, naive.pgd, LINF),
    "pgd-linf-madry": (Pgd, naive.pgd, LINF | MADRY),
    "freelb": (FreeLb, naive.freelb, LB | {"radius": 0.22}),
    "freelb-no-ball": (FreeLb, naive.freelb, LB | {"radius": 0.0}),
    "freelb-linf": (FreeLb, naive.freelb, LINF | {"radius": 0.03, "step_size": 0.02, "start_size": 0.02}),
    "vat": (Vat, naive.vat, VAT),
    "vat-2": (Vat, naive.vat, VAT | {"steps": 2, "weight": 0.5}),
    "smart": (Smart, naive_slots.smart, BOX),
    "smart-2": (Smart, naive_slots.smart, BOX | {"steps": 2, "weight": 3.0}),
    "rat": (Rat, naive_slots.rat, {"radius": 0.4, "alpha": 2.0}),
    "rat-detached": (Rat, naive_slots.rat, {"radius": 0.4, "alpha": 2.0, "detached": True}),
    "gradient-penalty": (GradientPenalty, naive_slots.gradient_penalty, {"radius": 0.5}),
}  # fmt: skip
VOCABULARY = {
    "fgm": (Fgm, naive.fgm_table, {"radius": 0.5}),
    "fgm-task": (Fgm, naive.fgm_table, {"radius": 0.5, "loss": "task"}),
    "fgsm": (Fgsm, naive.fgsm_table, {"radius": 0.01}),
    "pgd": (Pgd, naive.pgd_table, BALL),
    "pgd-full": (Pgd, naive.pgd_table, BALL | {"search_loss": "objective"}),
    "pgd-madry": (Pgd, naive.pgd_table, BALL | MADRY),
    "pgd-linf": (Pgd, naive.pgd_table, LINF),
    "pgd-linf-madry": (Pgd, naive.pgd_table, LINF | MADRY),
}
CASES = [("example", name, *case) for name, case in EXAMPLE.items()]
CASES += [("vocabulary", name, *case) for name, case in VOCABULARY.items()]
# R-AT is an R-Drop of its own
PAIRED = [(objective, *case) for case in CASES for objective in OBJECTIVES if (objective, case[2]) != ("rdrop", Rat)]
every_case = pytest.mark.parametrize(
    ("objective", "scope", "name", "kind", "recipe", "settings"), PAIRED, ids=["-".join(c[:3]) for c in PAIRED]
)


def engine_result(model, rows, objective, adversary, **settings):
    """Return (loss, gradients) of one `engine.backward` on a model without gradients."""
    model.zero_grad()
    with Engine(model, objective, adversary, noise=ScriptedNoise(), **settings) as engine:
        loss = float(engine.backward(rows))
    return loss, gradients(model)


def naive_result(model, rows, recipe, settings, **loop):
    """Return (loss, gradients) of a naive loop on a model without gradients."""
    model.zero_grad()
    loss = float(recipe(naive.Loop(model, rows, noise=ScriptedNoise(), **loop), **settings))
    return loss, gradients(model)


def assert_agree(ours, theirs, canary=None, tolerance=TOLERANCE):
    """Loss and gradients equal the naive loop's, which differ from those of the same loop without perturbation."""
    assert ours[0] == pytest.approx(theirs[0], rel=0, abs=tolerance)
    assert distance(ours[1], theirs[1]) < tolerance
    if canary is not None:
        assert distance(ours[1], canary[1]) > 1e-6


def model_for(family, objective, rows, **settings):
    model = tiny(family, **settings)
    return model, pin_dropout(model, rows) if objective == "rdrop" else None


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objective_alone_equals_the_naive_loop(family, objective):
    ours, theirs = OBJECTIVES[objective]
    model, pin = model_for(family, objective, 4)
    rows = batch(family)
    got = engine_result(model, rows, ours, None)
    assert_agree(got, naive_result(model, rows, naive.plain, {}, pin=pin, **theirs))
    for without in ("smoothing", "weights", "alpha"):
        if without in theirs:
            other = {key: value for key, value in theirs.items() if key != without}
            assert distance(got[1], naive_result(model, rows, naive.plain, {}, pin=pin, **other)[1]) > 1e-6


@pytest.mark.parametrize("family", FAMILIES)
@every_case
def test_adversary_equals_the_naive_loop(family, objective, scope, name, kind, recipe, settings):
    """Right padding, uneven lengths, words shared between rows; canary: the same loop with delta = 0."""
    ours, theirs = OBJECTIVES[objective]
    model, pin = model_for(family, objective, 4)
    rows = batch(family)
    extra = {} if scope == "example" else {"scope": "vocabulary"}
    got = engine_result(model, rows, ours, kind(radius_unit="absolute", **settings, **extra))
    want = naive_result(model, rows, recipe, settings, pin=pin, **theirs)
    assert_agree(got, want, canary=naive_result(model, rows, recipe, settings, pin=pin, still=True, **theirs))


@pytest.mark.parametrize("family", [f for f in FAMILIES if f in naive.SITES])
@pytest.mark.parametrize("name", ["fgm", "pgd-madry", "freelb", "vat", "smart", "rat", "gradient-penalty"])
def test_layer_site_equals_a_hook_on_that_layer(family, name):
    """`site: layer 1` perturbs the output of the first encoder layer, in units of the embedding table's mean row."""
    kind, recipe, settings = EXAMPLE[name]
    model, rows = tiny(family), batch(family)
    adversary = kind(site="layer 1", radius_unit="relative", **settings)
    site = naive.SITES[family](model)[0]
    got = engine_result(model, rows, CrossEntropy(), adversary)
    assert_agree(got, naive_result(model, rows, recipe, settings, site=site, relative=True))
    other = naive_result(model, rows, recipe, settings, site=naive.SITES[family](model)[1], relative=True)
    assert distance(got[1], other[1]) > 1e-6


@every_case
def test_real_dropout_is_fresh_in_each_pass_but_vats_and_smarts(objective, scope, name, kind, recipe, settings):
    """From the same generator state the passes run in the naive loop's order and draw its masks; two repeat one."""
    ours, theirs = OBJECTIVES[objective]
    model, rows = tiny("bert", dropout=0.2), batch()
    extra = {} if scope == "example" else {"scope": "vocabulary"}
    torch.manual_seed(5)
    got = engine_result(model, rows, ours, kind(radius_unit="absolute", **settings, **extra))
    frozen = {"frozen": True} if kind in (Vat, Smart) else {}
    torch.manual_seed(5)
    want = naive_result(model, rows, recipe, settings | frozen, merged=True, **theirs)
    assert_agree(got, want)
    torch.manual_seed(6)
    assert distance(got[1], naive_result(model, rows, recipe, settings | frozen, merged=True, **theirs)[1]) > 1e-6


@pytest.mark.parametrize("name", EXAMPLE)
def test_relative_radius_is_in_units_of_the_mean_embedding_row(name):
    kind, recipe, settings = EXAMPLE[name]
    model, rows = tiny("electra"), batch()
    got = engine_result(model, rows, CrossEntropy(), kind(**settings))
    assert_agree(got, naive_result(model, rows, recipe, settings, relative=True))
    assert distance(got[1], naive_result(model, rows, recipe, settings)[1]) > 1e-7


@pytest.mark.parametrize(
    ("scope", "name"),
    [("example", name) for name in ("fgm", "pgd-madry", "pgd-linf", "freelb", "vat")]
    + [("example", name) for name in ("smart", "rat", "gradient-penalty")]
    + [("vocabulary", name) for name in ("fgm", "pgd-madry", "pgd-linf")],
)
def test_special_tokens_can_be_left_alone(scope, name):
    """With special_tokens: false the naive loop's mask also leaves out [CLS] and [SEP], in its norms too."""
    kind, recipe, settings = (EXAMPLE if scope == "example" else VOCABULARY)[name]
    model, rows = tiny("bert"), batch()
    extra = {} if scope == "example" else {"scope": "vocabulary"}
    adversary = kind(radius_unit="absolute", special_tokens=False, **settings, **extra)
    got = engine_result(model, rows, CrossEntropy(), adversary, special_ids=(2, 3))
    want = naive_result(model, rows, recipe, settings, special=(2, 3))
    assert_agree(got, want, canary=naive_result(model, rows, recipe, settings))


@pytest.mark.parametrize("name", EXAMPLE)
def test_left_padding_works(name):
    """RoBERTa numbers its positions from the ids, so `inputs_embeds` would change them; the hook does not."""
    kind, recipe, settings = EXAMPLE[name]
    model, rows = tiny("roberta"), batch("roberta", left=True)
    got = engine_result(model, rows, CrossEntropy(), kind(radius_unit="absolute", **settings))
    want = naive_result(model, rows, recipe, settings)
    assert_agree(got, want, canary=naive_result(model, rows, recipe, settings, still=True))


@pytest.mark.parametrize("name", EXAMPLE)
def test_gpt2_without_a_padding_token_works_one_row_at_a_time(name):
    kind, recipe, settings = EXAMPLE[name]
    model, rows = tiny("gpt2", pad_token_id=None), batch("gpt2", lengths=(6,), labels=(1,))
    got = engine_result(model, rows, CrossEntropy(), kind(radius_unit="absolute", **settings))
    want = naive_result(model, rows, recipe, settings)
    assert_agree(got, want, canary=naive_result(model, rows, recipe, settings, still=True))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["fgm", "pgd-madry", "freelb", "vat", "smart", "rat", "gradient-penalty"])
def test_frozen_embeddings_can_still_be_perturbed(family, name):
    """Where the table needs no gradient, delta is the only leaf below the encoder; the table keeps `.grad is None`."""
    kind, recipe, settings = EXAMPLE[name]
    model, rows = tiny(family), batch(family)
    for parameter in model.get_input_embeddings().parameters():
        parameter.requires_grad_(False)
    got = engine_result(model, rows, CrossEntropy(), kind(radius_unit="absolute", **settings))
    assert model.get_input_embeddings().weight.grad is None
    want = naive_result(model, rows, recipe, settings)
    assert_agree(got, want, canary=naive_result(model, rows, recipe, settings, still=True))


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "modernbert", "gpt2"])
@pytest.mark.parametrize("name", ["fgm", "pgd", "freelb", "vat", "smart", "rat"])
def test_gradient_checkpointing_changes_nothing(family, name):
    """Non-reentrant checkpointing recomputes the layers in the backward; hook, delta and gradients stay the same."""
    kind, _, settings = EXAMPLE[name]
    model, rows = tiny(family), batch(family)
    adversary = kind(radius_unit="absolute", **settings)
    without = engine_result(model, rows, CrossEntropy(), adversary)
    runs = []
    inner = next(m for m in naive.SITES[family](model)[0].modules() if hasattr(m, "weight"))
    inner.register_forward_pre_hook(lambda *_: runs.append(1))
    checkpointing(model, use_reentrant=False)
    checkpointed = engine_result(model, rows, CrossEntropy(), adversary)
    with_recomputation = len(runs)
    checkpointing(model, on=False)
    engine_result(model, rows, CrossEntropy(), adversary)
    assert with_recomputation > len(runs) - with_recomputation, "checkpointing was not active"
    assert_agree(checkpointed, without)


@pytest.mark.parametrize(
    ("objective", "name"),
    [("cross-entropy", name) for name in ("vat", "smart", "rat")]
    + [("rdrop", name) for name in ("vat", "freelb", "pgd", "smart")],
)
def test_unlabelled_rows_enter_only_the_terms_without_labels(objective, name):
    """With VAT or R-Drop the task loss is a mean over the labelled rows, every label-free term a mean over all."""
    ours, theirs = OBJECTIVES[objective]
    kind, recipe, settings = EXAMPLE[name]
    model, pin = model_for("bert", objective, 4)
    rows = batch(labels=(0, -100, 1, -100))
    adversary = kind(radius_unit="absolute", **settings)
    got = engine_result(model, rows, ours, adversary)
    assert_agree(got, naive_result(model, rows, recipe, settings, pin=pin, **theirs))
    labelled = {key: value[[0, 2]] for key, value in rows.items()}
    if pin is not None:
        pin.rows = 2
    assert distance(got[1], engine_result(model, labelled, ours, adversary)[1]) > 1e-6


@pytest.mark.parametrize("name", ["fgm", "pgd-madry", "freelb", "gradient-penalty"])
def test_unlabelled_rows_are_as_good_as_absent_where_every_term_needs_a_label(name):
    """The mean, and the gradient penalty's too, is one over the labelled rows."""
    kind, recipe, settings = EXAMPLE[name]
    model, rows = tiny("bert"), batch(labels=(0, -100, 1, -100))
    by_row = {"noise": lambda kind, like: ScriptedNoise()(kind, like[:1]).expand_as(like)}
    adversary, results = kind(radius_unit="absolute", **settings), []
    for some in (rows, {key: value[[0, 2]] for key, value in rows.items()}, batch()):
        model.zero_grad()
        with Engine(model, OBJECTIVES["cross-entropy"][0], adversary, **by_row) as engine:
            results.append((float(engine.backward(some)), gradients(model)))
    assert_agree(results[0], results[1], canary=results[2])
    got = engine_result(model, rows, OBJECTIVES["cross-entropy"][0], adversary)
    assert_agree(got, naive_result(model, rows, recipe, settings, **OBJECTIVES["cross-entropy"][1]))
