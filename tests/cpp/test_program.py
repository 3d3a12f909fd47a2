"""The program's probabilities are Python's, for every task; what is wrong it says in one sentence."""

import re
import shutil
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from cpp.old_export import change, known_answers, unpack
from deploy.test_export import CASES, pretrained, run  # noqa: F401  # fixtures
from deploy.ugly import ugly_strings
from toughen.classifier.answers import texts_dataset
from toughen.data.tokens.sanitizer import sanitize
from toughen.deploy.export import export
from toughen.deploy.predictor import load

UGLY = ["", "a", *ugly_strings(60, seed=7)]


def texts_of(case):
    if case == "pairs":
        return [list(pair) for pair in zip(UGLY, reversed(UGLY), strict=True)]
    return [text.split() for text in UGLY if text.split()] if is_tokens(case) else UGLY


def is_tokens(case):
    return CASES[case].get("task") == "tokens"


@pytest.mark.parametrize("case", CASES)
def test_answers_equal_pythons(program, run, case, tmp_path):  # noqa: F811
    classifier = run(**CASES[case]).classifier
    folder = export("run", tmp_path / "out").path
    texts = texts_of(case)
    found = program.answers(folder, texts, "--batch", 7)
    wanted = classifier.predict([tuple(text) for text in texts] if case == "pairs" else texts)
    # A regression's values have no scale of their own: the same 1e-5, of the largest.
    scale = max(1.0, *(abs(answer.get("score", 0.0)) for answer in wanted)) if case == "regression" else 1.0
    if is_tokens(case):
        rows = classifier.outputs(texts_dataset(texts, "tokens"))
        assert [(row["words"], row["tags"]) for row in found] == [(row["words"], row["tags"]) for row in wanted]
        for ours, row in zip(found, rows, strict=True):
            assert ours["scores"] == pytest.approx(row.max(-1), rel=0, abs=1e-5)
        return
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.get("label") == theirs.get("label")
        assert ours.get("labels") == theirs.get("labels")
        for name, value in (theirs.get("probabilities") or {"score": theirs.get("score")}).items():
            assert ours.get("probabilities", ours)[name] == pytest.approx(value, rel=0, abs=1e-5 * scale)
    if case == "single-label":
        assert np.ptp([answer["probabilities"]["good"] for answer in found]) > 1e-3, "the texts cannot be told apart"


@pytest.mark.parametrize("noted", [("threshold",), ("set_threshold",), ("threshold", "set_threshold")])
def test_it_abstains_as_python_does(program, noted, tmp_path):
    """Of texts on both sides of each threshold."""
    folder = unpack(tmp_path)
    texts = [text for text in UGLY if text] + [one["text"] for one in known_answers(folder)]
    probabilities = [answer["probabilities"] for answer in load(folder).predict(texts)]
    cuts = np.quantile([max(row.values()) for row in probabilities], [0.3, 0.6])
    change(folder, abstention={name: float(cuts[i]) + 1e-7 for i, name in enumerate(noted)})
    found, wanted = program.answers(folder, texts), load(folder).predict(texts)
    for name, key in (("threshold", "abstained"), ("set_threshold", "label_set")):
        assert [row.get(key) for row in found] == [row.get(key) for row in wanted]
        assert len({str(row.get(key)) for row in wanted}) > 1 if name in noted else key not in wanted[0]
    assert [list(row) for row in found] == [list(row) for row in wanted]


def test_a_sanitized_model_reads_alike_everywhere(program, run, tmp_path):  # noqa: F811
    classifier = run().classifier
    texts = ["a very good film", "a v\u0435ry go\u200boxx\b\bd \uff46\uff49\uff4c\uff4d"]
    first, second = classifier.predict(texts)
    assert first["score"] != pytest.approx(second["score"], abs=1e-3), "canary: it needs the sanitizer"
    sanitize(classifier.tokenizer)
    folder = export("run", tmp_path / "out").path
    for answers in (classifier.predict(texts), load(folder).predict(texts), program.answers(folder, texts)):
        assert [answer["probabilities"]["good"] for answer in answers] == pytest.approx(
            [first["probabilities"]["good"]] * 2, rel=0, abs=1e-5
        )


