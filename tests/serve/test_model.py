"""A served model answers as the run does, on either runtime, for every task."""

import asyncio
import copy
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from serve.fakes import ask, client
from serve.folders import save_exported, save_pretrained
from toughen.classifier.answers import texts_dataset
from toughen.deploy.predictor import load
from toughen.errors import InputError
from toughen.runs.ensemble import Ensemble
from toughen.serve import Served, open_model

ROOT = Path(__file__).parents[2]
TEXTS = ["a good film", "", "x", "the room was warm and bright " * 9, "电影很好 \U0001f600", "Bad!"]
CASES = {
    "single-label": {},
    "multi-label": {"task": "multi-label", "thresholds": [0.3, 0.5, 0.6]},
    "regression": {"task": "regression"},
    "tokens": {"task": "tokens"},
    "pairs": {"pairs": True},
    "windows": {"truncation": "windows", "overlap": 4},
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return save_pretrained(tmp_path_factory.mktemp("pretrained"))


@pytest.mark.parametrize("case", CASES)
def test_both_runtimes_answer_as_the_run_does(pretrained, tmp_path, case):
    classifier, folder = save_exported(pretrained, tmp_path, **CASES[case])
    texts = [[text, "and why"] for text in TEXTS] if case == "pairs" else TEXTS
    wanted = classifier.predict([tuple(text) for text in texts] if case == "pairs" else texts)
    for model in (open_model(folder), Served(classifier, "run", "pytorch")):
        found = ask("/predict", {"inputs": texts}, model).json()
        assert len(found) == len(texts)
        for ours, theirs in zip(found, wanted, strict=True):
            check(case, ours, theirs)
        for path in ("/explain", "/perturb"):
            assert ask(path, {"inputs": texts[0]}, model).status_code == (422 if case == "tokens" else 200)
    assert open_model(folder).reads_all == (case == "windows")


@pytest.mark.parametrize("runtime", ["onnxruntime", "pytorch", "folds"])
@pytest.mark.parametrize("case", CASES)
def test_a_text_is_tokenised_once_and_answered_as_the_classifier_alone_does(
    pretrained, tmp_path, monkeypatch, case, runtime
):
    classifier, folder = save_exported(pretrained, tmp_path, **CASES[case])
    other = replace(classifier, tokenizer=copy.deepcopy(classifier.tokenizer), model=copy.deepcopy(classifier.model))
    alone = {"pytorch": classifier, "folds": Ensemble.of([classifier, other])}.get(runtime) or load(folder)
    texts = ["good film " * (1 + i) for i in range(9)] + ["the room was warm and bright " * 6, "Bad!"]
    if case in ("pairs", "tokens"):
        texts = [(text, "and why") if case == "pairs" else text.split() for text in texts]
    seen = Counter()
    real = type(alone.tokenizer).__call__

    def counted(tokenizer, text, text_pair=None, **how):
        seen.update((id(tokenizer), str(one)) for one in ([text] if isinstance(text, str) else text))
        seen.update((id(tokenizer), str(one)) for one in text_pair or ())
        return real(tokenizer, text, text_pair, **how)

    wanted = alone.outputs(texts_dataset(texts, alone.task), batch_size=4)
    monkeypatch.setattr(type(alone.tokenizer), "__call__", counted)
    model = Served(alone, "model", runtime)
    apart = [one for text in texts for one in model.encode([text])]
    tokenised = {key: count for key, count in seen.items() if key[1] not in ("a", "and why")}
    assert len(tokenised) == len(texts) * (2 if runtime == "folds" else 1)
    assert set(tokenised.values()) == {1}
    before = seen.copy()
    rows = model.outputs(apart, 4)
    assert seen == before, "the pass tokenised again"
    for row, there in zip(rows, wanted, strict=True):
        np.testing.assert_array_equal(row, np.atleast_1d(there))


def check(case, ours, theirs):
    if case == "regression":
        assert ours[0]["score"] == pytest.approx(theirs["score"], abs=1e-4)
    elif case == "tokens":
        assert [(one["word"], one["label"]) for one in ours] == list(zip(theirs["words"], theirs["tags"], strict=True))
    else:
        scores = {one["label"]: one["score"] for one in ours}
        assert scores == pytest.approx(theirs["probabilities"], abs=1e-5)
        assert [one["score"] for one in ours] == sorted(scores.values(), reverse=True)
        if case == "multi-label":
            assert {one["label"] for one in ours if one["predicted"]} == set(theirs["labels"])


def test_who_shares_a_pass_changes_nothing(pretrained, tmp_path):
    _, folder = save_exported(pretrained, tmp_path)
    texts = ["good " * (1 + i % 7) for i in range(24)]

    async def go(**limits):
        async with client(open_model(folder), **limits) as http:
            found = await asyncio.gather(*(http.post("/predict", json={"inputs": text}) for text in texts))
            metrics = (await http.get("/metrics")).text
            passes = float(metrics.split("toughen_batch_texts_count ")[1].split()[0])
            return [sorted((one["label"], one["score"]) for one in row.json()) for row in found], passes

    (alone, many), (together, few) = asyncio.run(go()), asyncio.run(go(max_wait_ms=20))
    assert many == 24 > few, "nothing was put together"
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose([s for _, s in one], [s for _, s in other], atol=1e-6)


def test_an_exported_folder_needs_neither_pytorch_nor_anything_of_training(pretrained, tmp_path):
    """The list is what the Dockerfile leaves out."""
    _, folder = save_exported(pretrained, tmp_path)
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'onnx', 'datasets', 'sklearn', 'scipy', 'pandas', 'pyarrow', "
        "'accelerate', 'safetensors'): sys.modules[name] = None\n"
        "import toughen.cli.commands\n"
        "from serve.fakes import ask\n"
        "from toughen.serve import open_model\n"
        f"model = open_model(__import__('pathlib').Path({str(folder)!r}))\n"
        "for path in ('/predict', '/explain', '/perturb'):\n"
        "    print(ask(path, {'inputs': 'a good film'}, model).status_code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": "tests:src", "PATH": ""},
    )
    assert ran.stdout.split() == ["200"] * 3, ran.stderr


def test_the_snippet_of_the_documents_makes_an_application(pretrained, tmp_path, monkeypatch):
    save_exported(pretrained, tmp_path)
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/serve.md").read_text(), re.DOTALL)
    around = {}
    exec(snippet, around)
    assert callable(around["app"])


def test_who_computes_is_there_or_named(pretrained, tmp_path):
    _, folder = save_exported(pretrained, tmp_path)
    for name in (None, "CPU", "cpu", "CPUExecutionProvider"):
        assert open_model(folder, provider=name).classifier.session.get_providers() == ["CPUExecutionProvider"]
    with pytest.raises(InputError, match=r"--provider Abacus is not in the onnxruntime .* which has: .*CPU"):
        open_model(folder, provider="Abacus")


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="is neither a run folder nor an exported one"):
        open_model(tmp_path)
    with pytest.raises(InputError, match="--model names a graph of an exported folder"):
        open_model(tmp_path, "model.int8.onnx")
