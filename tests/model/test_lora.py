"""Low-rank adapters: only they and the head learn, are averaged and are saved; the folder gives the model back."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertForMaskedLM,
    BertForTokenClassification,
)

from engine.models import batch, checkpointing, distance, gradients, tiny
from huggingface.trials import checkpoints, losses, make_rows, run, same, trainer
from toughen import Fgm, Pgd
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.errors import InputError
from toughen.huggingface.checkpoint import AVERAGE, RAW
from toughen.model.groups import parameter_groups
from toughen.model.head import Head, load_encoder, pooled
from toughen.model.lora import Lora, apply_lora, is_adapted, merged

peft = pytest.importorskip("peft", reason="the extra package peft is not installed")

FAMILIES = ("bert", "roberta", "distilbert", "deberta", "gpt2", "modernbert", "albert")
HEADS = {
    "bert": {"classifier"},
    "roberta": {"classifier"},
    "distilbert": {"pre_classifier", "classifier"},
    "deberta": {"pooler", "classifier"},
    "gpt2": {"score"},
    "modernbert": {"head", "classifier"},
    "albert": {"classifier"},
}
RECIPE = {"adversary": Pgd(radius=0.4, steps=2, start="random"), "average": Ema(decay=0.6)}
EVERY = {"save_strategy": "steps", "save_steps": 1}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pretrained checkpoints, one encoder per family (its own head is not in it)."""
    made = {}
    for family in FAMILIES:
        made[family] = tmp_path_factory.mktemp(family)
        tiny(family, dtype=torch.float32, dropout=0.1).base_model.save_pretrained(made[family])
    return made


def adapted(folder, config=None, *, labels=3, head_seed=0, seed=0, auto=AutoModelForSequenceClassification):
    torch.manual_seed(head_seed)
    model, report = auto.from_pretrained(folder, num_labels=labels, output_loading_info=True)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = 0
    return apply_lora(model, config or Lora(rank=4), seed, report["missing_keys"])


def frozen(model):
    return {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}


def trained(model):
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def inputs_of(rows):
    return {name: value for name, value in rows.items() if name != "labels"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"rank": 0}, "adapter.rank"),
        ({"alpha": 0.0}, "adapter.alpha"),
        ({"dropout": 1.0}, "adapter.dropout"),
        ({"targets": " , "}, "adapter.targets"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, named):
    with pytest.raises(InputError, match=f"^{named} must"):
        Lora(**settings)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"needs the package peft; install it with pip install 'toughen\[peft\]'"):
        apply_lora(tiny("bert"), Lora(), seed=0)


# ---- what learns


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_on_every_linear_layer_of_the_encoder_and_the_head_whole(family, folders):
    """What learns is the adapters and the head; the model starts as the one without adapters."""
    model = adapted(folders[family])
    plain = AutoModelForSequenceClassification.from_pretrained(folders[family], num_labels=3)
    heads = {name.split(".")[2] for name in trained(model) if "modules_to_save" in name}
    assert heads == HEADS[family]
    kinds = (nn.Linear,) if family != "gpt2" else (type(plain.transformer.h[0].mlp.c_fc), nn.Linear)
    expected = sum(isinstance(m, kinds) for m in plain.base_model.modules())
    assert sum(".lora_A." in name for name in trained(model)) == expected > 4
    assert all(".lora_" in name or "modules_to_save" in name for name in trained(model))
    before = model.eval()(**batch(family, labels=(0, 1, 2, 0))).logits
    with model.disable_adapter():  # shows the head before training
        assert torch.equal(model(**inputs_of(batch(family))).logits, before)


def test_targets_by_name(folders):
    """``query,value`` adapts those alone; a name that fits nothing is refused with those that do."""
    model = adapted(folders["bert"], Lora(targets="query, value"))
    names = {name.split(".lora_")[0].rpartition(".")[2] for name in trained(model) if ".lora_" in name}
    assert names == {"query", "value"}
    assert sum(".lora_A." in name for name in trained(model)) == 4
    with pytest.raises(InputError, match=r"adapter\.targets: 'queri' is no linear layer of the encoder of BertForS"):
        adapted(folders["bert"], Lora(targets="query,queri"))
    with pytest.raises(InputError, match="use all-linear, or some of dense, key, query, value"):
        adapted(folders["bert"], Lora(targets="classifier"))


