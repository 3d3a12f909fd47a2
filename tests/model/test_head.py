"""Pooling heads over any encoder, and layers that start afresh or stand still."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from engine import naive
from engine.models import PAD, batch, checkpointing, distance, gradients, tiny
from huggingface.trials import checkpoints, run, weights
from toughen import Fgm, Pgd
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.engine.weight_average import make_average
from toughen.errors import InputError
from toughen.model.head import Head, PooledForSequenceClassification, apply_head, check_head, encoder_layers, pooled
from toughen.recipe.recipe import Recipe

FAMILIES = ("bert", "roberta", "distilbert", "deberta", "gpt2", "electra", "albert", "modernbert")
DEPTH = {"distilbert": "n_layers", "gpt2": "n_layer"}
"""What the configs of some families call the number of layers."""
PAIRS = [(f, p) for f in FAMILIES for p in ("cls", "mean", "attention") if (f, p) != ("gpt2", "cls")]
PAIRS += [(f, "last4") for f in ("bert", "roberta", "distilbert", "deberta", "electra", "albert")]


def model_of(family, pooling, *, labels=2, dtype=torch.float64, dropout=0.0, **settings):
    """Return a pooled model on a tiny encoder, in training mode; 4 layers where the pooling needs them."""
    if pooling == "last4":
        settings[DEPTH.get(family, "num_hidden_layers")] = 4
    encoder = tiny(family, dtype=dtype, dropout=dropout, **settings).base_model
    torch.manual_seed(3)
    made = pooled(encoder, Head(pooling=pooling, dropout=dropout), num_labels=labels).to(dtype)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not name.startswith("backbone."):
                parameter.normal_(std=0.3)
    return made.train()


def inputs_of(rows):
    return {name: value for name, value in rows.items() if name != "labels"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"dropout": 1.0}, "head.dropout"),
        ({"lr_multiplier": 0.0}, "head.lr_multiplier"),
        ({"reinit_layers": -1}, "head.reinit_layers"),
        ({"freeze_layers": -2}, "head.freeze_layers"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, named):
    with pytest.raises(InputError, match=f"^{named} must"):
        Head(**settings)


def test_the_slots_can_be_declared_without_torch():
    """The recipe module imports both dataclasses; neither may import what is heavy."""
    code = "import sys, toughen.model.head_config, toughen.model.lora_config; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- what a pooled model computes


@pytest.mark.parametrize("pooling", ["cls", "mean", "attention", "last4"])
@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@torch.no_grad()
def test_the_pooling_is_its_formula(pooling, left):
    """Each text's vector, recomputed text by text from the encoder's states at its own tokens."""
    model, rows = model_of("bert", pooling).eval(), batch(left=left)
    states = model.backbone(**inputs_of(rows), output_hidden_states=True).hidden_states
    vectors = []
    for i, mask in enumerate(rows["attention_mask"].bool()):
        tokens = states[-1][i][mask]
        if pooling == "cls":
            vectors.append(tokens[0])
        elif pooling == "last4":
            vectors.append(torch.cat([states[k][i][mask][0] for k in (-4, -3, -2, -1)]))
        elif pooling == "mean":
            vectors.append(tokens.mean(0))
        else:
            first, _, second = model.pool.scorer
            shares = second(torch.tanh(first(tokens))).squeeze(-1).exp()
            vectors.append((shares / shares.sum()) @ tokens)
    logits = model(**inputs_of(rows)).logits
    assert float((logits - model.classifier(torch.stack(vectors))).abs().max()) < 1e-12
    assert float((logits - model.classifier(torch.stack(vectors).roll(1, 0))).abs().max()) > 1e-6, "canary"


@pytest.mark.parametrize("pooling", ["cls", "mean", "attention", "last4"])
@torch.no_grad()
def test_padding_counts_for_nothing_on_either_side(pooling):
    """RoBERTa counts positions from the first token: more padding, or padding on the left, gives the same logits."""
    model = model_of("roberta", pooling).eval()
    want = model(**inputs_of(batch("roberta"))).logits
    for other in (batch("roberta", total=12), batch("roberta", left=True), batch("roberta", left=True, total=11)):
        assert float((model(**inputs_of(other)).logits - want).abs().max()) < 1e-12
    unmasked = {"input_ids": batch("roberta", total=12)["input_ids"]}
    assert PAD["roberta"] in unmasked["input_ids"]
    if pooling in ("mean", "attention"):
        assert float((model(**unmasked).logits - want).abs().max()) > 1e-6, "canary: the mask decides"


@pytest.mark.parametrize(("family", "pooling"), PAIRS)
def test_saved_and_loaded_is_bitwise_the_same(family, pooling, tmp_path):
    """The folder alone gives the model back: class, labels, pooling, dropout and every weight."""
    model = model_of(family, pooling, labels=3, dtype=torch.float32).eval()
    model.config.toughen = {"task": "single-label"}
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(again) is PooledForSequenceClassification
    assert distance(weights(again), weights(model)) == 0
    rows = batch(family, labels=(0, 1, 2, 0))
    first, second = model(**rows), again.eval()(**rows)
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(first.loss, second.loss)
    config = AutoConfig.from_pretrained(tmp_path)
    assert (config.num_labels, config.pooling, config.toughen) == (3, pooling, {"task": "single-label"})
    assert (config.num_hidden_layers, config.hidden_size) == (model.config.num_hidden_layers, 32)


@pytest.mark.parametrize("family", ["bert", "gpt2", "deberta"])
def test_the_encoder_keeps_its_pretrained_weights(family):
    """A new head draws nothing in the encoder, whose pooler (that no gradient would reach) is gone."""
    encoder = tiny(family, dtype=torch.float32).base_model
    before = {f"backbone.{name}": value for name, value in weights(encoder).items() if not name.startswith("pooler.")}
    model = pooled(encoder, Head(pooling="mean"), num_labels=2)
    after = {name: value for name, value in weights(model).items() if name.startswith("backbone.")}
    assert distance(before, after) == 0
    model(**batch(family)).loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_loss_is_that_of_the_problem_type():
    """Trainer's validation loss: cross-entropy, binary cross-entropy or squared error, by config.problem_type."""
    rows, several = batch(), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    numbers = torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=torch.float64)
    model = model_of("bert", "mean")
    logits = model(**inputs_of(rows)).logits
    cases = {
        "single_label_classification": (rows["labels"], nn.functional.cross_entropy(logits, rows["labels"])),
        "multi_label_classification": (
            several.double(),
            nn.functional.binary_cross_entropy_with_logits(logits, several.double()),
        ),
    }
    for problem, (labels, want) in cases.items():
        model.config.problem_type = problem
        assert torch.equal(model(**inputs_of(rows), labels=labels).loss, want)
    single = model_of("bert", "mean", labels=1)
    value = single(**inputs_of(rows), labels=numbers)
    assert torch.equal(value.loss, nn.functional.mse_loss(value.logits.squeeze(), numbers))
    assert isinstance(single(**inputs_of(rows), return_dict=False), tuple)


