"""An export is a folder that answers as the run does, or it is not made at all."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from deploy.pipelines import bert
from saved_models import NAMES, save_classifier
from toughen.classifier.answers import texts_dataset
from toughen.classifier.classifier import Classifier
from toughen.classifier.temperature import Temperature
from toughen.deploy.export import export, rows
from toughen.deploy.parity import Bench
from toughen.deploy.predictor import load
from toughen.errors import InputError
from toughen.runs.ensemble import Ensemble

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

LABELLED = [(f"the {word} film was {word} and {number}", word) for number in range(20) for word in ("good", "bad")]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A BERT of 2 layers with a WordPiece tokenizer that was trained on our sentences."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("pretrained")
    tokenizer = bert()
    tokenizer.save_pretrained(folder)
    BertModel(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=64,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture
def run(pretrained, tmp_path, monkeypatch):
    """Make a run of a task, as far as an export looks at it."""

    def make(task="single-label", names=None, **noted):
        folder = tmp_path / "model"
        names = names or (("bad", "good") if task == "single-label" else NAMES[task])
        save_classifier(pretrained, folder, task, names, **{"max_length": 24, **noted})
        recipe = SimpleNamespace(data=SimpleNamespace(source=""), training=SimpleNamespace(seed=0))
        made = SimpleNamespace(classifier=Classifier.load(folder), recipe=recipe, folds=None)
        monkeypatch.setattr("toughen.runs.finished.FinishedRun.open", lambda path: made)
        return made

    return make


FILES = {"model.onnx", "model.json", "tokenizer.bin", "tokenizer.json", "parity.json", "manifest.json"}
FILES |= {"config.json", "tokenizer_config.json"}
CASES = {
    "single-label": {},
    "multi-label": {"task": "multi-label", "thresholds": [0.3, 0.5, 0.6]},
    "regression": {"task": "regression"},
    "tokens": {"task": "tokens"},
    "pairs": {"pairs": True},
    "windows": {"truncation": "windows", "overlap": 4},
    "temperature": {"temperature": 2.5, "thresholds": [0.4]},
    "softened labels": {"task": "multi-label", "temperature": 1.7, "truncation": "windows"},
    "softened words": {"task": "tokens", "temperature": 3.0},
}


@pytest.mark.parametrize("case", CASES)
def test_every_task_is_exported_and_answers_alike(run, case, tmp_path):
    made = run(**CASES[case])
    found = export("run", tmp_path / "out")
    assert {path.name for path in found.path.iterdir()} == FILES
    told = json.loads((found.path / "parity.json").read_text())
    assert told["texts"] == found.texts > 20
    assert found.variants[1].largest_difference <= 1e-5
    described = json.loads((found.path / "model.json").read_text())
    assert described["task"] == made.classifier.task
    assert described["labels"] == list(made.classifier.label_names)
    assert described["temperature"] == CASES[case].get("temperature", 1)
    assert described["thresholds"] == (made.classifier.thresholds and list(made.classifier.thresholds))


def test_batch_and_length_are_free(run, tmp_path):
    """Other batches and lengths than the exporter saw give what each text gives alone."""
    run()
    classifier = load(export("run", tmp_path / "out").path)
    texts = texts_dataset(["good", "a bad film " * 5, "", "the film was very good"], "single-label")
    together, alone = (classifier.outputs(texts, batch_size=size) for size in (4, 1))
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert np.ptp(together[:, 0]) > 1e-3, "the texts cannot be told apart"


def test_the_graph_carries_its_description(run, tmp_path):
    import onnx

    run()
    graph = onnx.load(export("run", tmp_path / "out").path / "model.onnx")
    (noted,) = [entry.value for entry in graph.metadata_props if entry.key == "toughen"]
    assert json.loads(noted) == json.loads((tmp_path / "out/model.json").read_text())
    assert graph.opset_import[0].version == json.loads(noted)["opset"]


def test_a_graph_that_differs_is_refused_and_nothing_is_left(run, tmp_path, monkeypatch):
    """Canary: the comparison sees a change of 0.001 in one logit's bias."""
    import torch

    from toughen.deploy import graph

    made = run()
    write = graph.write_graph

    def biased(classifier, path):
        with torch.no_grad():
            classifier.model.classifier.bias[0] += 0.001
        return write(classifier, path)

    monkeypatch.setattr(graph, "write_graph", biased)
    with pytest.raises(InputError, match="ONNX Runtime's answers differ from PyTorch's by"):
        export("run", tmp_path / "out")
    assert made.classifier.task == "single-label"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_smaller_variants_are_measured(run, tmp_path):
    run()
    found = export("run", tmp_path / "out", int8=True, fp16=True, data=LABELLED, max_changed=1)
    pytorch, fp32, int8, fp16 = found.variants
    assert (tmp_path / "out/model.int8.onnx").stat().st_size == int8.megabytes * 1e6 < fp32.megabytes * 1e6 * 0.7
    assert fp32.largest_difference < fp16.largest_difference < int8.largest_difference < 0.2
    assert pytorch.agreement == fp32.agreement == 1
    assert [row[0] for row in rows(found)] == ["variant", "pytorch", "fp32", "int8", "fp16"]
    assert {len(row) for row in rows(found)} == {6}


