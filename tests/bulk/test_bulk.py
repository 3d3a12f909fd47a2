"""Files of any size: the same bytes with any number of workers, after a kill, and after what else goes wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import toughen
from bulk.test_predict_file import FORMATS, read_back
from saved_models import save_classifier
from serve.folders import save_exported, save_pretrained
from toughen.bulk.local import Pool
from toughen.bulk.parts import folder_of
from toughen.bulk.predict import predict_folder
from toughen.bulk.source import Source
from toughen.bulk.work import Job, Known, Worker
from toughen.cli import main
from toughen.cli.faults import sentence_of
from toughen.demo.corpus import generate
from toughen.errors import InputError, WorkerDiedError
from toughen.files.manifest import seal

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

TEXTS = [text for text, _ in generate()["test"]]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return save_pretrained(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="module")
def exported(pretrained, tmp_path_factory):
    return save_exported(pretrained, tmp_path_factory.mktemp("single"))[1]


def write(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in.jsonl", TEXTS)


@pytest.fixture
def chunks(monkeypatch):
    """Note the chunks that are answered in this process."""
    answered, part = [], Worker.part

    def noted(self, chunk):
        answered.append(chunk.index)
        return part(self, chunk)

    monkeypatch.setattr(Worker, "part", noted)
    return answered


@pytest.mark.parametrize("suffix", FORMATS)
def test_answers_are_those_of_the_model_in_the_order_of_the_source(suffix, exported, source, tmp_path):
    output = tmp_path / f"out{suffix}"
    assert predict_folder(exported, source, output, workers=1, chunk_rows=64) == len(TEXTS)
    rows, expected = read_back(output), toughen.load(exported).predict(TEXTS)
    assert [row["text"] for row in rows] == TEXTS
    assert [row["label"] for row in rows] == [answer["label"] for answer in expected]
    scores = [float(row["score"]) for row in rows]
    assert scores == pytest.approx([answer["score"] for answer in expected], abs=1e-6)
    assert len(set(scores)) > len(TEXTS) / 2, "the texts cannot be told apart"
    assert not folder_of(output).exists()


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_number_of_workers_changes_nothing(suffix, exported, source, tmp_path):
    one, three = tmp_path / f"one{suffix}", tmp_path / f"three{suffix}"
    predict_folder(exported, source, one, workers=1, chunk_rows=20)
    predict_folder(exported, source, three, workers=3, chunk_rows=20)
    assert one.read_bytes() == three.read_bytes()


def children(pid):
    """Return the processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_kill_in_the_middle_leaves_no_trace_in_the_file(exported, tmp_path, chunks):
    """SIGKILL, nothing less: no handler runs, and what is there is what stood on the disk."""
    source, whole = write(tmp_path / "in.jsonl", TEXTS * 8), tmp_path / "whole.parquet"
    rows, total = len(TEXTS) * 8, len(TEXTS)
    assert predict_folder(exported, source, whole, workers=1, chunk_rows=8) == rows
    assert len(chunks) == total
    output = tmp_path / "out.parquet"
    command = [sys.executable, "-m", "toughen", "predict", str(exported), "--input", str(source), "--output"]
    process = subprocess.Popen([*command, str(output), "--workers", "2", "--chunk-rows", "8"])
    wait_for(lambda: len(list(folder_of(output).glob("part-????????"))) > 5 or process.poll() is not None)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    wait_for(lambda: not any(map(is_running, workers)))
    kept = {path.name: path.stat().st_mtime_ns for path in folder_of(output).glob("part-????????")}
    assert len(workers) >= 2
    assert 5 < len(kept) < total, "the kill did not come in the middle"
    assert not output.exists()
    chunks.clear()
    assert predict_folder(exported, source, output, workers=1, chunk_rows=8) == rows
    assert len(chunks) == total - len(kept)
    assert not {f"part-{index:08d}" for index in chunks} & set(kept)
    assert output.read_bytes() == whole.read_bytes()
    assert not folder_of(output).exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_an_interrupt_is_one_word_and_keeps_what_is_finished(exported, tmp_path):
    """Ctrl+C reaches every process of a terminal, here those of a session."""
    source, output = write(tmp_path / "in.jsonl", TEXTS * 100), tmp_path / "out.csv"
    command = [sys.executable, "-m", "toughen", "predict", str(exported), "--input", str(source), "--output"]
    process = subprocess.Popen(
        [*command, str(output), "--workers", "3", "--chunk-rows", "8"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    wait_for(lambda: len(children(process.pid)) >= 3 or process.poll() is not None)  # the last one is starting
    workers = children(process.pid)
    wait_for(lambda: len(list(folder_of(output).glob("part-????????"))) > 3 or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=120)[1] == "interrupted\n"
    assert process.returncode == 130
    wait_for(lambda: not any(map(is_running, workers)))
    assert not output.exists()
    assert len(list(folder_of(output).glob("part-????????"))) > 3


class StopError(Exception):
    pass


@pytest.fixture
def begun(exported, source, tmp_path, monkeypatch):
    """A prediction that was stopped after three parts; return its arguments."""
    part = Worker.part

    def stopped(self, chunk):
        if chunk.index == 3:
            raise StopError
        return part(self, chunk)

    arguments = {"folder": exported, "source": source, "output": tmp_path / "out.csv", "workers": 1, "chunk_rows": 50}
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "part", stopped)
        with pytest.raises(StopError):
            predict_folder(**arguments)
    assert len(list(folder_of(tmp_path / "out.csv").glob("part-*"))) == 3
    return arguments


def test_what_is_finished_is_not_answered_again(begun, chunks):
    predict_folder(**begun)
    assert chunks == [3, 4, 5]


def test_another_source_model_or_option_is_refused(begun, source, exported, tmp_path, chunks):
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    other = shutil.copytree(exported, tmp_path / "other")
    graph = onnx.load(other / "model.onnx")
    graph.doc_string = "another"
    onnx.save(graph, other / "model.onnx")
    seal(other)
    changed = [
        ({"folder": other}, "the model changed"),
        ({"text": "text"}, r"--data\.text changed"),
        ({"chunk_rows": 49}, "--chunk-rows changed"),
        ({"source": write(tmp_path / "changed.jsonl", [*TEXTS, "one more"])}, "the input changed"),
    ]
    for change, sentence in changed:
        with pytest.raises(InputError, match=rf"holds the beginning of .*out\.csv.*{sentence}; .*--restart"):
            predict_folder(**begun | change)
    assert chunks == []
    os.utime(source)  # the same content
    predict_folder(**begun)
    assert chunks == [3, 4, 5]


def test_the_start_can_be_thrown_away(begun, chunks, tmp_path):
    longer = write(tmp_path / "changed.jsonl", ["a first text", *TEXTS])
    assert predict_folder(**begun | {"source": longer}, restart=True) == len(TEXTS) + 1
    assert chunks == list(range(7))
    assert read_back(begun["output"])[0]["text"] == "a first text"


def test_a_fault_in_the_last_row_is_found_before_the_first_answer(exported, tmp_path, chunks):
    source = write(tmp_path / "in.jsonl", TEXTS)
    source.write_text(source.read_text() + '{"text": \n')
    with pytest.raises(InputError, match=f"line {len(TEXTS) + 1}: malformed JSON"):
        predict_folder(exported, source, tmp_path / "out.csv", workers=1)
    assert chunks == []
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}