@pytest.mark.parametrize("pooling", ["attention", "last4"])
def test_gradient_checkpointing_computes_the_same(pooling):
    """Gradients agree with and without (no reentry); the layers did run twice."""
    found, calls = [], []
    for on in (False, True):
        model = model_of("bert", pooling)
        if on:
            checkpointing(model, use_reentrant=False)
        count = []
        inner = encoder_layers(model)[0].attention
        inner.register_forward_pre_hook(lambda *_, count=count: count.append(1))
        with Engine(model, adversary=Fgm(radius=0.4)) as engine:
            engine.backward(batch())
        found.append(gradients(model))
        calls.append(len(count))
    assert distance(*found) < 1e-12
    assert calls == [2, 4]


# ---- under an adversary


@pytest.mark.parametrize(("family", "pooling"), [("bert", "attention"), ("roberta", "last4"), ("gpt2", "mean")])
def test_an_adversary_perturbs_the_embeddings_through_the_wrapper(family, pooling):
    """FGM around a pooled model is the naive loop's to 1e-9."""
    model, rows = model_of(family, pooling), batch(family)
    naive.fgm(naive.Loop(model, rows), radius=0.4)
    want = gradients(model)
    model.zero_grad()
    with Engine(model, adversary=Fgm(radius=0.4, radius_unit="absolute")) as engine:
        engine.backward(rows)
    assert distance(gradients(model), want) < 1e-9
    model.zero_grad()
    with Engine(model) as engine:
        engine.backward(rows)
    assert distance(gradients(model), want) > 1e-4, "canary"


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta", "gpt2"])
def test_an_adversary_finds_the_layers_through_the_wrapper(family):
    model = model_of(family, "mean")
    found = []
    for site in ("embeddings", "layer 1", "layer 2"):
        with Engine(model, adversary=Fgm(radius=0.4, site=site)) as engine:
            engine.backward(batch(family))
        found.append(gradients(model))
        model.zero_grad()
    assert distance(found[0], found[1]) > 1e-6
    assert distance(found[1], found[2]) > 1e-6


