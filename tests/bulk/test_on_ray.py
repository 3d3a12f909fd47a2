"""The engine of a cluster, on a cluster of this machine: the same bytes as without one."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from serve.folders import save_exported, save_pretrained
from toughen.bulk.parts import folder_of
from toughen.bulk.predict import predict_folder
from toughen.cli import main
from toughen.demo.corpus import generate

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

TEXTS = [text for text, _ in generate()["test"]]
WITH_RAY = """
import sys
from toughen.bulk import on_ray
from toughen.cli import main

indices = []
parts = on_ray.Ray.parts

def noted(self, source, finished):
    for index, content in parts(self, source, finished):
        indices.append(index)
        yield index, content

on_ray.Ray.parts = noted
status = main(sys.argv[1:])
print("answered", sorted(indices))
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_ray_writes_the_same_bytes_and_continues(tmp_path):
    """Run by Ray, a start that this process began is finished with the bytes of an undisturbed run."""
    pretrained = save_pretrained(tmp_path / "pretrained")
    exported = save_exported(pretrained, tmp_path)[1]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    alone, ours = tmp_path / "alone.parquet", tmp_path / "ray.parquet"
    predict_folder(exported, source, alone, workers=1, chunk_rows=30)
    asked = ["predict", exported, "--input", source, "--output", ours, "--chunk-rows", "30"]
    begin(asked, folder_of(ours))
    # A process of its own, where Ray's warnings are not errors.
    command = [sys.executable, "-c", WITH_RAY, *map(str, asked), "--engine", "ray", "--workers", "2"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=900)
    assert ran.returncode == 0, ran.stderr
    assert f"answered {list(range(2, 10))}" in ran.stdout
    assert ours.read_bytes() == alone.read_bytes()
    command = [sys.executable, "-m", "toughen", *map(str, asked), "--engine", "ray", "--workers", "1"]
    ran = subprocess.run([*command, "--model", "no.onnx"], capture_output=True, text=True, cwd=tmp_path, timeout=900)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.splitlines()[-1].endswith("export it with --int8 or --fp16, or name another.")


def begin(asked, parts):
    """Leave the first two parts of a prediction there."""
    from toughen.bulk.work import Worker

    part = Worker.part

    def stopped(self, chunk):
        if chunk.index == 2:
            raise KeyboardInterrupt
        return part(self, chunk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "part", stopped)
        assert main([*map(str, asked), "--workers", "1"]) == 130
    assert len(list(parts.glob("part-*"))) == 2


def test_without_ray_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("toughen.machine.cluster.find_spec", lambda _: None)
    asked = ["predict", str(tmp_path), "--input", "in.csv", "--output", str(tmp_path / "out.csv"), "--engine"]
    assert main([*asked, "ray"]) == 2
    assert "pip install 'toughen[ray]'" in capsys.readouterr().err
    assert main([*asked, "dask"]) == 2
    assert "--engine must be one of local, ray, got 'dask'." in capsys.readouterr().err
