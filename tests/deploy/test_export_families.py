"""Models of every family, with heads of our own and with adapters, are exported exactly."""

from types import SimpleNamespace

import pytest

from deploy.pipelines import PIPELINES
from engine.models import FAMILIES, tiny
from toughen.classifier.classifier import Classifier
from toughen.deploy.export import export

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

TOKENIZERS = {"roberta": "gpt2", "gpt2": "gpt2", "albert": "albert", "deberta": "deberta"}
POOLINGS = ("cls", "mean", "attention", "last4")


@pytest.fixture(scope="module")
def tokenizers():
    made = {}

    def get(name):
        if name in ("albert", "deberta"):
            pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
        if name not in made:
            made[name] = PIPELINES[name]()
        return made[name]

    return get


@pytest.fixture
def difference(tokenizers, tmp_path, monkeypatch):
    """Export a model and return how far ONNX Runtime's answers are from PyTorch's, and what the answers' range is."""

    def measure(model, tokenizer="bert", task="single-label"):
        names = tuple(f"label {i}" for i in range(model.config.num_labels))
        classifier = Classifier(model.float().eval(), tokenizers(tokenizer), names, 24, task)
        recipe = SimpleNamespace(data=SimpleNamespace(source=""), training=SimpleNamespace(seed=0))
        run = SimpleNamespace(classifier=classifier, recipe=recipe, folds=None)
        monkeypatch.setattr("toughen.runs.finished.FinishedRun.open", lambda path: run)
        spread = [answer["score"] for answer in classifier.predict(["a", "good", "the film was bad"])]
        assert len(set(spread)) == 3, "the texts cannot be told apart"
        return export("run", tmp_path / "out").variants[1].largest_difference

    return measure


def vocabulary(tokenizer):
    return {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family, tokenizers, difference):
    name = TOKENIZERS.get(family, "bert")
    assert difference(tiny(family, **vocabulary(tokenizers(name))), name) <= 1e-5


def encoder(tokenizers):
    return tiny("bert", num_hidden_layers=4, **vocabulary(tokenizers("bert"))).bert


@pytest.mark.parametrize("pooling", POOLINGS)
def test_heads_of_our_own(pooling, tokenizers, difference):
    from toughen.model.head import PooledConfig, PooledForSequenceClassification

    inner = encoder(tokenizers)
    inner.pooler = None
    model = PooledForSequenceClassification(PooledConfig(encoder_config=inner.config, pooling=pooling, num_labels=2))
    model.backbone = inner
    assert difference(model) <= 1e-5


def test_adapters_are_merged(tokenizers, difference):
    import torch

    from toughen.model.lora import Lora, apply_lora

    pytest.importorskip("peft", reason="peft is not installed")
    model = apply_lora(tiny("bert", **vocabulary(tokenizers("bert"))), Lora(rank=4), seed=0)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                weights.normal_(std=0.3)
    assert difference(model) <= 1e-5
