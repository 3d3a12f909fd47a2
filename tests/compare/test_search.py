"""`toughen search` on a tiny model: resumed, pruned, shared, and blind to the test split."""

import json
import shutil
from typing import ClassVar

import pytest

import toughen
from toughen import InputError, load_recipe
from toughen.cli import main
from toughen.compare import ray_trainings
from toughen.compare import search as module
from toughen.compare.pool import Worker
from toughen.compare.search import Search, evaluations
from toughen.compare.search_space import make_space
from toughen.files.manifest import is_sealed, verify_all

pytest.importorskip("optuna", reason="needs the extra search")
pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

TRAINING = {"epochs": 2, "batch_size": 8, "max_length": 32, "precision": "fp32"}


@pytest.fixture(scope="module")
def poisoned(data, tmp_path_factory):
    """The data with a test file that nothing can read."""
    folder = tmp_path_factory.mktemp("poisoned") / "data"
    shutil.copytree(data, folder)
    (folder / "test.csv").write_bytes(b"\xff\xfe no text at all \x00")
    return folder


def command(model, data, output, trials):
    flags = [f"--training.{name}={value}" for name, value in TRAINING.items()]
    where = ["--model", str(model), "--data", str(data), "--output", str(output), "--trials", str(trials)]
    return ["search", "plain", "--over", "training.learning_rate=1e-4:1e-2:log", *where, *flags, "--json"]


def test_three_trials_resumed_blind_to_the_test(model, poisoned, data, tmp_path, capsys, monkeypatch):
    """Two trials, then one that an earlier process had only asked for: its number is used, and no trial is repeated."""
    import optuna

    calls = []
    monkeypatch.setattr(module, "search", lambda *a, inner=module.search, **k: calls.append(1) or inner(*a, **k))

    with pytest.raises(InputError, match=r"test\.csv"):  # the canary: whoever opens that file is refused
        toughen.train(poisoned, model=model, recipe="plain", output=tmp_path / "run", quiet=True)
    output = tmp_path / "search"
    assert main(command(model, poisoned, output, 2)) == 0
    first = json.loads(capsys.readouterr().out)
    assert len(calls) == 1, "a command searches once"
    study = optuna.load_study(study_name="toughen", storage=f"sqlite:///{output / 'study.db'}")
    here = {"folder": str(output.resolve())}
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs=here))
    verify_all(output)
    half = output / "trials" / "trial-0" / "checkpoints" / "checkpoint-8"  # of which a kill has left this
    half.mkdir(parents=True)

    assert main(command(model, poisoned, output, 3)) == 0
    assert not half.exists()
    result = json.loads(capsys.readouterr().out)

    assert [(t["number"], t["state"]) for t in result["trials"]] == [(i, "complete") for i in range(3)]
    assert result["trials"][:2] == first["trials"]
    assert result["positive_class"] == "positive"
    assert all(len(t["evaluations"]) == 2 for t in result["trials"])
    assert result["best"]["value"] == max(t["value"] for t in result["trials"])
    for number in range(3):
        metrics = json.loads((output / f"trials/trial-{number}/metrics.json").read_text())
        assert "test" not in metrics
        assert metrics["validation"]["f1"] == result["trials"][number]["value"]
    assert "Every trial" in (output / "report.html").read_text()
    best = load_recipe(output / "best.yaml")
    assert best.training.learning_rate == result["best"]["settings"]["training.learning_rate"]
    run = toughen.train(data, recipe=output / "best.yaml", output=tmp_path / "best", quiet=True)
    assert run.metrics["validation"]["f1"] == result["best"]["value"], "the best recipe repeats its score"

    verify_all(output)
    assert is_sealed(output)
    (output / "search.json").write_text("{}")
    assert main(["report", str(output)]) == 2
    assert "search.json" in capsys.readouterr().err

    changed = command(model, poisoned, output, 3)
    changed[changed.index("training.learning_rate=1e-4:1e-2:log")] = "training.learning_rate=1e-4:1e-3:log"
    assert main(changed) == 2
    assert "searches another space" in capsys.readouterr().err


def state(folder, step, scores):
    checkpoint = folder / "checkpoints" / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    history = [{"loss": 1.0}] + [{"eval_f1": score} for score in scores]
    (checkpoint / "trainer_state.json").write_text(json.dumps({"log_history": history}))


def test_evaluations_come_from_the_newest_whole_checkpoint(tmp_path):
    assert evaluations(tmp_path, "f1") == []
    state(tmp_path, 8, [0.5])
    state(tmp_path, 16, [0.5, 0.6])
    (tmp_path / "checkpoints/checkpoint-24").mkdir()
    (tmp_path / "checkpoints/checkpoint-24/trainer_state.json").write_text('{"log_his')
    assert evaluations(tmp_path, "f1") == [0.5, 0.6]
    assert evaluations(tmp_path, "accuracy") == []


@pytest.fixture
def wanted(tmp_path):
    recipe = load_recipe("plain", {"data": "reviews.csv"})
    return Search(recipe, make_space(recipe, ["training.learning_rate=1e-5:1e-4:log"]), tmp_path)


