"""From a recipe to a model of the task, with the recipe's head and adapter, tried out."""

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

import toughen
from engine.models import distance, tiny
from huggingface.trials import weights
from tiny import save_tiny_model
from toughen.engine.engine import Engine
from toughen.errors import InputError
from toughen.huggingface.pretrained import prepare, trial_batch
from toughen.model.groups import in_head
from toughen.recipe.recipe import load_recipe

TASKS = {
    "single-label": ("BertForSequenceClassification", "single_label_classification", ("a", "b", "c")),
    "multi-label": ("BertForSequenceClassification", "multi_label_classification", ("a", "b", "c")),
    "regression": ("BertForSequenceClassification", "regression", ("score",)),
    "tokens": ("BertForTokenClassification", None, ("O", "B-X", "I-X")),
}
PENALTY = {"adversary": "gradient-penalty"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("base"))


def recipe_of(folder, **overrides):
    return load_recipe("plain", {"model": str(folder), **{key.replace("__", "."): v for key, v in overrides.items()}})


@pytest.mark.parametrize("task", TASKS)
def test_each_task_gets_its_model(task, folder, tmp_path):
    """Architecture, outputs, problem type, names and the note of ours; a saved model keeps them all."""
    architecture, problem, names = TASKS[task]
    prepared = prepare(recipe_of(folder, training__max_length=40), names, task)
    model = prepared.model
    assert type(model).__name__ == architecture
    assert model.classifier.out_features == len(names)
    prepared.model.save_pretrained(tmp_path)
    config = type(model).from_pretrained(tmp_path).config
    assert (config.problem_type, config.num_labels) == (problem, len(names))
    assert tuple(config.id2label.values()) == names
    assert config.label2id == {name: i for i, name in enumerate(names)}
    note = {"task": task, "thresholds": None, "truncation": "head", "overlap": 0, "max_length": 40}
    note |= {"pairs": False, "version": toughen.__version__}
    assert config.toughen == note
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("adversary", ["pgd", "vat", "freelb"])
def test_the_trial_fits_the_task(task, adversary, folder):
    """The labels of the trial batch are of the task's kind, and the recipe runs on them."""
    _, _, names = TASKS[task]
    recipe = recipe_of(folder, adversary=adversary)
    prepared = prepare(recipe, names, task)
    rows = trial_batch(prepared.tokenizer, len(names), task)
    with Engine(prepared.model, recipe.objective, recipe.adversary, task=task) as engine:
        assert torch.isfinite(engine.backward(rows))
    kinds = {"single-label": (2,), "multi-label": (2, 3), "regression": (2,), "tokens": (2, 4)}
    assert rows["labels"].shape == kinds[task]
    assert rows["labels"].is_floating_point() == (task in ("multi-label", "regression"))
    if task == "tokens":
        assert rows["labels"].tolist() == [[-100, 0, -100, -100], [-100, 0, 0, -100]]


def test_single_label_is_the_default(folder):
    """Two arguments do what they did; the same seed draws the same head, another one another."""
    first, again = (prepare(recipe_of(folder), ("a", "b")).model for _ in range(2))
    assert first.config.problem_type == "single_label_classification"
    assert distance(weights(first), weights(again)) == 0
    other = prepare(recipe_of(folder, training__seed=1), ("a", "b")).model
    assert not torch.equal(other.classifier.weight, first.classifier.weight)


# ---- head and adapter


@pytest.mark.parametrize("pooling", ["cls", "mean", "attention"])
def test_the_head_of_the_recipe_is_put_on(pooling, folder):
    """Pooled head with its dropout, fresh top layer, frozen bottom: all from one recipe, and the encoder's weights."""
    settings = {"head__pooling": pooling, "head__dropout": 0.3, "head__reinit_layers": 1, "head__freeze_layers": 1}
    model = prepare(recipe_of(folder, **settings), ("a", "b", "c")).model
    assert type(model).__name__ == "PooledForSequenceClassification"
    assert (model.dropout.p, model.config.num_labels) == (0.3, 3)
    assert model.config.problem_type == "single_label_classification"
    source = AutoModelForSequenceClassification.from_pretrained(folder).bert
    same = {n for n, p in source.named_parameters() if n in dict(model.backbone.named_parameters())}
    here = dict(model.backbone.named_parameters())
    changed = {n for n in same if not torch.equal(here[n], dict(source.named_parameters())[n])}
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed)
    frozen = {n for n in same if not here[n].requires_grad}
    assert {".".join(name.split(".")[:3]) for name in frozen if name.startswith("encoder")} == {"encoder.layer.0"}
    assert {name for name in same if name.startswith("embeddings.")} < frozen
    assert all(p.requires_grad for n, p in model.named_parameters() if in_head(model, n))