# ---- refused


@pytest.mark.parametrize("pooling", ["cls", "last4"])
def test_the_first_token_of_a_decoder_is_refused(pooling):
    with pytest.raises(InputError, match=f"head.pooling {pooling} takes the first token, which in GPT2Model sees no"):
        pooled(tiny("gpt2", n_layer=4).base_model, Head(pooling=pooling), num_labels=2)


@pytest.mark.parametrize(
    ("family", "pooling", "task", "sentence"),
    [
        ("bert", "mean", "tokens", "head.pooling mean makes one vector of a whole text, but task tokens"),
        ("bart", "mean", "single-label", "head.pooling mean needs an encoder or a decoder alone, and bart is both"),
        ("bert", "last4", "regression", "head.pooling last4 needs 4 encoder layers, and bert has 2 here"),
    ],
)
def test_heads_that_cannot_be_are_refused(family, pooling, task, sentence):
    config = tiny(family).config
    with pytest.raises(InputError, match=f"^{sentence}"):
        check_head(Head(pooling=pooling), task, config)
    check_head(Head(pooling="model"), task, config)


# ---- dropout, fresh layers, frozen layers


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta", "electra", "albert"])
def test_the_models_own_head_takes_the_dropout(family, tmp_path):
    """All dropout outside the encoder has the value, none inside; a saved model keeps it."""
    model = tiny(family, dropout=0.1, dtype=torch.float32)
    apply_head(model, Head(dropout=0.3), seed=0)
    model.save_pretrained(tmp_path)
    for made in (model, AutoModelForSequenceClassification.from_pretrained(tmp_path)):
        inside = {id(m) for m in made.base_model.modules()}
        found = {id(m) in inside: set() for m in made.modules() if isinstance(m, nn.Dropout)}
        for module in made.modules():
            if isinstance(module, nn.Dropout):
                found[id(module) in inside].add(module.p)
        assert found == {False: {0.3}, True: {0.1}}


def test_dropout_is_refused_where_the_head_has_none():
    with pytest.raises(InputError, match="the head of GPT2ForSequenceClassification has no dropout"):
        apply_head(tiny("gpt2"), Head(dropout=0.1), seed=0)


