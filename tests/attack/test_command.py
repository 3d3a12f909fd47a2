"""`toughen attack` on a trained run: what each kind prints and leaves behind, and how wrong calls are refused."""

import json

import pyarrow.parquet as pq
import pytest

import toughen
from tiny import reviews, save_tiny_model, write_csv
from toughen.attack import attack
from toughen.cli import main
from toughen.cli.attack import ALLOWED
from toughen.data.words import Words
from toughen.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
TRAINING = {"max_steps": 40, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    model = save_tiny_model(folder / "model")
    write_csv(folder / "test.csv", reviews(24, seed=5))
    data = {"train": reviews(96, 1), "validation": reviews(24, 2)}
    toughen.train(data, model=model, recipe="plain", output=folder / "run", quiet=True, training=TRAINING)
    return folder


@pytest.fixture
def call(desk, tmp_path, capsys):
    """Run the command with results in a new folder; return (status, stdout, stderr)."""

    def run(*more):
        argv = ["attack", str(desk / "run"), "--data", str(desk / "test.csv"), "--output", str(tmp_path / "out")]
        status = main([*argv, *more])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def test_an_attack_prints_and_saves_all_that_its_number_means(call, desk, tmp_path):
    status, shown, _ = call("--attack", "deepwordbug", "--limit", "20", "--seed", "3", "--budget", "60")
    assert status == 0
    flat = " ".join(shown.split())
    for words in ("attack deepwordbug", "constraints at most 20% of the words", "query budget 60", "texts 20 (seed 3)",
                  "queries per text", "accuracy before", "accuracy after", "success rate"):  # fmt: skip
        assert words in flat, words
    saved = json.loads((tmp_path / "out/attack.json").read_text())
    assert (saved["format"], saved["kind"], saved["texts"]) == (1, "attack", "pairs.parquet")
    assert saved["sources"] == {"data": str(desk / "test.csv")}
    again = attack(Run.open(desk / "run"), desk / "test.csv", "deepwordbug", limit=20, seed=3, budget=60)
    own = {name: value for name, value in again.as_dict().items() if name != "seconds"}
    assert {name: value for name, value in saved["result"].items() if name != "seconds"} == own, (
        "same seed, same result"
    )
    pairs = pq.read_table(tmp_path / "out/pairs.parquet").to_pylist()
    assert len(pairs) == again.fooled > 0
    for pair in pairs:
        assert len(Words.of(pair["text"]).changed(Words.of(pair["adversarial"]))) <= max(1, 0.2 * pair["words"])
        assert pair["queries"] <= 60
    assert "<del>" in (tmp_path / "out/pairs.html").read_text()
    pytest.importorskip("matplotlib", reason="needs the extra report")
    assert "deepwordbug" in (tmp_path / "out/report.html").read_text()


def test_options_reach_the_attack(call, tmp_path):
    words = tmp_path / "words.json"
    words.write_text(json.dumps({"good": ["bad"], "fine": ["poor"], "bad": ["good"], "awful": ["great"]}))
    (tmp_path / "stop.txt").write_text("fine awful")
    asked = ["--neighbours", str(words), "--stop-words", str(tmp_path / "stop.txt"), "--max-changed", "1"]
    status, shown, _ = call("--attack", "textfooler", *asked, "--precision", "fp32", "--json")
    assert status == 0
    told = json.loads(shown)
    assert "at most 100%" in told["constraints"][0]
    assert "none of 2 stop words" in told["constraints"][1]
    assert told["output"] == str(tmp_path / "out")
    changed = {
        old.lower()
        for pair in pq.read_table(tmp_path / "out/pairs.parquet").to_pylist()
        for old, new in zip(Words.of(pair["text"]).words, Words.of(pair["adversarial"]).words, strict=True)
        if old != new
    }
    assert changed <= {"good", "bad"}
    assert changed


def test_a_bound_on_embeddings_has_no_pairs(call, tmp_path):
    status, shown, _ = call("--attack", "pgd", "--radius", "2", "--steps", "3")
    assert status == 0
    assert "embeddings moved by L2 2.0" in " ".join(shown.split())
    assert pq.read_table(tmp_path / "out/pairs.parquet").num_rows == 0


def test_noise_is_a_curve(call, tmp_path):
    status, shown, _ = call("--noise", "--corruption", "keyboard", "--corruption", "case", "--limit", "12")
    assert status == 0
    assert "accuracy" in shown
    assert {"clean", "mean", "keyboard", "case"} <= set(shown.split())
    saved = json.loads((tmp_path / "out/attack.json").read_text())
    assert len(saved["result"]["points"]) == 1 + 5 + 2 * 5
    assert set(pq.read_table(tmp_path / "out/texts.parquet")["corruption"].to_pylist()) <= {"keyboard", "case"}


def test_the_standard_attack_is_one_number(call, tmp_path):
    status, shown, _ = call("--standard", "--limit", "6")
    assert status == 0
    assert "robust accuracy" in shown
    saved = json.loads((tmp_path / "out/attack.json").read_text())
    assert saved["result"]["version"] == 1
    assert (tmp_path / "out/pairs.html").exists()


def test_certified_accuracy_falls_with_the_words(call, tmp_path):
    status, shown, _ = call("--certify", "--limit", "6", "--copies", "40", "--rate", "0.5")
    assert status == 0
    assert "changed words" in shown
    shares = [one["accuracy"] for one in json.loads((tmp_path / "out/attack.json").read_text())["result"]["certified"]]
    assert shares == sorted(shares, reverse=True)
    assert pq.read_table(tmp_path / "out/certificates.parquet").num_rows == 6


def test_results_go_beside_the_run_under_the_attacks_name(desk, capsys):
    argv = ["attack", str(desk / "run"), "--data", str(desk / "test.csv"), "--attack", "deepwordbug", "--limit", "4"]
    assert main(argv) == 0
    assert "are in" in capsys.readouterr().out
    assert (desk / "run/attacks/deepwordbug-test/pairs.html").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([], "give one of --attack NAME, --noise, --standard and --certify."),
        (["--noise", "--certify"], "give one of --attack NAME"),
        (
            ["--attack", "foo"],
            "--attack must be one of bae, beam, deepwordbug, deletion, homoglyph, ",
        ),
        (["--attack", "pgd", "--budget", "9"], "--budget is no option of --attack pgd; leave it out."),
        (["--attack", "deepwordbug", "--radius", "0"], "--radius is no option of --attack deepwordbug"),
        (["--standard", "--budget", "9"], "--budget is no option of --standard"),
        (["--noise", "--max-changed", "0.5"], "--max-changed is no option of --noise"),
        (["--attack", "textfooler", "--similarity", "0.5"], "--similarity is measured by a sentence encoder"),
        (["--attack", "textfooler", "--max-changed", "0"], "max_changed must be above 0"),
        (["--attack", "textfooler", "--stop-words", "none.txt"], "--stop-words none.txt cannot be read"),
        (["--attack", "deepwordbug", "--limit", "0"], "limit must be at least 1"),
        (["--attack", "deepwordbug", "--precision", "fp8"], "precision must be fp32 or bf16"),
        (["--attack", "deepwordbug", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["--attack", "bae"], "the attack bae needs a masked language model"),
        (["--noise", "--corruption", "rain"], "corruption must be one of"),
        (["--certify", "--rate", "1"], "rate must be between 0 and 1"),
    ],
    ids=str,
)
def test_wrong_calls_are_one_sentence(call, tmp_path, more, sentence):
    status, shown, refused = call(*more)
    assert (status, shown) == (2, "")
    assert refused.strip().splitlines()[-1].startswith(sentence)
    assert not (tmp_path / "out").exists()


def test_every_attack_has_its_options():
    from toughen.attack import ATTACKS

    assert set(ALLOWED) == {*ATTACKS, "noise", "standard", "certify"}
