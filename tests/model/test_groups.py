"""Parameter groups against the table of SPEC 4, on every family."""

import pytest
import torch
from torch import nn

from engine.models import FAMILIES, tiny
from toughen.errors import InputError
from toughen.model.groups import parameter_groups
from toughen.model.head import Head, pooled

BASE, DECAY = 2e-5, 0.95
LAYERS = {
    "bert": "bert.encoder.layer.{}.",
    "roberta": "roberta.encoder.layer.{}.",
    "distilbert": "distilbert.transformer.layer.{}.",
    "electra": "electra.encoder.layer.{}.",
    "deberta": "deberta.encoder.layer.{}.",
    "modernbert": "model.layers.{}.",
    "gpt2": "transformer.h.{}.",
}
EMBEDDINGS = {"modernbert": "model.embeddings.", "gpt2": "transformer.wte.", "albert": "albert.embeddings."}


def rates(model, **settings):
    """Return {parameter name: (learning rate, weight decay)}; a parameter in two groups or none fails."""
    groups = parameter_groups(model, BASE, 0.01, **settings)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {}
    for group in groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert name not in found, f"{name} is in two groups"
            found[name] = (group["lr"], group["weight_decay"])
    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    return found


def test_layer_wise_decay_of_a_twelve_layer_model():
    """Head 2e-5, layer 11 1.9e-5, layer 0 1.0807e-5, embeddings 1.0267e-5."""
    found = rates(tiny("bert", num_hidden_layers=12), layer_decay=DECAY)
    expected = {"bert.embeddings.": DECAY**13, "classifier.": 1.0, "bert.pooler.": 1.0}
    expected |= {f"bert.encoder.layer.{k}.": DECAY ** (12 - k) for k in range(12)}
    for prefix, factor in expected.items():
        here = [lr for name, (lr, _) in found.items() if name.startswith(prefix)]
        assert here
        assert here == pytest.approx([BASE * factor] * len(here), rel=1e-12)
    assert sum(name.startswith(tuple(expected)) for name in found) == len(found)
    spec = {"classifier.": 2e-5, "bert.encoder.layer.11.": 1.9e-5, "bert.encoder.layer.0.": 1.0807e-5}
    for prefix, value in (spec | {"bert.embeddings.": 1.0267e-5}).items():
        assert next(lr for name, (lr, _) in found.items() if name.startswith(prefix)) == pytest.approx(value, abs=5e-10)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer_decay", [1.0, DECAY])
def test_each_parameter_is_in_exactly_one_group_and_biases_and_norms_do_not_decay(family, layer_decay):
    model = tiny(family)
    found = rates(model, layer_decay=layer_decay)
    norms = {id(p) for m in model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    for name, parameter in model.named_parameters():
        exempt = id(parameter) in norms or name.endswith("bias")
        assert found[name][1] == (0.0 if exempt else 0.01), name
    assert {decay for _, decay in found.values()} == {0.0, 0.01}


@pytest.mark.parametrize("family", FAMILIES)
def test_rates_rise_from_the_embeddings_to_the_head(family):
    found = rates(tiny(family), layer_decay=DECAY)
    embeddings = EMBEDDINGS.get(family, f"{family}.embeddings.")
    steps = {embeddings: 3}
    if family in LAYERS:  # ALBERT shares one layer between all depths
        steps |= {LAYERS[family].format(k): 2 - k for k in range(2)}
    for prefix, below_top in steps.items():
        here = {lr for name, (lr, _) in found.items() if name.startswith(prefix)}
        assert here == {BASE * DECAY**below_top}, prefix
    head = {lr for name, (lr, _) in found.items() if name.startswith(("classifier", "score", "head", "pre_classifier"))}
    assert head == {BASE}


def test_without_layer_decay_there_are_two_groups_at_one_rate():
    groups = parameter_groups(tiny("bert"), BASE, 0.01)
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(BASE, 0.01), (BASE, 0.0)]


def test_the_split_is_that_of_transformers_trainer(tmp_path):
    """The same parameters decay as in `Trainer`, so `plain` can be bitwise Trainer's."""
    from transformers import Trainer, TrainingArguments

    model = tiny("roberta", dtype=torch.float32)
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to=[], use_cpu=True)
    decayed = set(Trainer(model, arguments).get_decay_parameter_names(model))
    assert {name for name, (_, decay) in rates(model).items() if decay} == decayed


@pytest.mark.parametrize("layer_decay", [1.0, DECAY])
def test_frozen_weights_are_in_no_group_and_tied_ones_in_one(layer_decay):
    model = tiny("bert")
    for parameter in model.bert.encoder.layer[0].parameters():
        parameter.requires_grad_(False)
    model.bert.pooler.dense.weight = model.bert.encoder.layer[1].attention.output.dense.weight
    found = rates(model, layer_decay=layer_decay)
    assert not any(name.startswith("bert.encoder.layer.0.") for name in found)
    parameters = [p for g in parameter_groups(model, BASE, 0.01, layer_decay) for p in g["params"]]
    assert len({id(p) for p in parameters}) == len(parameters)
    torch.optim.AdamW(parameter_groups(model, BASE, 0.01, layer_decay))  # torch refuses a parameter in two groups


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer_decay", [1.0, DECAY])
@pytest.mark.parametrize("wrapped", [False, True], ids=["own head", "pooled"])
def test_the_head_learns_at_its_own_rate(family, layer_decay, wrapped):
    """What stands outside the base model learns 5 times as fast, all else exactly as without the multiplier."""
    model = tiny(family)
    if wrapped:
        model = pooled(model.base_model, Head(pooling="attention"), num_labels=2)
    plain = rates(model, layer_decay=layer_decay)
    faster = rates(model, layer_decay=layer_decay, head_multiplier=5.0)
    inside = {f"{model.base_model_prefix}.{name}" for name, _ in model.base_model.named_parameters()}
    assert inside < plain.keys()
    for name, (rate, decay) in plain.items():
        assert faster[name] == (rate if name in inside else 5.0 * BASE, decay)


def test_a_pooled_model_has_the_rates_of_its_encoder():
    """Layer-wise decay counts the layers through the wrapper."""
    model = tiny("bert", num_hidden_layers=4)
    own = rates(model, layer_decay=DECAY)
    wrapped = rates(pooled(model.base_model, Head(pooling="mean"), num_labels=2), layer_decay=DECAY)
    inside = {name: rate for name, rate in own.items() if name.startswith("bert.") and "pooler" not in name}
    assert {f"backbone.{name.removeprefix('bert.')}": rate for name, rate in inside.items()} == {
        name: rate for name, rate in wrapped.items() if name.startswith("backbone.")
    }
    assert wrapped["backbone.encoder.layer.0.output.dense.weight"] == (BASE * DECAY**4, 0.01)


def test_a_rate_for_no_head_is_refused():
    """A bare encoder has no head, and a frozen one does not learn: a multiplier would silently do nothing."""
    model = tiny("bert")
    with pytest.raises(InputError, match=r"head.lr_multiplier is 5\.0, but BertModel has no weights outside"):
        parameter_groups(model.bert, BASE, 0.01, head_multiplier=5.0)
    model.classifier.requires_grad_(False)
    with pytest.raises(InputError, match=r"head.lr_multiplier is 5\.0, but BertForSequenceClassification has"):
        parameter_groups(model, BASE, 0.01, head_multiplier=5.0)