def test_a_source_that_changes_meanwhile_is_refused(exported, source, tmp_path, monkeypatch):
    part = Worker.part

    def meddled(self, chunk):
        os.utime(source)
        return part(self, chunk)

    monkeypatch.setattr(Worker, "part", meddled)
    with pytest.raises(InputError, match="changed while it was read"):
        predict_folder(exported, source, tmp_path / "out.csv", workers=1)
    assert not (tmp_path / "out.csv").exists()


def test_two_processes_do_not_write_one_file(exported, source, tmp_path, monkeypatch):
    part, refused = Worker.part, []

    def second(self, chunk):
        if not refused:
            with pytest.raises(InputError, match="is being written by another") as found:
                predict_folder(exported, source, tmp_path / "out.csv", workers=1)
            refused.append(found)
        return part(self, chunk)

    monkeypatch.setattr(Worker, "part", second)
    predict_folder(exported, source, tmp_path / "out.csv", workers=1)
    assert len(refused) == 1
    assert len(read_back(tmp_path / "out.csv")) == len(TEXTS)


def test_a_worker_that_dies_is_told_and_nothing_hangs(exported, source):
    known = Known("single-label", None)
    with Pool(Job(exported, None, ".csv"), 2) as pool:
        assert pool.known().task == "single-label"
        pids = [process._process.pid for process in pool._running]
        os.kill(pids[0], signal.SIGKILL)
        wait_for(lambda: not is_running(pids[0]))
        with pytest.raises(WorkerDiedError, match=r"a worker process died \(exit code -9") as died:
            list(pool.parts(Source.open(str(source), None, None, known, 50), set()))
        pids = [process._process.pid for process in pool._running]
    assert not any(map(is_running, pids))
    assert sentence_of(died.value) == str(died.value), "the command says it, and shows no traceback"


