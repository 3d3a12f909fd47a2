"""Every example runs as it stands, on a tiny model and the sample corpus, and prints what it promises to.

`from_attack_restore.md` is held to its word too: with the options that it names, ours equals the listings it shows.
"""

import json
import re
import runpy
from pathlib import Path

import pytest
import torch
import transformers

from engine.models import FAMILIES, batch, distance, tiny
from tiny import save_tiny_model

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBER = r"-?\d+(\.\d+)?(e-?\d+)?"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def example(model_folder, monkeypatch, tmp_path, capsys):
    """Run an example in this process, in an empty folder, as `python examples/NAME.py --model TINY ...` would."""

    def run(name, *flags):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [name, "--model", str(model_folder), *flags])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def numbers(line):
    """Return {name: number} of a line such as `step 1/2  task 0.69  rdrop 0.01`."""
    return {name: float(value) for name, value, *_ in re.findall(rf"(\w+) ({NUMBER})(?=\s|$)", line)}


def line(printed, start):
    return next(text for text in printed.splitlines() if text.startswith(start))


def test_the_plain_loop_prints_every_loss_term_and_the_scores_of_the_average(example, tmp_path):
    printed = example("plain_loop.py", "--steps", "4", "--log-steps", "2", "--eval-steps", "2", "--output", "kept")
    terms = numbers(line(printed, "step 4/4"))
    assert terms.keys() >= {"task", "rdrop", "adversarial", "perturbation_norm", "rate"}
    assert terms["perturbation_norm"] > 0
    assert terms["rdrop"] > 0
    for scored in ("step 2/4 validation", "step 4/4 validation", "test  "):
        assert numbers(line(printed, scored)).keys() >= {"accuracy", "f1", "roc_auc"}
    assert transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "kept").config.num_labels == 2


def test_the_plain_loop_survives_fp16_and_one_file_without_a_test_split(example, tmp_path):
    rows = [("a fine film", "up"), ("a dull film", "down")] * 6
    file = tmp_path / "reviews.csv"
    file.write_text("text,label\n" + "".join(f"{text} {i},{label}\n" for i, (text, label) in enumerate(rows)))
    printed = example("plain_loop.py", "--data", str(file), "--steps", "2", "--precision", "fp16")
    assert numbers(line(printed, "step 2/2 validation")).keys() >= {"accuracy"}
    assert not any(text.startswith("test  ") for text in printed.splitlines())


@pytest.mark.filterwarnings("ignore:training accuracy")
def test_the_trainer_example_scores_the_test_split(example):
    printed = example("trainer.py", "--steps", "4")
    assert "'loss/rdrop'" in printed
    assert "'loss/adversarial'" in printed
    assert 0 <= float(re.search(r"'test_accuracy': ([\d.]+)", printed)[1]) <= 1
    assert "micro-batches: 12.0" in printed  # tough-stack passes the batch 6 times, twice per optimiser step


@pytest.mark.filterwarnings("ignore:training accuracy")
def test_the_python_call_leaves_a_run_and_labels_texts(example, tmp_path):
    printed = example("python_call.py", "--steps", "4")
    assert re.search(rf"validation F1 ({NUMBER}|None)", printed)
    assert "'accuracy'" in line(printed, "test")
    assert len(re.findall(r"^(?:negative|positive) [01]\.\d\d  ", printed, re.M)) == 2
    assert (tmp_path / "runs/python/metrics.json").exists()


# ---- from_attack_restore.md


def block(name):
    """Return the code under `<!-- run: NAME -->`."""
    text = (EXAMPLES / "from_attack_restore.md").read_text()
    return re.search(rf"<!-- run: {name} -->\n```python\n(.*?)```", text, re.S)[1]


class Listing:
    """A fresh tiny model in a loop of three batches: runs a block of the page and keeps what it did."""

    def __init__(self, code, family="bert"):
        self.model = tiny(family)
        self.scored = {}
        torch.manual_seed(7)  # FreeLB's starts
        exec(
            compile(code, "from_attack_restore.md", "exec"),
            {
                "torch": torch,
                "model": self.model,
                "loader": [batch(family, seed=seed) for seed in (1, 2, 3)],
                "optimizer": torch.optim.SGD(self.model.parameters(), lr=0.1),
                "score": self.score,
            },
        )

    def score(self, model):
        self.scored = self.weights(model)

    def weights(self, model=None):
        return {name: p.detach().clone() for name, p in (model or self.model).named_parameters()}


@pytest.mark.parametrize("technique", ["fgm", "pgd", "freelb"])
def test_the_settings_named_reproduce_the_listing(technique):
    """Three steps of the old loop and of ours give the same weights; plain training gives others (not vacuous)."""
    before, after = Listing(block(f"{technique} before")), Listing(block(f"{technique} after"))
    assert distance(before.weights(), after.weights()) < 1e-9
    plain = Listing("for b in loader:\n    model(**b).loss.backward()\n    optimizer.step()\n    optimizer.zero_grad()")
    assert distance(plain.weights(), after.weights()) > 1e-4


def test_the_average_named_reproduces_the_listing():
    before, after = Listing(block("ema before")), Listing(block("ema after"))
    assert distance(before.scored, after.scored) < 1e-9
    assert distance(before.weights(), after.weights()) < 1e-9
    assert distance(after.scored, after.weights()) > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_no_piece_of_a_name_finds_the_table(family):
    """The usual `emb.` matches no parameter of any family, and `emb` never the table alone."""
    model = tiny(family)
    names = [name for name, _ in model.named_parameters()]
    table = [name for name, p in model.named_parameters() if p is model.get_input_embeddings().weight]
    assert len(table) == 1
    assert [name for name in names if "emb." in name] == []
    assert [name for name in names if "emb" in name] != table


def test_without_a_match_the_attack_silently_does_nothing():
    code = block("fgm before").replace('emb_name="word_embeddings."', "")
    doubled = "for b in loader:\n    (2 * model(**b).loss).backward()\n    optimizer.step()\n    optimizer.zero_grad()"
    assert distance(Listing(code).weights(), Listing(doubled).weights()) < 1e-9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # as a notebook shows them: of whatever else is installed
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """It is stored without outputs, needs no network, and learns something."""
    monkeypatch.chdir(tmp_path)
    cells = json.loads((EXAMPLES / "quickstart.ipynb").read_text())["cells"]
    around = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec("".join(cell["source"]), around)
    assert around["scores"]["accuracy"] > 0.7
    assert "negative" in capsys.readouterr().out