def test_a_trial_below_the_median_is_stopped(wanted, monkeypatch):
    """Five trials score .9; the sixth's first evaluation is .1: its training is stopped, not waited for."""
    import optuna

    stopped = []

    class Training:
        """Stands in for a process that would never end by itself."""

        def __init__(self, job, jobs):
            state(job.folder, 8, [0.1])

        def poll(self):
            return None

        def stop(self):
            stopped.append(True)

    study = module._study(optuna, wanted, "f1")
    for _ in range(5):
        trial = study.ask()
        trial.report(0.9, 1)
        study.tell(trial, 0.9)
    monkeypatch.setattr(ray_trainings, "Worker", Training)
    monkeypatch.setattr(module, "_POLL_S", 0.001)
    said = []
    module._Trials(optuna, study, wanted, "f1", said.append, Training).start()
    assert stopped == [True]
    assert study.trials[-1].state.name == "PRUNED"
    assert said[0].startswith("trial 5 pruned")


def test_a_trial_that_has_learnt_nothing_has_no_score(wanted, monkeypatch):
    """Its F1 of .95 comes of one answer to everything: it is not the best, and the search says so."""

    class Training:
        """Stands in for a process that ends at once, its run finished."""

        scores: ClassVar = [(0.95, True), (0.8, False)]

        def __init__(self, job, jobs):
            value, lost = self.scores.pop(0)
            job.folder.mkdir(parents=True)
            simple = {"validation": {"words": {"f1": 0.7}}}
            content = {"validation": {"f1": value}, "collapsed": lost, "verdict": "it has learnt nothing: it says a."}
            (job.folder / "metrics.json").write_text(json.dumps(content | {"baselines": simple}))

        def poll(self):
            return 0

        def stop(self):
            pass

    monkeypatch.setattr(ray_trainings, "Worker", Training)
    monkeypatch.setattr(module.Job, "finished", True)
    monkeypatch.setattr(module, "_metric", lambda recipe: ("f1", None))
    said = []
    told = module.search(wanted, trials=2, say=said.append)
    assert [(t["collapsed"], t["value"]) for t in told["trials"]] == [(True, None), (False, 0.8)]
    assert told["best"]["number"] == 1
    assert said[0].startswith("trial 0 learnt nothing (it has learnt nothing: it says a)")
    assert "(TF-IDF + linear model) gets 0.7000" in told["verdict"]
    assert told["verdict"].endswith("Learnt nothing, so without a score: trial 0.")
    assert told["next"] == f"toughen train {wanted.folder / 'best.yaml'} --output RUN"
    assert not told["collapsed"]
    best = wanted.folder / "best.yaml"
    whole = best.read_bytes()
    best.unlink()  # as a kill leaves it that comes after the trial is told and before the file is written
    module.search(wanted, trials=2, say=said.append)
    assert best.read_bytes() == whole


def test_a_trial_that_fails_counts_and_says_why(wanted, monkeypatch):
    import optuna

    def fail(job, jobs):
        raise InputError("adversary smart needs average: ema.")

    monkeypatch.setattr(ray_trainings, "Worker", fail)
    monkeypatch.setattr(module, "_metric", lambda recipe: ("f1", None))
    with pytest.raises(InputError, match="no trial could be finished: adversary smart needs"):
        module.search(wanted, trials=2, say=lambda line: None)
    assert json.loads((wanted.folder / "search.json").read_text())["best"] is None
    assert optuna.load_study(study_name="toughen", storage=wanted.url).trials[1].state.name == "FAIL"


def test_storage_and_extra_are_refused_in_a_sentence(wanted, monkeypatch, tmp_path):
    import optuna

    bad = Search(wanted.recipe, wanted.space, tmp_path, storage="sqlite:////no/such/folder/study.db")
    with pytest.raises(InputError, match="cannot be opened"):
        module._study(optuna, bad, "f1")
    assert module._without_password("mysql://me:secret@host/db") == "mysql://me:***@host/db"
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(InputError, match=r"toughen\[search\]"):
        module.search(wanted, trials=1)


def test_processes_do_not_repeat_each_other_and_one_history_gives_one_proposal(wanted, tmp_path):
    import optuna

    def proposals(folder):
        study = module._study(optuna, Search(wanted.recipe, wanted.space, folder), "f1")
        tried = module._Trials(optuna, study, wanted, "f1", print, Worker)
        tried._train_watched = lambda trial, recipe: (0.5, optuna.trial.TrialState.COMPLETE)
        tried.write_best = lambda: None
        for _ in range(2):
            tried.start()
        return [trial.params for trial in study.trials]

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = proposals(tmp_path / "a"), proposals(tmp_path / "b")
    assert one == other
    assert one[0] != one[1]


def test_lists_and_files_are_read_without_their_test(data, tmp_path):
    from toughen.compare.recipe_data import splits_without_test

    assert set(splits_without_test(str(data))) == {"train", "validation"}
    assert splits_without_test(str(data / "train.csv")) == str(data / "train.csv")
    for split in ("train", "test"):
        for label in ("good", "bad"):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            (folder / "1.txt").write_text(f"{split} {label}")
    found = splits_without_test(str(tmp_path))
    assert set(found) == {"train"}
    assert sorted(found["train"]["text"]) == ["train bad", "train good"]
