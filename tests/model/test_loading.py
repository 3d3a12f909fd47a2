"""Loading saved classifiers: what training noted, what an architecture tells, adapters, and heads of our own."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from saved_models import NAMES, TEXTS, dataset
from toughen.classifier.classifier import Classifier
from toughen.errors import InputError

load = Classifier.load


def test_loads_what_training_noted(saved):
    folder = saved("multi-label", thresholds=[0.1, 0.2, 0.3], truncation="windows", overlap=4, max_length=16)
    classifier = load(folder)
    assert classifier.task == "multi-label"
    assert classifier.label_names == NAMES["multi-label"]
    assert classifier.thresholds == (0.1, 0.2, 0.3)
    assert (classifier.truncation, classifier.overlap, classifier.max_length) == ("windows", 4, 16)
    assert load(folder, max_length=12).max_length == 12
    assert not classifier.model.training
    assert next(classifier.model.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("task", "names", "problem"),
    [
        ("tokens", None, None),
        ("regression", None, None),
        ("single-label", None, None),
        ("multi-label", None, "multi_label_classification"),
        ("regression", ("a", "b"), "regression"),
    ],
)
def test_without_notes_the_architecture_tells_the_task(saved, task, names, problem):
    """Models of older runs, and of others, have no notes."""
    classifier = load(saved(task, names, problem))
    assert classifier.task == task
    assert (classifier.thresholds, classifier.truncation) == (None, "head")
    assert classifier.max_length == 64, "the model's own limit"


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no model"):
        load(tmp_path)


def test_a_model_of_a_newer_version_is_refused_by_name_and_one_of_an_older_one_read(saved):
    """The folder need have no manifest: a copy of the model's own files says it too."""
    folder = saved("single-label")
    config = json.loads((folder / "config.json").read_text())
    for version in ("0.0.1", "0.1.99", None):
        (folder / "config.json").write_text(json.dumps(config | {"toughen": {"version": version}}))
        load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"toughen": {"version": "0.2.0"}}))
    with pytest.raises(InputError, match=r"the model in .* was written by toughen 0\.2\.0"):
        load(folder)


def test_a_head_of_our_own_loads_by_its_model_type(pretrained, tmp_path):
    """The architecture is unknown to transformers until the module that defines it is imported: in a new process."""
    from toughen.model.head import Head, pooled

    names = dict(enumerate(NAMES["multi-label"]))
    model = pooled(AutoModel.from_pretrained(pretrained), Head(pooling="mean"), num_labels=3, id2label=names)
    model.config.toughen = {"task": "multi-label"}
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(pretrained).save_pretrained(tmp_path)
    code = (
        "import pathlib, sys; from toughen.classifier.classifier import Classifier\n"
        "c = Classifier.load(pathlib.Path(sys.argv[1])); print(c.task, *c.predict(['a good film'])[0]['probabilities'])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["multi-label", *NAMES["multi-label"]], done.stderr


def test_adapters_of_a_run_load_onto_their_pretrained_model(pretrained, tmp_path):
    """What a training saves of LoRA answers as the model in memory does; the thresholds stand beside it."""
    pytest.importorskip("peft", reason="needs peft")
    from toughen.huggingface.pretrained import prepare
    from toughen.recipe.recipe import load_recipe

    recipe = load_recipe("plain", {"model": str(pretrained), "adapter": "lora", "training.max_length": 16})
    made = prepare(recipe, NAMES["single-label"])
    with torch.no_grad():
        for name, weight in made.model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.05)  # as they start, adapters change nothing
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    expected = Classifier(made.model.eval(), made.tokenizer, NAMES["single-label"], 16).outputs(dataset(TEXTS))
    classifier = load(tmp_path)
    assert (classifier.outputs(dataset(TEXTS)) == expected).all()
    assert not (tmp_path / "model.safetensors").exists(), "canary: the pretrained weights came from elsewhere"
    config = json.loads((tmp_path / "config.json").read_text())
    config["toughen"]["thresholds"] = [0.25]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load(tmp_path).thresholds == (0.25,)


def test_adapters_that_were_saved_otherwise_are_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds adapters that toughen did not save.*load them with peft"):
        load(tmp_path)