def test_what_a_worker_refuses_is_one_sentence(exported, source, tmp_path, capsys):
    asked = ["predict", str(exported), "--input", str(source), "--output", str(tmp_path / "out.csv")]
    for workers in ("1", "2"):
        assert main([*asked, "--workers", workers, "--model", "no.onnx"]) == 2
        assert "has no no.onnx (there: model.onnx)" in capsys.readouterr().err
    assert main([*asked, "--workers", "0"]) == 2
    assert "workers must be above 0, got 0." in capsys.readouterr().err


def test_a_run_folder_is_answered_by_processes_with_one_thread(pretrained, tmp_path):
    import torch

    from toughen.recipe.recipe import dump, load_recipe

    run = tmp_path / "run"
    save_classifier(pretrained, run / "model", "single-label", ("bad", "good"), max_length=24)
    (run / "recipe.yaml").write_text(dump(load_recipe("plain", {"model": "m", "training.max_length": 24})))
    (run / "metrics.json").write_text("{}")
    source, before = write(tmp_path / "in.jsonl", TEXTS[:60]), torch.get_num_threads()
    predict_folder(run, source, tmp_path / "one.csv", workers=1, chunk_rows=16)
    assert torch.get_num_threads() == before
    predict_folder(run, source, tmp_path / "two.csv", workers=2, chunk_rows=16)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    expected = toughen.Run.open(run).predict(TEXTS[:60])
    scores = [float(row["score"]) for row in read_back(tmp_path / "two.csv")]
    assert scores == pytest.approx([answer["score"] for answer in expected], abs=1e-6)


@pytest.mark.parametrize("task", ["multi-label", "regression", "tokens"])
def test_every_task_is_answered(task, pretrained, tmp_path):
    folder = save_exported(pretrained, tmp_path, task)[1]
    source, output = write(tmp_path / "in.jsonl", TEXTS[:40]), tmp_path / "out.jsonl"
    predict_folder(folder, source, output, workers=1, chunk_rows=16)
    expected = toughen.load(folder).predict(TEXTS[:40])
    for row, answer in zip(read_back(output), expected, strict=True):
        for name in ("labels", "tags"):
            assert row.get(name) == answer.get(name)
        assert row.get("score") == pytest.approx(answer.get("score"), abs=1e-5)


def test_pairs_are_answered(pretrained, tmp_path):
    folder = save_exported(pretrained, tmp_path, pairs=True)[1]
    pairs = list(zip(TEXTS[:40], TEXTS[40:80], strict=True))
    rows = [{"premise": one, "hypothesis": two} for one, two in pairs]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict_folder(folder, tmp_path / "in.jsonl", tmp_path / "out.parquet", workers=1, chunk_rows=16)
    found = read_back(tmp_path / "out.parquet")
    assert [(row["premise"], row["hypothesis"]) for row in found] == pairs
    expected = toughen.load(folder).predict(pairs)
    assert [row["score"] for row in found] == pytest.approx([answer["score"] for answer in expected], abs=1e-6)


def test_the_memory_that_the_page_tells_is_what_was_measured():
    root = Path(__file__).parents[2]
    found = json.loads((root / "benchmarks/results/bulk.json").read_text())["sizes"]
    page = (root / "docs/deploy.md").read_text()
    for kind in (".csv", ".parquet"):
        sizes = sorted((row["rows"], row["peak_mb"]) for row in found if row["kind"] == kind)
        assert [rows for rows, _ in sizes] == [10_000, 100_000, 1_000_000]
        assert f"| {kind} | {' | '.join(str(peak) for _, peak in sizes)} |" in page