def test_the_first_weights_are_seeded(folders):
    """Equal seeds draw equal adapters whatever was drawn before; another seed draws others; B is 0."""
    first, again, other = (adapted(folders["bert"], head_seed=h, seed=s) for h, s in ((0, 5), (1, 5), (0, 6)))

    def drawn(model, kind):
        return {name: value for name, value in trained(model).items() if f".lora_{kind}." in name}

    assert distance(drawn(first, "A"), drawn(again, "A")) == 0
    assert distance(drawn(first, "A"), drawn(other, "A")) > 0
    assert all(float(value.abs().max()) == 0 for value in drawn(first, "B").values())


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert", "gpt2"])
def test_the_groups_know_head_and_layers(family, layer_decay, folders):
    """Each learning parameter is in one group; the head learns 10 times as fast, adapters by their layer."""
    model = adapted(folders[family])
    rates = {}
    names = {id(p): name for name, p in model.named_parameters()}
    for group in parameter_groups(model, 1e-3, 0.01, layer_decay, head_multiplier=10.0):
        for parameter in group["params"]:
            assert names[id(parameter)] not in rates
            rates[names[id(parameter)]] = group["lr"]
    assert rates.keys() == trained(model).keys()
    head = {rate for name, rate in rates.items() if "modules_to_save" in name}
    assert head == {1e-2}
    layers = {0: [".layer.0.", ".layers.0.", ".h.0."], 1: [".layer.1.", ".layers.1.", ".h.1."]}
    for number, marks in layers.items():
        here = {rate for name, rate in rates.items() if ".lora_" in name and any(mark in name for mark in marks)}
        assert here == {1e-3 * layer_decay ** (2 - number)}


def test_the_adversary_perturbs_through_the_adapters(folders):
    """FGM changes the adapters' gradient, at the embeddings and at a layer; no pretrained weight has one."""
    model = adapted(folders["bert"], Lora(rank=4, dropout=0.0), labels=2).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.1)
    found = []
    for adversary in (None, Fgm(radius=0.4), Fgm(radius=0.4, site="layer 1")):
        with Engine(model, adversary=adversary) as engine:
            engine.backward(batch())
        found.append(gradients(model))
        assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
        model.zero_grad()
    assert distance(found[0], found[1]) > 1e-5
    assert distance(found[1], found[2]) > 1e-5


def test_gradient_checkpointing_computes_the_same(folders):
    """Without reentry, under FGM, with frozen embeddings: the gradients are those without checkpointing."""
    found = []
    for on in (False, True):
        model = adapted(folders["bert"], Lora(rank=4, dropout=0.0), labels=2)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        if on:
            checkpointing(model, use_reentrant=False)
        with Engine(model.train(), adversary=Fgm(radius=0.4)) as engine:
            engine.backward(batch())
        found.append(gradients(model))
    assert distance(*found) < 1e-6
    assert max(float(value.abs().max()) for value in found[0].values()) > 1e-3


# ---- in the Trainer


def make(folder, base, **changes):
    return trainer(folder, RECIPE, model=adapted(base, labels=2), rows=make_rows(13), **EVERY | changes)


@pytest.fixture(scope="module")
def whole(folders, tmp_path_factory):
    """PGD and EMA on adapters, a checkpoint at each of 8 steps."""
    folder = tmp_path_factory.mktemp("whole")
    made = make(folder, folders["bert"])
    start = frozen(made.model), trained(made.model)
    made.train()
    return made, folder, start


def test_only_adapters_and_head_change(whole):
    made, _, (pretrained, learning) = whole
    assert distance(frozen(made.model), pretrained) == 0
    moved = {name for name, value in trained(made.model).items() if not torch.equal(value, learning[name])}
    assert moved == learning.keys()


