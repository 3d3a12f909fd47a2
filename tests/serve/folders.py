"""Exported folders of tiny models, for processes that serve them."""

from types import SimpleNamespace

import pytest

from deploy.pipelines import bert
from saved_models import NAMES, save_classifier


def save_pretrained(folder):
    """Write a BERT of 2 layers whose WordPiece tokenizer was trained on our sentences."""
    from transformers import BertConfig, BertModel

    tokenizer = bert()
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def save_exported(pretrained, folder, task="single-label", **noted):
    """Write a model of a task and its export; return the classifier and the export's folder."""
    from toughen.classifier.classifier import Classifier
    from toughen.deploy.export import export

    names = ("bad", "good") if task == "single-label" else NAMES[task]
    save_classifier(pretrained, folder / "model", task, names, **{"max_length": 24, **noted})
    classifier = Classifier.load(folder / "model")
    recipe = SimpleNamespace(data=SimpleNamespace(source=""), training=SimpleNamespace(seed=0))
    made = SimpleNamespace(classifier=classifier, recipe=recipe, folds=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toughen.runs.finished.FinishedRun.open", lambda _: made)
        return classifier, export("run", folder / "exported").path