def others(share):
    """Make every variant's labels differ from PyTorch's on this share of the texts."""

    def alike(self, outputs):
        count = len(outputs)
        return np.arange(count) >= round(share * count) if self.others else np.ones(count, bool)

    return alike


@pytest.fixture
def changed_labels(monkeypatch):
    """Let int8 alone change a share of the labels."""

    def change(share):
        measure = Bench.measure

        def measured(self, name, predictor, file):
            self.others = name == "int8"
            return measure(self, name, predictor, file)

        monkeypatch.setattr(Bench, "others", False, raising=False)
        monkeypatch.setattr(Bench, "measure", measured)
        monkeypatch.setattr(Bench, "_alike", others(share))

    return change


def test_int8_that_changes_too_much_is_refused_alone(run, tmp_path, changed_labels):
    run()
    changed_labels(0.25)
    found = export("run", tmp_path / "out", int8=True, fp16=True, data=LABELLED)
    assert [variant.name for variant in found.variants] == ["pytorch", "fp32", "fp16"]
    assert {path.name for path in found.path.iterdir()} == FILES | {"model.fp16.onnx"}
    assert found.refused[0].startswith("int8 changes 25.0% of the labels on the validation split (95 % interval 12.7%")
    assert json.loads((found.path / "parity.json").read_text())["refused"] == list(found.refused)
    load(found.path)  # its manifest fits it


def test_int8_is_kept_where_too_few_texts_tell(run, tmp_path, changed_labels):
    """Of 40 labels 2 are more than 2 %, and no evidence that 2 % are exceeded."""
    run()
    changed_labels(0.05)
    found = export("run", tmp_path / "out", int8=True, data=LABELLED)
    assert not found.refused
    assert "too few texts to tell that from the 2.0% allowed" in found.remarks[0]
    assert (found.path / "model.int8.onnx").is_file()


def test_a_variant_that_cannot_be_made_is_refused_alone(run, tmp_path, monkeypatch):
    from toughen.deploy import graph

    def broken(source, target):
        target.write_bytes(b"half")
        raise RuntimeError("no such kernel\nand more")

    run()
    monkeypatch.setattr(graph, "write_int8", broken)
    found = export("run", tmp_path / "out", int8=True, data=LABELLED)
    assert found.refused == ("int8 cannot be made of this model (RuntimeError: no such kernel).",)
    assert {path.name for path in found.path.iterdir()} == FILES


def test_the_command_keeps_what_passes_and_says_so_in_its_status(run, tmp_path, changed_labels, capsys):
    from toughen.cli import main

    run()
    changed_labels(0.25)
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in LABELLED))
    assert main(["export", "run", "--to", str(tmp_path / "out"), "--int8", "--data", str(data)]) == 2
    said = capsys.readouterr()
    assert "fp32" in said.out
    assert "int8 changes 25.0%" in said.err
    assert f"The rest is in {tmp_path / 'out'}." in said.err.replace("\n", " ")
    assert (tmp_path / "out/model.onnx").is_file()