@pytest.mark.parametrize(
    ("task", "pooling"), [("single-label", "model"), ("single-label", "mean"), ("tokens", "model")]
)
def test_the_adapter_of_the_recipe_is_put_on(task, pooling, folder, tmp_path):
    """Only adapters and head learn; the saved folder is loaded back with names and note."""
    pytest.importorskip("peft", reason="the extra package peft is not installed")
    recipe = recipe_of(folder, adapter="lora", adapter__rank=4, head__pooling=pooling, adversary="fgm")
    model = prepare(recipe, TASKS[task][2], task).model
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning
    assert all(".lora_" in name or "modules_to_save" in name for name in learning)
    assert model.config.toughen["task"] == task
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("settings", "task", "sentence"),
    [
        ({"head__pooling": "mean"}, "tokens", "head.pooling mean makes one vector of a whole text, but task tokens"),
        ({"head__pooling": "last4"}, "single-label", "head.pooling last4 needs 4 encoder layers, and bert has 2 here"),
        ({"adapter": "lora", "head__reinit_layers": 1}, "single-label", "head.reinit_layers 1 cannot be combined with"),
        ({"adapter": "lora", "head__freeze_layers": 1}, "single-label", "head.freeze_layers 1 cannot be combined with"),
        ({"adapter": "lora", "adapter__targets": "qu"}, "single-label", "adapter.targets: 'qu' is no linear layer"),
        (PENALTY | {"training__compile": True}, "single-label", "adversary gradient-penalty and training.compile"),
        (PENALTY | {"training__memory": "low"}, "single-label", "adversary gradient-penalty and training.memory low"),
        ({"head__freeze_layers": 3}, "single-label", "head.freeze_layers 3 and head.reinit_layers 0 are together more"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(settings, task, sentence, folder):
    pytest.importorskip("peft", reason="the extra package peft is not installed")
    with pytest.raises(InputError, match=f"^{sentence}"):
        prepare(recipe_of(folder, **settings), TASKS[task][2], task)


def test_adapters_are_no_model_to_start_from(folder, tmp_path):
    pytest.importorskip("peft", reason="the extra package peft is not installed")
    prepared = prepare(recipe_of(folder, adapter="lora"), ("a", "b"))
    prepared.model.save_pretrained(tmp_path)
    prepared.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="holds adapters, not a whole model"):
        prepare(recipe_of(tmp_path), ("a", "b"))


@pytest.mark.parametrize("pooling", ["model", "attention"])
def test_a_pooled_model_can_be_trained_further(pooling, folder, tmp_path):
    """Its encoder goes on under another head; with ``model`` its own pooling does too."""
    first = prepare(recipe_of(folder, head__pooling="mean"), ("a", "b"))
    first.model.backbone.embeddings.word_embeddings.weight.data.add_(1.0)
    first.model.save_pretrained(tmp_path)
    first.tokenizer.save_pretrained(tmp_path)
    second = prepare(recipe_of(tmp_path, head__pooling=pooling), ("x", "y", "z")).model
    assert second.config.pooling == ("mean" if pooling == "model" else pooling)
    assert distance(weights(second.backbone), weights(first.model.backbone)) == 0
    assert second.classifier.out_features == 3


# ---- lengths and words


def test_a_pooled_roberta_has_the_positions_of_roberta(tmp_path):
    """514 rows are 512 positions: the wrapper's config says what the encoder can take."""
    from toughen.model.head import Head, pooled

    encoder = tiny("roberta", dtype=torch.float32).base_model
    assert encoder.config.max_position_embeddings == 40
    assert pooled(encoder, Head(pooling="mean"), num_labels=2).config.max_position_embeddings == 38
    assert pooled(tiny("bert").base_model, Head(pooling="mean"), num_labels=2).config.max_position_embeddings == 40


def test_words_alone_get_the_space_that_a_byte_level_tokenizer_tells_them_by(folder, tmp_path):
    """Task tokens gives one word at a time: it must become the pieces that it has inside a sentence."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    ids = {piece: i for i, piece in enumerate(["<pad>", "<s>", "</s>", *sorted(alphabet), "\u0120a", "\u0120b"])}
    inner = Tokenizer(models.BPE(ids, [("\u0120", "a"), ("\u0120", "b")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    model = tiny("gpt2", dtype=torch.float32, vocab_size=len(ids)).base_model
    model.resize_token_embeddings(len(ids))
    model.save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=inner, **names).save_pretrained(tmp_path)
    plain = AutoTokenizer.from_pretrained(tmp_path)
    assert plain(["a", "b"], is_split_into_words=True)["input_ids"] != [ids["\u0120a"], ids["\u0120b"]], "canary"
    prepared = prepare(recipe_of(tmp_path), ("O", "B-X"), "tokens")
    assert prepared.tokenizer(["a", "b"], is_split_into_words=True)["input_ids"] == [ids["\u0120a"], ids["\u0120b"]]
    prepared.tokenizer.save_pretrained(tmp_path / "saved")
    saved = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert saved(["a", "b"], is_split_into_words=True)["input_ids"] == [ids["\u0120a"], ids["\u0120b"]]
    single = prepare(recipe_of(tmp_path), ("a", "b")).tokenizer
    assert single("a")["input_ids"] == plain("a")["input_ids"]


# ---------------------------------------------------------------- training on from a saved classifier


def probabilities(model, tokenizer):
    batch = tokenizer(["a very good film", "a dull and bad book"], padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**batch).logits


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("bad", "fine", "good"), (0, 1, 2)),
        (("good", "bad", "fine"), (2, 0, 1)),
        (("Good", " bad", "FINE"), (2, 0, 1)),
    ],
)
def test_a_saved_head_goes_on_label_by_label(names, order, saved):
    folder = saved("single-label", names=("bad", "fine", "good"))
    before = AutoModelForSequenceClassification.from_pretrained(folder)
    prepared = prepare(recipe_of(folder), names)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    wanted = probabilities(before, tokenizer)[:, list(order)]
    torch.testing.assert_close(probabilities(prepared.model, tokenizer), wanted)
    assert prepared.head.startswith("head: that of the saved model goes on")
    assert ("order" in prepared.head) == (order != (0, 1, 2))
    assert tuple(prepared.model.config.id2label.values()) == names


@pytest.mark.parametrize("bias", [None, (0.5, 0.5, 0.5, 0.5)])
def test_a_head_with_more_labels_keeps_the_old_ones_by_name(bias, saved):
    """Old outputs say to the bit what they said, wherever the new names put them; the base rates touch none of them."""
    folder = saved("single-label", names=("bad", "good"))
    before = AutoModelForSequenceClassification.from_pretrained(folder)
    prepared = prepare(recipe_of(folder), ("angry", " Bad", "fine", "good"), bias=bias)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.testing.assert_close(
        probabilities(prepared.model, tokenizer)[:, [1, 3]], probabilities(before, tokenizer), rtol=0, atol=1e-6
    )
    head = prepared.model.classifier
    assert torch.equal(head.weight[[1, 3]], before.classifier.weight)
    assert not torch.equal(head.weight[[0, 2]], before.classifier.weight), "the new ones are new"
    assert prepared.head == ("head: that of the saved model goes on for 'bad', 'good'; new outputs for 'angry', 'fine'")


@pytest.mark.parametrize(
    ("was", "names", "kept"),
    [
        (("bad", "good"), ("no", "yes"), False),
        (("bad", "good"), ("bad", "fine"), False),
        (("LABEL_0", "LABEL_1"), ("0", "1"), True),
        (("LABEL_0", "LABEL_1"), ("bad", "good"), False),
        (("bad", "fine", "good"), ("bad", "good"), False),
        (("bad", "good"), ("bad", "fine", "great"), False),
    ],
)
def test_a_head_for_other_labels_is_not_kept(was, names, kept, saved):
    folder = saved("single-label", names=was)
    before = AutoModelForSequenceClassification.from_pretrained(folder)
    prepared = prepare(recipe_of(folder), names)
    same = torch.equal(
        prepared.model.classifier.weight[: len(names)], before.classifier.weight[: len(names)]
    )  # of other shapes: False
    assert same == kept
    assert prepared.head.startswith("head: " if kept else "new head: the saved one was trained for")
    body = [n for n, _ in before.named_parameters() if not n.startswith("classifier")]
    assert all(torch.equal(prepared.model.get_parameter(n), before.get_parameter(n)) for n in body)


@pytest.mark.parametrize("pooling", ["model", "mean"])
@pytest.mark.parametrize("names", [("a", "b"), ("0", "1")])  # the latter are what its config calls them
def test_a_pretrained_encoder_has_no_head_to_speak_of(pooling, names, folder):
    assert prepare(recipe_of(folder, head__pooling=pooling), names).head == ""


def test_a_run_folder_is_a_model(saved, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/recipe.yaml").write_text("model: x\n")
    with pytest.raises(InputError, match="is a run without one model of its own"):
        prepare(recipe_of(tmp_path / "run"), ("negative", "positive"))
    model = tmp_path / "run/model"
    model.mkdir()
    for path in saved("single-label").iterdir():
        if path.is_file():
            path.rename(model / path.name)
    assert "goes on" in prepare(recipe_of(tmp_path / "run"), ("negative", "positive")).head