def test_a_pooled_head_has_its_own_dropout_or_the_models():
    encoder = tiny("bert", dropout=0.2).base_model
    assert pooled(encoder, Head(pooling="mean", dropout=0.4), num_labels=2).dropout.p == 0.4
    encoder.config.classifier_dropout = None
    assert pooled(encoder, Head(pooling="mean"), num_labels=2).dropout.p == 0.2


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta", "gpt2", "modernbert"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["own head", "pooled"])
def test_reinit_changes_exactly_the_top_layers(family, wrapped):
    """Every weight of the top layer is another and seeded; every other weight is bitwise what it was."""
    ends = []
    for seed in (0, 0, 1):
        model = model_of(family, "mean") if wrapped else tiny(family)
        before, top = weights(model), encoder_layers(model)[-1]
        inside = {id(p) for p in top.parameters()}
        apply_head(model, Head(reinit_layers=1), seed=seed)
        changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert changed == {name for name, p in model.named_parameters() if id(p) in inside}
        ends.append({name: p.detach().clone() for name, p in top.named_parameters()})
    assert distance(ends[0], ends[1]) == 0
    assert distance(ends[0], ends[2]) > 0, "canary: the seed matters"


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta", "gpt2", "modernbert"])
@pytest.mark.parametrize("settings", [{"freeze_layers": 1}, {"freeze_embeddings": True}], ids=["layer", "embeddings"])
def test_frozen_weights_do_not_move_and_the_others_do(family, settings, tmp_path):
    """A run with FGM and EMA: what is frozen stays bitwise, all else moves, and the average holds what learns."""
    model = tiny(family, dtype=torch.float32)
    apply_head(model, Head(**settings), seed=0)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    table = model.get_input_embeddings().weight
    assert not table.requires_grad
    bottom = {id(p) for p in encoder_layers(model)[0].parameters()}
    layer = {name for name, p in model.named_parameters() if id(p) in bottom}
    assert layer <= frozen if settings == {"freeze_layers": 1} else not layer & frozen
    assert not any(p in name for name in frozen for p in ("classifier", "score"))
    before = weights(model)
    settings = {"adversary": Fgm(radius=0.4), "average": Ema(decay=0.5)}
    made = run(tmp_path, settings, model=model, save_strategy="steps", save_steps=4)
    moved = {name for name, value in weights(made.model).items() if not torch.equal(value, before[name])}
    assert not moved & frozen
    unused = {name for name, p in model.named_parameters() if p.grad is None}
    # A key's bias has no effect on a softmax, so that its gradient is rounding.
    assert {name for name in set(before) - frozen - unused - moved if ".key.bias" not in name} == set()


def test_freezing_and_reinitialising_need_layers_to_count():
    with pytest.raises(InputError, match="AlbertForSequenceClassification has not"):
        apply_head(tiny("albert"), Head(freeze_layers=1), seed=0)
    with pytest.raises(InputError, match="BartForSequenceClassification has not"):
        apply_head(tiny("bart"), Head(reinit_layers=1), seed=0)
    with pytest.raises(InputError, match="are together more than the 2 layers of Bert"):
        apply_head(tiny("bert"), Head(reinit_layers=2, freeze_layers=1), seed=0)


def test_tied_weights_are_averaged_once():
    """Two layers that share a matrix: the average holds it once, and lending it out keeps the tie."""
    model = model_of("bert", "mean")
    first, second = encoder_layers(model)
    second.output.dense.weight = first.output.dense.weight
    average = make_average(Ema(decay=0.5, warmup=False), model)
    held = [name for name in average.state_dict() if name.endswith("output.dense.weight") and "attention" not in name]
    assert held == ["average.backbone.encoder.layer.0.output.dense.weight"]
    before = first.output.dense.weight.detach().clone()
    with torch.no_grad():
        first.output.dense.weight.add_(1.0)
    average.update()
    with average.applied():
        assert second.output.dense.weight is first.output.dense.weight
        assert torch.allclose(second.output.dense.weight, before + 0.5)
    assert torch.allclose(second.output.dense.weight, before + 1.0)


# ---- in the Trainer


@pytest.mark.parametrize(
    ("family", "pooling"),
    [
        ("bert", "cls"),
        ("roberta", "attention"),
        ("distilbert", "mean"),
        ("deberta", "last4"),
        ("gpt2", "mean"),
        ("gpt2", "attention"),
    ],
)
def test_a_pooled_model_trains_like_any_other(family, pooling, tmp_path):
    """PGD and EMA through ToughTrainer: head and encoder move, the last checkpoint is the model, scores are finite."""
    model = model_of(family, pooling, dtype=torch.float32, dropout=0.1)
    before = weights(model)
    settings = {"save_strategy": "steps", "save_steps": 4, "eval_strategy": "epoch"}
    recipe = {"adversary": Pgd(radius=0.4, steps=2), "average": Ema(decay=0.5)}
    made = run(tmp_path, recipe, model=model, **settings)
    after = weights(made.model)
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert {name.partition(".")[0] for name in moved} >= {"backbone", "classifier"}
    scores = [line["eval_loss"] for line in made.state.log_history if "eval_loss" in line]
    assert len(scores) == 2
    assert all(0 < score < 5 for score in scores)
    again = AutoModelForSequenceClassification.from_pretrained(checkpoints(tmp_path)[8])
    assert distance(weights(again), after) == 0


def test_the_recipe_has_the_slots():
    recipe = Recipe()
    assert recipe.head == Head()
    assert recipe.adapter is None
