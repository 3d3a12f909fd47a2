"""The program answers as a combination's members do together: the rule is in the graph."""

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from deploy.combinations import CASES, combine
from deploy.test_export import pretrained, run  # noqa: F401  # fixtures
from deploy.ugly import ugly_strings
from toughen.classifier.answers import texts_dataset
from toughen.deploy.export import export

UGLY = ["", "a", "good " * 60, *ugly_strings(40, seed=9)]
TRIED = ["mean of logits", "vote", "stack", "stack of pairs", "labels, vote", "numbers, weights", "words, vote"]


@pytest.mark.parametrize("case", TRIED)
def test_answers_equal_the_combinations(fast_program, run, case, tmp_path):  # noqa: F811
    how, settings = CASES[case]
    classifier = combine(run(**settings), how)
    folder = export("run", tmp_path / "out").path
    texts = [list(pair) for pair in zip(UGLY, reversed(UGLY), strict=True)] if classifier.pairs else UGLY
    if classifier.task == "tokens":
        texts = [text.split() for text in UGLY if text.split()]
    found = fast_program.answers(folder, texts, "--batch", 7)
    dataset = texts_dataset([tuple(text) for text in texts] if classifier.pairs else texts, classifier.task)
    outputs = classifier.outputs(dataset)
    for answer, wanted in zip(found, outputs, strict=True):
        if classifier.task == "tokens":
            assert answer["scores"] == pytest.approx(wanted.max(-1), rel=0, abs=1e-5)
        elif classifier.task == "regression":
            assert answer["score"] == pytest.approx(wanted, rel=0, abs=1e-5 * max(1, abs(outputs).max()))
        else:
            assert list(answer["probabilities"].values()) == pytest.approx(wanted, rel=0, abs=1e-5)
    # Canary: the first member alone would not pass.
    if classifier.task == "single-label":
        alone = classifier.members[0].outputs(dataset)
        assert max(abs(a["probabilities"]["good"] - p[1]) for a, p in zip(found, alone, strict=True)) > 1e-2