def test_checkpoints_hold_adapters_and_head_alone(whole):
    """Neither the scored, nor the raw, nor the averaged weights have a pretrained one among them."""
    made, folder, _ = whole
    count = sum(value.numel() for value in trained(made.model).values())
    for saved in checkpoints(folder).values():
        assert not list(saved.glob("model*.safetensors"))
        adapters, raw, average = (load_file(saved / f) for f in ("adapter_model.safetensors", RAW, AVERAGE))
        assert sum(value.numel() for value in adapters.values()) == count
        assert raw.keys() == trained(made.model).keys()
        assert {n.removeprefix("average.") for n in average if n.startswith("average.")} == raw.keys()
        assert not any(name.startswith("buffer.") for name in average)
        assert not (saved / "README.md").exists()


def test_the_average_is_scored_and_saved(whole):
    """The last checkpoint is the average, computed in float64 from the raw weights; the raw ones are others."""
    made, folder, (_, average) = whole
    average = {name: value.double() for name, value in average.items()}
    for n in range(1, 9):
        decay = min(0.6, (1 + n) / (10 + n))
        raw = load_file(checkpoints(folder)[n] / RAW)
        average = {name: decay * value + (1 - decay) * raw[name].double() for name, value in average.items()}
    final = {name: value.double() for name, value in trained(made.model).items()}
    assert distance(final, average) < 1e-6
    assert distance(final, {name: value.double() for name, value in raw.items()}) > 1e-4, "canary"


@pytest.mark.parametrize("step", [3, 4])
def test_resumed_equals_uninterrupted(whole, folders, tmp_path, step):
    """Another start, continued at checkpoint k: bitwise the same weights, optimiser and losses at the end."""
    made, folder, _ = whole
    torch.manual_seed(9)
    again = trainer(
        tmp_path, RECIPE, model=adapted(folders["bert"], labels=2, head_seed=8, seed=8), rows=make_rows(13), **EVERY
    )
    assert distance(trained(again.model), trained(made.model)) > 1e-3
    again.train(str(checkpoints(folder)[step]))
    assert distance(trained(again.model), trained(made.model)) == 0
    for name in (RAW, AVERAGE, "adapter_model.safetensors"):
        ends = [load_file(checkpoints(f)[8] / name) for f in (folder, tmp_path)]
        assert same(*ends)
    assert same(again.optimizer.state_dict()["state"], made.optimizer.state_dict()["state"])
    assert {k: v for k, v in losses(made).items() if k > step}.items() <= losses(again).items()
    assert sorted(checkpoints(tmp_path)) == list(range(step + 1, 9)), "canary: it did start at step k"


def test_the_best_checkpoint_comes_back(folders, tmp_path):
    """load_best_model_at_end on adapters: the model holds the best checkpoint's, and the pretrained weights stay."""
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    made = trainer(
        tmp_path,
        RECIPE,
        model=adapted(folders["bert"], labels=2),
        keep={"compute_metrics": lambda _: {"goodness": next(scores)}},
        eval_strategy="steps",
        eval_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="goodness",
        **EVERY,
    )
    before = frozen(made.model)
    made.train()
    assert made.state.best_global_step == 2
    best = load_file(checkpoints(tmp_path)[2] / "adapter_model.safetensors")
    saved = peft.get_peft_model_state_dict(made.model, save_embedding_layers=False)
    assert distance(saved, best) == 0
    assert distance(frozen(made.model), before) == 0


# ---- saved and read back