def test_lines_of_text(program, run, tmp_path):  # noqa: F811
    run(pairs=True)
    folder = export("run", tmp_path / "out").path
    as_lines = program.run(folder, data=b"good\tbad film\nbad\tgood")
    as_json = program.run(folder, "--json", data=b'["good", "bad film"]\n["bad", "good"]\n')
    assert as_lines.stdout == as_json.stdout
    assert len(as_lines.stdout.splitlines()) == 2
    assert program.refusal(folder, data=b"good\n") == (
        "toughen-cli: line 1: the model takes pairs of texts; put a tab between the two"
    )
    assert program.refusal(folder, "--json", data=b'["good", "bad"]\n"good"\n["bad", "good"]') == (
        "toughen-cli: line 2: the model takes pairs of texts, and this is a single one"
    )


def test_answers_come_while_texts_go_in(program, run, tmp_path):  # noqa: F811
    """A block is answered before the next is read: nothing waits for the end, and memory holds one block."""
    run()
    folder = export("run", tmp_path / "out").path
    with program.start(folder) as running:
        for _ in range(2):
            running.stdin.write(b"a good film\n" * 512)
            running.stdin.flush()
            answers = [running.stdout.readline() for _ in range(512)]
            assert all(answer.startswith(b'{"label": ') for answer in answers)
        running.stdin.write(b"the last")
        running.stdin.close()
        assert len(running.stdout.readlines()) == 1
        assert running.wait() == 0


def feed_all(pipe, data):
    with pipe:
        pipe.write(data)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(fast_program, run, tmp_path):  # noqa: F811
    run()
    folder = export("run", tmp_path / "out").path
    peaks = []
    for count in (2_000, 60_000):
        with fast_program.start(folder, "--threads", 1) as running:
            feed = Thread(target=feed_all, args=(running.stdin, b"a good film and a bad one\n" * count))
            feed.start()
            peak = 0
            for _ in running.stdout:
                status = Path(f"/proc/{running.pid}/status").read_text()
                peak = max(peak, int(re.search(r"VmHWM:\s+(\d+)", status)[1])) if "VmHWM" in status else peak
            feed.join()
            assert running.wait() == 0
        peaks.append(peak)
    assert peaks[0] > 1000  # kB: something was measured
    assert peaks[1] < peaks[0] * 1.2


def test_wrong_input_is_refused_in_a_sentence(program, run, tmp_path):  # noqa: F811
    run()
    folder = export("run", tmp_path / "out").path
    assert "line 3: the text is not UTF-8" in program.refusal(folder, data=b"a\nb\n\xff\nc\n")
    assert "line 2: not JSON at byte 1" in program.refusal(folder, "--json", data=b'"a"\n[\n'.replace(b"[", b"}"))
    assert "lone surrogate" in program.refusal(folder, "--json", data=b'"\\ud800"\n')
    assert "--threads must be a whole number" in program.refusal(folder, "--threads", "many")
    assert "cannot read" in program.refusal(tmp_path / "nothing")
    assert "cannot load ONNX Runtime" in program.refusal(folder, ORT_LIB="/nothing.so")
    assert "cannot use" in program.refusal(folder, "--model", "other.onnx", data=b"a\n")


def test_a_broken_model_is_refused_in_a_sentence(program, run, tmp_path):  # noqa: F811
    import onnx

    run()
    folder = export("run", tmp_path / "out").path
    whole = (folder / "model.onnx").read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"\x08" + whole[:100]):
        (folder / "model.onnx").write_bytes(broken)
        assert "model.onnx: " in program.refusal(folder, data=b"a\n")
    for noted in ("", "{}", '{"format": 2}', '{"format": 1, "task": "other"}'):
        graph = onnx.load_from_string(whole)
        onnx.helper.set_model_props(graph, {"toughen": noted})
        onnx.save(graph, folder / "model.onnx")
        assert "export the model again" in program.refusal(folder, data=b"a\n")
    shutil.rmtree(folder)
