"""What `toughen.load` returns answers as the run does, and needs neither PyTorch nor transformers for it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import toughen
from deploy.ugly import ugly_strings
from toughen.cli import main
from toughen.errors import InputError

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from deploy.test_export import CASES, pretrained, run  # noqa: F401  # fixtures
from toughen.deploy.description import _are_columns
from toughen.deploy.export import export

UGLY = ["", "a", *ugly_strings(80, seed=11)]


def texts_of(case):
    if CASES[case].get("pairs"):
        return list(zip(UGLY, reversed(UGLY), strict=True))
    return [text.split() for text in UGLY] if CASES[case].get("task") == "tokens" else UGLY


def numbers(outputs):
    return np.concatenate([np.ravel(row) for row in outputs])


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_the_run(run, case, tmp_path):  # noqa: F811
    from toughen.classifier.answers import texts_dataset

    classifier = run(**CASES[case]).classifier
    predictor = toughen.load(export("run", tmp_path / "out").path)
    texts = texts_of(case)
    dataset = texts_dataset(texts, classifier.task)
    finished = []
    ours = numbers(predictor.outputs(dataset, batch_size=7, progress=finished.append))
    wanted = numbers(classifier.outputs(dataset))
    scale = np.abs(wanted).max() if case == "regression" else 1
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-5 * scale)
    assert np.ptp(ours) > 1e-3, "the texts cannot be told apart"
    assert sum(finished) == len(texts)
    for found, theirs in zip(predictor.predict(texts), classifier.predict(texts), strict=True):
        assert list(found) == list(theirs)
        for name in ("label", "labels", "words", "tags", "entities"):
            assert found.get(name) == theirs.get(name)


def test_no_texts_no_answers(run, tmp_path):  # noqa: F811
    run()
    assert toughen.load(export("run", tmp_path / "out").path).predict([]) == []


def test_neither_torch_nor_transformers_is_imported(run, tmp_path):  # noqa: F811
    run()
    export("run", tmp_path / "out")
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None, onnx=None)\n"
        f"import toughen; print(toughen.load({str(tmp_path / 'out')!r}).predict(['a good film'])[0]['label'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() in ("good", "bad"), ran.stderr


def test_several_threads_get_their_own_answers(run, tmp_path):  # noqa: F811
    from concurrent.futures import ThreadPoolExecutor

    run(truncation="tail")
    predictor = toughen.load(export("run", tmp_path / "out").path)
    alone = [predictor.predict([text])[0] for text in UGLY]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: predictor.predict([text])[0], UGLY))
    assert [answer["score"] for answer in together] == pytest.approx([answer["score"] for answer in alone], abs=1e-6)


def test_what_is_wrong_is_said(run, tmp_path):  # noqa: F811
    run(pairs=False)
    folder = export("run", tmp_path / "out").path
    with pytest.raises(InputError, match="is no exported model"):
        toughen.load(tmp_path)
    with pytest.raises(InputError, match=r"has no model\.int8\.onnx \(there: model\.onnx\)"):
        toughen.load(folder, model="model.int8.onnx")
    with pytest.raises(InputError, match="single texts, but the texts given are pairs"):
        toughen.load(folder).predict([("a", "b")])
    for name in ("tokenizer.json", "model.onnx"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match="is damaged"):
            toughen.load(folder)
        (folder / name).write_bytes(whole)


def test_a_model_of_another_format_is_refused(run, tmp_path, monkeypatch):  # noqa: F811
    from toughen.deploy import description

    run()
    folder = export("run", tmp_path / "out").path
    monkeypatch.setattr(description, "FORMAT", 2)
    with pytest.raises(InputError, match="is of format 1, and this version of toughen reads format 2"):
        toughen.load(folder)


def test_the_command_exports_and_prints_json(run, tmp_path, capsys):  # noqa: F811
    run()
    asked = ["export", "run", "--to", str(tmp_path / "out"), "--json"]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert [variant["name"] for variant in told["variants"]] == ["pytorch", "fp32"]
    assert told["path"] == str(tmp_path / "out")
    assert main([*asked, "--overwrite", "--int8"]) == 2
    assert "name labelled texts with --data" in capsys.readouterr().err
    assert main([*asked, "--max-changed-labels", "2"]) == 2
    assert "must be from 0 to 1, got 2.0" in capsys.readouterr().err


def test_the_command_takes_an_exported_folder(run, tmp_path, capsys):  # noqa: F811
    run()
    folder = export("run", tmp_path / "out").path
    (tmp_path / "in.csv").write_text("text\na good film\na bad film\n")
    asked = ["predict", str(folder), "--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv")]
    assert main(asked) == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "text,label,score,probability_bad,probability_good"
    assert main([*asked, "--model", "model.int8.onnx"]) == 2
    assert "has no model.int8.onnx" in capsys.readouterr().err
    shutil.move(folder / "model.json", folder / "other.json")
    assert main([*asked, "--model", "model.onnx"]) == 2
    assert "names a graph of an exported folder" in capsys.readouterr().err


@pytest.mark.parametrize("pairs", [False, True])
def test_an_export_reads_the_columns_that_the_run_learnt_from(pairs, run, tmp_path):  # noqa: F811
    known = {"text": "headline", "text_pair": "summary" if pairs else None, "label": ["verdict"]}
    run(pairs=pairs, columns=known)
    folder = export("run", tmp_path / "out").path
    assert toughen.load(folder).columns == known
    row = {"id": "q1", "body": "a bad film of many words", "text": "a bad film", "headline": "good", "summary": "good"}
    (tmp_path / "in.csv").write_text("\n".join([",".join(row), ",".join(row.values())]) + "\n")
    asked = ["predict", str(folder), "--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.json")]
    assert main(asked) == 0
    (answer,) = json.loads((tmp_path / "out.json").read_text())
    (wanted,) = toughen.load(folder).predict([("good", "good") if pairs else "good"])
    assert answer["id"] == "q1"
    assert answer["score"] == pytest.approx(wanted["score"], abs=1e-6)


def test_columns_of_another_kind_are_refused():
    good = {"text": "a", "text_pair": None, "label": ["b"]}
    assert _are_columns(good)
    for wrong in ({"text": 1}, {"text_pair": 2}, {"label": "b"}, {"label": [1]}):
        assert not _are_columns(good | wrong)
