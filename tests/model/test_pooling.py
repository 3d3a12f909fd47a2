"""What a model's own files say of its pooling is read as it stands there, and otherwise left open."""

import json

import pytest
from transformers import BertConfig

from toughen.model.pooling import stated_pooling

MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")


def sentence_encoder(folder, content, path="1_Pooling"):
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": path, "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / path).mkdir()
    (folder / path / "config.json").write_text(json.dumps(content))
    return str(folder)


@pytest.mark.parametrize(("on", "said"), [(["cls_token"], "cls"), (["mean_tokens"], "mean"), (["max_tokens"], None)])
def test_the_mode_that_is_on(tmp_path, on, said):
    content = {f"pooling_mode_{mode}": mode in on for mode in MODES} | {"word_embedding_dimension": 32}
    assert stated_pooling(sentence_encoder(tmp_path, content), BertConfig()) == said


def test_several_at_once_are_no_head_of_ours(tmp_path):
    content = {f"pooling_mode_{mode}": mode in ("cls_token", "mean_tokens") for mode in MODES}
    assert stated_pooling(sentence_encoder(tmp_path, content), BertConfig()) is None


def test_the_mode_by_its_newer_name(tmp_path):
    assert stated_pooling(sentence_encoder(tmp_path, {"pooling_mode": "mean"}, "pool"), BertConfig()) == "mean"


def test_a_model_without_such_files_leaves_it_open(tmp_path):
    assert stated_pooling(str(tmp_path), BertConfig(architectures=["BertModel"])) is None


def test_a_classifier_keeps_its_head(tmp_path):
    config = BertConfig(architectures=["BertForSequenceClassification"])
    assert stated_pooling(sentence_encoder(tmp_path, {"pooling_mode": "mean"}), config) == "model"
