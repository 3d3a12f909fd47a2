"""The frozen pass gives each pooling of each text what the model computes for that text alone."""

import datasets
import numpy as np
import pytest
import torch

from tiny import reviews, save_tiny_model
from toughen.huggingface.pretrained import load_frozen
from toughen.recipe.recipe import load_recipe
from toughen.training.frozen import frozen_features

NAMES = ("negative", "positive")
TEXTS = [text for text, _ in reviews(7, seed=3)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    model = str(save_tiny_model(tmp_path_factory.mktemp("model")))
    return load_frozen(load_recipe("plain", {"model": model}), NAMES, "single-label", pairs=False)


def alone(prepared, text):
    """The vectors of one text, without padding."""
    inputs = prepared.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        outputs = prepared.model.base_model(**inputs)
    states = outputs.last_hidden_state[0].double().numpy()
    return {"cls": states[0], "mean": states.mean(0), "model": outputs.pooler_output[0].double().numpy()}


def test_features_are_those_of_each_text_alone_in_the_rows_order(prepared):
    rows = datasets.Dataset.from_dict({"text": TEXTS})
    found = frozen_features(prepared, rows, ("model", "mean", "cls"), batch_size=3)
    for i, text in enumerate(TEXTS):
        for name, vector in alone(prepared, text).items():
            np.testing.assert_allclose(found[name][i], vector, atol=1e-5)
    assert np.abs(found["mean"][0] - found["mean"][1]).max() > 1e-2
    assert np.abs(found["mean"] - found["cls"]).max() > 1e-2


def test_nothing_stays_on_the_model(prepared):
    rows = datasets.Dataset.from_dict({"text": TEXTS[:2]})
    frozen_features(prepared, rows, ("model",), batch_size=2)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in prepared.model.modules())


def test_a_decoder_has_no_first_token_and_its_own_head_reads_the_last(prepared, tmp_path):
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    size = {"vocab_size": len(prepared.tokenizer), "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    GPT2Model(GPT2Config(**size)).save_pretrained(tmp_path)
    prepared.tokenizer.save_pretrained(tmp_path)
    decoder = load_frozen(load_recipe("plain", {"model": str(tmp_path)}), NAMES, "single-label", pairs=False)
    rows = datasets.Dataset.from_dict({"text": TEXTS[:3]})
    found = frozen_features(decoder, rows, ("model", "mean", "cls"), batch_size=3)
    assert found.keys() == {"model", "mean"}
    inputs = decoder.tokenizer(TEXTS[0], return_tensors="pt")
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        last = decoder.model.base_model(**inputs).last_hidden_state[0, -1]
    np.testing.assert_allclose(found["model"][0], last.double().numpy(), atol=1e-5)
