"""A combination is exported as one graph that answers as its members do together, whatever the rule."""

import copy

import numpy as np
import pytest

import toughen
from toughen.classifier.answers import texts_dataset
from toughen.deploy.export import export
from toughen.errors import InputError
from toughen.runs.rules import Rule

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from deploy.combinations import CASES, combine, combine_deep
from deploy.test_export import FILES, LABELLED, pretrained, run  # noqa: F401  # fixtures
from deploy.ugly import ugly_strings

pytestmark = pytest.mark.usefixtures("no_table")
UGLY = ["", "a", "good " * 60, *ugly_strings(60, seed=5)]


@pytest.fixture
def no_table(monkeypatch):
    """Leave the tokenizer's table out: tests/cpp reads it, and it takes longer than all the rest."""
    monkeypatch.setattr("toughen.deploy.export.compile_table", lambda tokenizer, reading: b"")


def dataset_for(classifier):
    if classifier.task == "tokens":
        return texts_dataset([text.split() for text in UGLY if text.split()], "tokens")
    pairs = list(zip(UGLY, reversed(UGLY), strict=True))
    return texts_dataset(pairs if classifier.pairs else UGLY, classifier.task)


def numbers(outputs):
    return np.concatenate([np.ravel(row) for row in outputs])


@pytest.mark.parametrize("case", CASES)
def test_a_combination_is_one_graph_and_answers_alike(run, case, tmp_path):  # noqa: F811
    """Canary: each member alone, and (but for the mean itself) their mean, says something else."""
    how, settings = CASES[case]
    classifier = combine(run(**settings), how)
    found = export("run", tmp_path / "out")
    assert {path.name for path in found.path.iterdir()} == FILES
    texts = dataset_for(classifier)
    wanted = numbers(classifier.outputs(texts))
    ours = numbers(toughen.load(found.path).outputs(texts, batch_size=7))
    scale = max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-5 * scale)
    alone = [numbers(member.outputs(texts)) for member in classifier.members]
    assert min(np.abs(wanted - one).max() for one in alone) > 1e-2
    if how != "mean-probabilities" and case != "numbers, mean":
        assert np.abs(wanted - np.mean(alone, axis=0)).max() > 1e-3


def test_combinations_of_combinations_are_one_graph(run, tmp_path):  # noqa: F811
    classifier = combine_deep(run(temperature=1.5, thresholds=[0.4]))
    texts = dataset_for(classifier)
    ours = toughen.load(export("run", tmp_path / "out").path).outputs(texts)
    np.testing.assert_allclose(ours, classifier.outputs(texts), rtol=0, atol=1e-5)
    assert np.ptp(ours[:, 0]) > 1e-2, "the texts cannot be told apart"


def test_another_rule_in_the_graph_is_refused(run, tmp_path, monkeypatch):  # noqa: F811
    """Canary: the comparison at export sees the rule."""
    from toughen.deploy import joint

    combine(run(temperature=1.7), "mean-logits")
    monkeypatch.setattr(joint, "_rule", lambda classifier: Rule("mean-probabilities"))
    with pytest.raises(InputError, match="ONNX Runtime's answers differ from PyTorch's by"):
        export("run", tmp_path / "out")


@pytest.mark.parametrize("how", ["stack", "vote", "mean-logits"])
def test_combinations_have_smaller_variants(run, how, tmp_path):  # noqa: F811
    combine(run(), how)
    found = export("run", tmp_path / "out", int8=True, fp16=True, data=LABELLED, max_changed=1)
    _, fp32, int8, fp16 = found.variants
    assert int8.megabytes < 0.8 * fp32.megabytes
    if how != "vote":  # of which a label that changes moves the probability by a whole vote
        assert fp16.largest_difference < 0.02
        assert int8.largest_difference < 0.4


def test_a_member_of_weight_0_is_not_asked(run, tmp_path):  # noqa: F811
    combine(run(), "weights")
    two = export("run", tmp_path / "two").variants[1].megabytes
    combine(run(), "mean-probabilities")
    assert two < 0.9 * export("run", tmp_path / "three").variants[1].megabytes


def test_members_that_read_otherwise_are_refused(run, tmp_path):  # noqa: F811
    classifier = combine(run(), "vote")
    classifier.members[2].max_length = 12
    with pytest.raises(InputError, match=r"differ in their maximal length \(24 and 12\), and one graph reads"):
        export("run", tmp_path / "out")
    classifier.members[2].max_length = 24
    tokenizer = copy.deepcopy(classifier.members[1].tokenizer)
    tokenizer.add_tokens(["ungood"])
    classifier.members[1].tokenizer = tokenizer
    with pytest.raises(InputError, match="differ in their tokenizer, and one graph reads"):
        export("run", tmp_path / "out")


@pytest.mark.parametrize("how", ["vote", "mean-logits", "stack"])
def test_rules_that_follow_on_a_mean_over_windows_are_refused(run, how, tmp_path):  # noqa: F811
    combine(run(truncation="windows", overlap=4), how)
    with pytest.raises(InputError, match=f"windows cannot be exported as one graph where {how} follows on the mean"):
        export("run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_vote_on_tags_without_an_outside_tag_is_refused(run, tmp_path):  # noqa: F811
    combine(run(task="tokens", names=("noun", "verb", "other")), "vote")
    with pytest.raises(InputError, match="a vote on tags without an O tag cannot be exported"):
        export("run", tmp_path / "out")
