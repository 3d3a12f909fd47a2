"""WiSE-FT draws a run back towards its pretrained weights, as far as the rows that select say."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

import toughen
from combining.conftest import start
from toughen import InputError, Run
from toughen.combining import interpolation
from toughen.combining.interpolation import SHARES, between, start_weights
from toughen.combining.weight_soup import weights_of
from toughen.files.manifest import seal

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")


def wise_ft(run, output, **more):
    return toughen.combine([run], how="wise-ft", output=output, quiet=True, **more)


def test_the_result_is_the_mean_that_its_scores_say(seeds, combine_data, tmp_path):
    """Every share is scored as a run with those weights would be; the best stands in the model."""
    run = wise_ft(seeds[0], tmp_path / "run")
    content = json.loads((run.path / "combination.json").read_text())
    scores = {float(share): score for share, score in content["shares"].items()}
    assert tuple(scores) == SHARES
    assert content["share"] == max(scores, key=lambda share: (scores[share], share))
    assert run.metrics["validation"]["f1"] == pytest.approx(scores[content["share"]])
    assert scores[1.0] == pytest.approx(Run.open(seeds[0]).metrics["validation"]["f1"])
    again = run.evaluate(combine_data / "validation.csv")
    assert again["f1"] == pytest.approx(scores[content["share"]])


def test_weights_are_between_the_pretrained_and_the_tuned_ones(seeds, combine_model, tmp_path, monkeypatch):
    monkeypatch.setattr(interpolation, "SHARES", (0.3,))
    run = wise_ft(seeds[0], tmp_path / "run")
    tuned, mean = weights_of(seeds[0] / "model"), weights_of(run.path / "model")
    pretrained = AutoModel.from_pretrained(combine_model).state_dict()
    moved = 0
    for name, weight in mean.items():
        inner = name.split(".", 1)[1]
        if inner in pretrained and "pooler" not in name:
            by_hand = 0.7 * pretrained[inner].double() + 0.3 * tuned[name].double()
            np.testing.assert_allclose(weight.double().numpy(), by_hand.numpy(), atol=1e-6)
            moved += not torch.equal(weight, tuned[name])
        else:
            assert torch.equal(weight, tuned[name]), "what has no start is as tuned"
    assert moved > 10, "canary: the encoder was tuned"


@pytest.mark.parametrize("pooling", ["model", "mean"])
def test_at_share_one_it_is_bitwise_the_tuned_model(seeds, combine_data, combine_model, tmp_path, pooling):
    path = start(combine_data, combine_model, tmp_path / "run", head={"pooling": pooling}).path
    run, tuned = Run.open(path), weights_of(path / "model")
    pretrained = start_weights(run, tuned)
    assert all(torch.equal(between(pretrained, tuned, 1.0)[name], weight) for name, weight in tuned.items())
    assert not all(torch.equal(between(pretrained, tuned, 0.9)[name], weight) for name, weight in tuned.items())
    assert len(pretrained) > 10


def test_two_runs_are_refused(seeds, tmp_path):
    with pytest.raises(InputError, match="draws one run back towards its start, got 2 runs"):
        toughen.combine(seeds[:2], how="wise-ft", output=tmp_path / "run", quiet=True)


@pytest.mark.parametrize("fault", ["gone", "another"])
def test_a_start_that_is_not_there_is_refused(seeds, tmp_path, fault):
    path = tmp_path / "copy"
    shutil.copytree(seeds[0], path)
    other = tmp_path / "other"
    if fault == "another":
        shape = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
        BertModel(BertConfig(vocab_size=60, **shape)).save_pretrained(other)
    recipe = (path / "recipe.yaml").read_text()
    model = next(line for line in recipe.splitlines() if line.startswith("model:"))
    (path / "recipe.yaml").write_text(recipe.replace(model, f"model: {other}"))
    seal(path)
    said = "cannot be read here" if fault == "gone" else "missing or of another shape"
    with pytest.raises(InputError, match=said):
        wise_ft(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()