@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_gives_the_same_logits(family, folders, tmp_path):
    """Three labels, trained: AutoModel on the folder, and again from what that saves, repeats the logits bitwise."""
    model = adapted(folders[family])
    model.config.toughen = {"task": "single-label", "thresholds": None}
    made = run(tmp_path / "run", {"adversary": Fgm(radius=0.4)}, model=model)
    made.save_model(str(tmp_path / "first"))
    rows = inputs_of(batch(family))
    want = made.model.eval()(**rows).logits
    torch.manual_seed(77)
    first = AutoModelForSequenceClassification.from_pretrained(tmp_path / "first")
    assert torch.equal(first(**rows).logits, want)
    assert is_adapted(first)
    assert not any(p.requires_grad for p in first.parameters())
    assert (first.config.num_labels, first.config.toughen["task"]) == (3, "single-label")
    first.save_pretrained(tmp_path / "second")
    assert torch.equal(AutoModelForSequenceClassification.from_pretrained(tmp_path / "second")(**rows).logits, want)
    plain = merged(first)
    assert not is_adapted(plain)
    with torch.no_grad():
        assert float((plain(**rows).logits - want).abs().max()) < 1e-5
    config = json.loads((tmp_path / "first" / "config.json").read_text())
    assert config["toughen"] == {"task": "single-label", "thresholds": None}
    assert len(config["id2label"]) == 3


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_peft_alone_reads_the_folder(folders, tmp_path):
    """Without the config of ours: peft's own way gives the same logits."""
    model = adapted(folders["bert"]).eval()
    model.save_pretrained(tmp_path)
    theirs = peft.AutoPeftModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    rows = inputs_of(batch())
    assert torch.equal(theirs(**rows).logits, model(**rows).logits)


def test_a_note_written_afterwards_counts(folders, tmp_path):
    """Thresholds are tuned after the model is saved, into the entry outside."""
    adapted(folders["bert"]).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"toughen": {"thresholds": [0.3]}}))
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).config.toughen == {"thresholds": [0.3]}


def test_new_weights_inside_the_encoder_come_along(tmp_path):
    """A checkpoint without BERT's pooler: it is drawn, learns, and is saved; else a reload would draw another."""
    source = tiny("bert", dtype=torch.float32)
    whole = BertForMaskedLM(source.config)
    whole.bert.load_state_dict(source.bert.state_dict(), strict=False)
    whole.save_pretrained(tmp_path / "base")
    model = adapted(tmp_path / "base")
    assert any("pooler" in name and "modules_to_save" in name for name in trained(model))
    model.save_pretrained(tmp_path / "adapters")
    rows = inputs_of(batch())
    want = model.eval()(**rows).logits
    for seed in (1, 2):
        torch.manual_seed(seed)
        again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "adapters")
        assert torch.equal(again(**rows).logits, want)


def test_adapters_beside_a_pooled_head(folders, tmp_path):
    """LoRA on the encoder of a pooled model: the pooling and the head are saved, and read back onto the encoder."""
    encoder, fresh = load_encoder(str(folders["roberta"]), dtype=torch.float32)
    model = pooled(encoder, Head(pooling="attention"), num_labels=2)
    model = apply_lora(model, Lora(rank=4), 0, [f"backbone.{name}" for name in fresh])
    assert {name.split(".")[2] for name in trained(model) if "modules_to_save" in name} == {"pool", "classifier"}
    made = run(tmp_path / "run", RECIPE, model=model)
    made.save_model(str(tmp_path / "model"))
    rows = inputs_of(batch("roberta"))
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert torch.equal(again(**rows).logits, made.model.eval()(**rows).logits)
    assert again.config.pooling == "attention"


def test_adapters_for_tokens(folders, tmp_path):
    """A token classifier's adapters are read back by the Auto class for tokens."""
    model = adapted(folders["bert"], labels=5, auto=AutoModelForTokenClassification).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForTokenClassification.from_pretrained(tmp_path)
    rows = inputs_of(batch())
    assert torch.equal(again(**rows).logits, model(**rows).logits)
    assert isinstance(again.get_base_model(), BertForTokenClassification)


def test_a_base_that_is_gone_is_named(folders, tmp_path):
    model = adapted(folders["bert"])
    model.save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    settings = json.loads(path.read_text()) | {"base_model_name_or_path": str(tmp_path / "gone")}
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"holds adapters of the model '.*gone', which cannot be loaded"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
