"""Models of every family, with heads of our own and with adapters, are exported exactly."""

from types import SimpleNamespace

import pytest

from deploy.pipelines import PIPELINES
from engine.models import FAMILIES, tiny
from toughen.classifier.classifier import Classifier
from toughen.deploy.export import export
from toughen.errors import InputError

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


UNEXPORTABLE = {
    "Longformer": {"attention_window": 8, "pad_token_id": 0, "max_position_embeddings": 200},
    "Funnel": {"d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 48, "block_sizes": [1, 1]},
}


@pytest.mark.parametrize("family", UNEXPORTABLE)
def test_what_onnx_runtime_cannot_run_is_refused_in_a_sentence(family, tokenizers, difference, tmp_path):
    """Both ended in a traceback of ONNX Runtime."""
    import transformers

    small = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 2}
    given = UNEXPORTABLE[family] | ({} if family == "Funnel" else small)
    config = getattr(transformers, f"{family}Config")(**given, vocab_size=len(tokenizers("bert")))
    model = getattr(transformers, f"{family}ForSequenceClassification")(config)
    with pytest.raises(InputError, match="ONNX Runtime cannot run the fp32 graph of this model") as refused:
        difference(model)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_what_no_graph_expresses_is_refused_in_a_sentence(tokenizers, difference, capfd, tmp_path):
    """The exporter printed the whole graph and raised."""
    import torch

    class Exponential(torch.nn.Linear):
        def forward(self, hidden):
            return super().forward(hidden @ torch.linalg.matrix_exp(0 * hidden.T @ hidden))

    model = tiny("bert", **vocabulary(tokenizers("bert")))
    model.classifier = Exponential(32, 2)
    with pytest.raises(InputError, match="BertForSequenceClassification cannot be written as an ONNX graph") as refused:
        difference(model)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
    assert "graph(" not in "".join(capfd.readouterr())