@pytest.mark.parametrize("case", ["single-label", "multi-label", "tokens", "pairs"])
def test_other_programs_open_the_folder(run, case, tmp_path):
    """transformers' AutoTokenizer and a bare session of ONNX Runtime give the probabilities that the run gives."""
    import onnxruntime
    from transformers import AutoConfig, AutoTokenizer

    made = run(**CASES[case])
    folder = export("run", tmp_path / "out").path
    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert tuple(config.id2label[i] for i in range(config.num_labels)) == made.classifier.label_names
    texts = ["the film was good", "a bad film " * 30]
    given = [(text, "very good") for text in texts] if case == "pairs" else texts
    batch = tokenizer(given, truncation=True, padding=True, return_tensors="np")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    (logits,) = session.run(None, {one.name: batch[one.name] for one in session.get_inputs()})
    assert logits.shape[-1] == config.num_labels
    if case == "tokens":
        return  # its words are those of a pre-tokenised text; the shape is what others need
    odds = np.exp(logits.astype(float))
    values = odds / (1 + odds) if case == "multi-label" else odds / odds.sum(-1, keepdims=True)
    rows = texts_dataset(given, made.classifier.task)
    np.testing.assert_allclose(values, made.classifier.outputs(rows), atol=1e-5)
    assert np.ptp(values[:, 0]) > 1e-3, "the texts cannot be told apart"


def test_progress_names_each_part_and_counts_its_texts(run, tmp_path):
    run()
    told = []
    found = export("run", tmp_path / "out", int8=True, data=LABELLED, max_changed=1, progress=told.append)
    assert [step for step in told if isinstance(step, str)] == ["pytorch", "graph", "fp32", "int8"]
    assert sum(step for step in told if isinstance(step, int)) == 3 * found.texts


def test_int8_needs_texts(run, tmp_path):
    run()
    with pytest.raises(InputError, match="name labelled texts with --data"):
        export("run", tmp_path / "out", int8=True)


def in_folds(made):
    """Put two models that differ in the place of one."""
    import copy

    import torch

    other = copy.deepcopy(made.classifier)
    with torch.no_grad():
        for weights in other.model.parameters():
            weights.mul_(1.05)
    if other.temperature is not None:
        other.temperature = Temperature(other.temperature.value * 2, other.temperature.thresholds)
    made.classifier = Ensemble.of([made.classifier, other])
    made.folds = 2


@pytest.mark.parametrize(
    "case",
    [{}, {"task": "multi-label"}, {"task": "regression"}, {"temperature": 2.0}, {"truncation": "windows"}],
    ids=str,
)
def test_models_in_folds_are_one_graph(run, case, tmp_path):
    in_folds(run(**case))
    assert export("run", tmp_path / "out").variants[1].largest_difference <= 1e-5


def test_folds_of_softened_windows_are_refused(run, tmp_path):
    in_folds(run(truncation="windows", temperature=2.0))
    with pytest.raises(
        InputError, match="several models that read windows cannot be exported as one graph where temperatures soften"
    ):
        export("run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_taken_folder_is_left_alone(run, tmp_path):
    run()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes").write_text("keep")
    for overwrite, reason in ((False, "choose another folder"), (True, "is no exported model")):
        with pytest.raises(InputError, match=reason):
            export("run", tmp_path / "mine", overwrite=overwrite)
    assert (tmp_path / "mine/notes").read_text() == "keep"
    with pytest.raises(InputError, match="make it first"):
        export("run", tmp_path / "no/out")
    export("run", tmp_path / "out")
    export("run", tmp_path / "out", overwrite=True)


def test_other_tokenizers_are_refused_by_name(tmp_path):
    from transformers import AutoTokenizer

    from tiny import save_tiny_model
    from toughen.deploy.table import Reading, compile_table

    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path))
    with pytest.raises(InputError, match="the tokenizer's model WordLevel cannot be exported"):
        compile_table(tokenizer, Reading(32))
