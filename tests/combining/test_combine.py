"""A combination is a run: it is fitted on rows that no member was trained on, and answers the same when reopened."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

import toughen
from combining.conftest import start
from tiny import reviews, write_csv
from toughen import InputError, Run
from toughen.cli import main
from toughen.combining.fitting import fit_weights
from toughen.combining.weight_soup import weights_of
from toughen.data import load_labelled
from toughen.files.manifest import seal
from toughen.runs.rules import Rule, features

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

TEXTS = ["a very good film", "an awful meal", "the room was warm and bright", "poor", "dull good"]
OUTPUTS = ("mean-probabilities", "mean-logits", "vote", "weights")


def probabilities(run, texts=TEXTS):
    return np.array([list(answer["probabilities"].values()) for answer in run.predict(texts)])


def split(data, name, run):
    names = run.classifier.label_names
    return load_labelled(data / f"{name}.csv", label_names=names)


def combined(runs, output, **how):
    return toughen.combine(runs, output=output, quiet=True, **how)


@pytest.mark.parametrize("how", OUTPUTS)
def test_a_combination_answers_by_its_rule(seeds, how, tmp_path):
    run = combined(seeds, tmp_path / "run", how=how)
    members = [probabilities(Run.open(path)) for path in seeds]
    content = json.loads((run.path / "combination.json").read_text())
    weights = content["weights"] and tuple(content["weights"])
    np.testing.assert_allclose(probabilities(run), Rule(how, weights).apply("single-label", members))
    assert content["passes"] == 3
    assert np.ptp(np.stack(members), axis=0).max() > 1e-3, "canary: the members differ"


def test_a_combination_is_scored_by_the_ordinary_code_and_taken_by_evaluate(seeds, combine_data, tmp_path):
    run = combined(seeds, tmp_path / "run", how="weights")
    told = {"verdict", "next", "collapsed", "baselines"}
    assert {"validation", "test", "train", "environment", "combination"} | told == set(run.metrics)
    assert run.metrics["baselines"] == Run.open(seeds[0]).metrics["baselines"]
    assert "Its members alone get" in run.metrics["verdict"]
    again = run.evaluate(combine_data / "test.csv")
    for name, value in run.metrics["test"].items():
        if name not in ("seconds", "samples_per_second"):
            assert again[name] == pytest.approx(value), name
    again = run.evaluate(combine_data / "validation.csv")
    assert again["log_loss"] == pytest.approx(run.metrics["validation"]["log_loss"])
    assert run.metrics["combination"]["optimistic"]
    assert run.metrics["train"]["seconds"] == pytest.approx(
        sum(Run.open(path).metrics["train"]["seconds"] for path in seeds)
    )


def test_weights_are_those_of_the_validation_rows(seeds, combine_data, tmp_path):
    run = combined(seeds, tmp_path / "run", how="weights")
    rows = split(combine_data, "validation", run)
    outputs = [Run.open(path).classifier.outputs(rows) for path in seeds]
    weights = json.loads((run.path / "combination.json").read_text())["weights"]
    np.testing.assert_allclose(weights, fit_weights("single-label", outputs, rows["label"][:]))


@pytest.mark.parametrize("how", ["weights", "greedy-soup"])
def test_the_test_split_is_not_read_before_everything_is_fitted(seeds, combine_data, how, tmp_path, monkeypatch):
    """With its file unreadable all is fitted and only then refused; with other labels everything else stays."""
    data = tmp_path / "data"
    shutil.copytree(combine_data, data)
    first = combined(seeds, tmp_path / "first", how=how, data=data)
    labels = pd.read_csv(data / "test.csv")
    labels["label"] = labels["label"].map({"positive": "negative", "negative": "positive"})
    labels.to_csv(data / "test.csv", index=False)
    second = combined(seeds, tmp_path / "second", how=how, data=data)
    told = [json.loads((run.path / "combination.json").read_text()) for run in (first, second)]
    assert told[0] == told[1]
    assert first.metrics["test"]["accuracy"] == pytest.approx(1 - second.metrics["test"]["accuracy"])
    assert first.metrics["validation"]["log_loss"] == second.metrics["validation"]["log_loss"]

    (data / "test.csv").write_bytes(b"\xff\xfe\xff")
    fitted = []
    from toughen.combining import combine as module

    finish = module._finish
    monkeypatch.setattr(
        module, "_finish", lambda job, part, content, rows: (fitted.append(content), finish(job, part, content, rows))
    )
    with pytest.raises(InputError, match=r"test\.csv"):
        combined(seeds, tmp_path / "third", how=how, data=data)
    assert fitted
    assert not (tmp_path / "third").exists(), "a folder holds a whole run or none"
    assert not list(tmp_path.glob(".third*"))


def test_rows_that_a_member_was_trained_on_select_nothing(seeds, combine_data, tmp_path):
    with pytest.raises(InputError, match="was trained on 60 of the 60 rows"):
        combined(seeds, tmp_path / "run", how="weights", data=combine_data / "train.csv")
    with pytest.raises(InputError, match="was trained or selected on 30 of the 30 texts"):
        combined(seeds, tmp_path / "run", test=combine_data / "validation.csv")
    assert not (tmp_path / "run").exists()


def test_validation_rows_held_out_by_different_seeds_select_nothing(combine_model, tmp_path):
    """What one run held out, the other was trained on; a mean needs no selection and says what it left out."""
    write_csv(tmp_path / "rows.csv", reviews(60, 5))
    paths = [start(tmp_path / "rows.csv", combine_model, tmp_path / str(seed), seed=seed).path for seed in (1, 2)]
    with pytest.raises(InputError, match="same validation split"):
        combined(paths, tmp_path / "run", how="weights")
    run = combined(paths, tmp_path / "run")
    assert "validation" not in run.metrics
    same = [start(tmp_path / "rows.csv", combine_model, tmp_path / "b", seed=1, training={"learning_rate": 1e-3}).path]
    assert "validation" in combined([paths[0], *same], tmp_path / "other", how="weights").metrics


# ---------------------------------------------------------------- stacking


def test_a_stack_learns_from_out_of_fold_probabilities_only(folded, combine_data, tmp_path, monkeypatch):
    """The fitted features are those of oof.parquet; the canary: what the members say in sample is something else."""
    from toughen.combining import combine as module

    seen = []
    inner = module.fit_stack
    monkeypatch.setattr(
        module, "fit_stack", lambda outputs, labels: (seen.append((outputs, labels)), inner(outputs, labels))[1]
    )
    run = combined(folded, tmp_path / "run", how="stack")
    ((outputs, labels),) = seen
    tables = [pd.read_parquet(path / "oof.parquet") for path in folded]
    columns = ["probability_negative", "probability_positive"]
    for one, table in zip(outputs, tables, strict=True):
        np.testing.assert_array_equal(one, table[columns].to_numpy())
    assert [("negative", "positive")[i] for i in labels] == tables[0]["label"].tolist()
    whole = split(combine_data, "train", run).select(tables[0]["row"].tolist())
    in_sample = [Run.open(path).classifier.outputs(whole) for path in folded]
    assert not np.allclose(features(outputs), features(in_sample), atol=1e-3)
    assert set(run.metrics) >= {"out_of_fold", "test"}
    assert run.metrics["combination"]["rows"] == "out_of_fold"
    assert run.metrics["combination"]["passes"] == 4


def test_a_stack_of_runs_without_folds_needs_rows_that_none_has_seen(seeds, combine_data, tmp_path):
    with pytest.raises(InputError, match="--how stack learns from rows that no member has seen"):
        combined(seeds, tmp_path / "run", how="stack")
    run = combined(seeds, tmp_path / "run", how="stack", data=combine_data.parent / "fresh.csv")
    assert set(run.metrics) >= {"held_out", "test"}
    assert run.metrics["combination"]["rows"] == "held_out"
    np.testing.assert_allclose(probabilities(run).sum(axis=1), 1)


def test_runs_in_folds_are_weighted_out_of_fold(folded, tmp_path):
    run = combined(folded, tmp_path / "run", how="weights")
    tables = [pd.read_parquet(path / "oof.parquet") for path in folded]
    outputs = [table[["probability_negative", "probability_positive"]].to_numpy() for table in tables]
    labels = (tables[0]["label"] == "positive").astype(int).to_numpy()
    found = json.loads((run.path / "combination.json").read_text())["weights"]
    np.testing.assert_allclose(found, fit_weights("single-label", outputs, labels))


# ---------------------------------------------------------------- the folder


@pytest.mark.parametrize("link", [False, True])
def test_a_combination_reopened_in_a_new_process_answers_the_same(seeds, link, tmp_path):
    kept = [shutil.copytree(path, tmp_path / path.name) for path in seeds]
    run = combined(kept, tmp_path / "run", how="weights", link=link)
    before = probabilities(run).tolist()
    if not link:
        for path in kept:
            shutil.rmtree(path)
    code = f"""
import json, sys, torch
torch.set_num_threads(1)
from toughen import Run
answers = Run.open(sys.argv[1]).predict({TEXTS!r})
print(json.dumps([list(a["probabilities"].values()) for a in answers]))
"""
    told = subprocess.run([sys.executable, "-c", code, run.path], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == before
    assert (run.path / "member-1").exists() != link
    if link:
        shutil.rmtree(kept[0])
        with pytest.raises(InputError, match="refers to is gone"):
            Run.open(run.path).predict(TEXTS)


def test_combinations_combine(seeds, folded, tmp_path):
    inner = combined(seeds[:2], tmp_path / "inner")
    outer = combined([inner, seeds[2], folded[0]], tmp_path / "outer", how="mean-probabilities")
    parts = [probabilities(Run.open(path)) for path in (inner.path, seeds[2], folded[0])]
    np.testing.assert_allclose(probabilities(outer), np.mean(parts, axis=0))
    assert outer.metrics["combination"]["passes"] == 2 + 1 + 2


def test_members_read_with_their_own_tokenizers(combine_data, combine_model, tmp_path):
    """A member whose tokenizer knows no word answers alike on all texts, beside one that has learnt to read them."""
    seeing = start(combine_data, combine_model, tmp_path / "seeing", training={"epochs": 12}).path
    blind = shutil.copytree(seeing, tmp_path / "blind")
    file = blind / "model" / "tokenizer.json"
    content = json.loads(file.read_text())
    for word in ("good", "awful", "warm", "bright", "poor", "dull"):
        content["model"]["vocab"][f"never-{word}"] = content["model"]["vocab"].pop(word)
    file.write_text(json.dumps(content))
    for sealed in (blind / "model", blind):
        seal(sealed)
    run = combined([seeing, blind], tmp_path / "run")
    parts = [probabilities(Run.open(path)) for path in (seeing, blind)]
    np.testing.assert_allclose(probabilities(run), np.mean(parts, axis=0))
    assert not np.allclose(*parts, atol=1e-3)


def test_a_combination_has_seen_what_its_members_and_its_selection_saw(seeds, combine_data, tmp_path):
    from toughen.data.divide.overlap import text_hashes
    from toughen.runs.members import seen_hashes

    run = combined(seeds, tmp_path / "run", how="weights", data=combine_data.parent / "fresh.csv")
    seen = seen_hashes(run)
    for rows in (split(combine_data, "train", run), split(combine_data.parent, "fresh", run)):
        assert np.isin(text_hashes(rows), seen).all()
    assert not np.isin(text_hashes(split(combine_data, "test", run)), seen).any()


# ---------------------------------------------------------------- soups


def test_a_uniform_soup_is_the_mean_of_the_weights(seeds, tmp_path):
    run = combined(seeds, tmp_path / "run", how="uniform-soup")
    files = [weights_of(path / "model") for path in seeds]
    for name, weight in weights_of(run.path / "model").items():
        mean = sum(one[name].double() for one in files) / 3
        np.testing.assert_allclose(weight.double().numpy(), mean.numpy(), atol=1e-6)
    assert run.metrics["combination"]["passes"] == 1
    assert probabilities(Run.open(run.path)).tolist() == probabilities(run).tolist()


def test_a_greedy_soup_equals_the_computation_by_hand(seeds, combine_data, tmp_path):
    """Members in the order of their validation F1, each kept only if the mean's F1 gets strictly better."""
    run = combined(seeds, tmp_path / "run", how="greedy-soup")
    rows = split(combine_data, "validation", run)
    classifier = Run.open(seeds[0]).classifier

    def f1(weights):
        classifier.model.load_state_dict(weights)
        from toughen.assess.metrics import score

        return score(replace(classifier), rows)["f1"]

    files = [weights_of(path / "model") for path in seeds]
    alone = [f1(weights) for weights in files]
    order = sorted(range(3), key=lambda i: -alone[i])
    chosen, best = [order[0]], alone[order[0]]
    for i in order[1:]:
        tried = {name: sum(files[k][name] for k in [*chosen, i]) / (len(chosen) + 1) for name in files[0]}
        if f1(tried) > best:
            chosen, best = [*chosen, i], f1(tried)
    told = json.loads((run.path / "combination.json").read_text())["soup"]
    assert told["chosen"] == [str(seeds[i]) for i in chosen]
    assert run.metrics["validation"]["f1"] == pytest.approx(best)
    assert told["scores"][-1] == pytest.approx(best)


# ---------------------------------------------------------------- what is refused


def test_what_does_not_go_together_is_refused_in_a_sentence(seeds, folded, combine_data, combine_model, tmp_path):
    stars = [(text, float(label == "positive") + i % 3) for i, (text, label) in enumerate(reviews(40, 7))]
    numbers = start(stars, combine_model, tmp_path / "numbers", **{"data.task": "regression"}).path
    other = start(
        [(text, "yes" if label == "positive" else "no") for text, label in reviews(40, 8)],
        combine_model,
        tmp_path / "other",
    ).path
    cases = [
        (seeds[:1], {}, "needs at least 2 runs, got 1"),
        ([seeds[0], seeds[0]], {}, "is named twice"),
        (seeds, {"how": "magic"}, "--how must be one of mean-probabilities"),
        ([seeds[0], numbers], {}, "their task differ"),
        ([seeds[0], other], {}, "their labels differ"),
        ([numbers, shutil.copytree(numbers, tmp_path / "numbers-2")], {"how": "vote"}, "numbers cannot be voted on"),
        (folded, {"how": "uniform-soup"}, "has not one whole model of its own"),
        (seeds, {"how": "vote", "model": "x"}, "model is for --how distil"),
        (seeds, {"alpha": 0.5}, "alpha is for --how distil"),
        (seeds, {"how": "distil", "alpha": 1.5}, "--alpha must be from 0"),
    ]
    for runs, how, says in cases:
        with pytest.raises(InputError, match=says):
            combined(runs, tmp_path / "run", **how)
        assert not (tmp_path / "run").exists(), says
    with pytest.raises(InputError, match=r"would replace .*, which RUN 1 reads"):
        combined(seeds, seeds[0], overwrite=True)
    combined(seeds, tmp_path / "run")
    with pytest.raises(InputError, match="already holds a run; replace it with --overwrite"):
        combined(seeds, tmp_path / "run")
    combined(seeds, tmp_path / "run", overwrite=True)


def test_soups_of_different_starts_are_refused(seeds, combine_data, tmp_path):
    from tiny import save_tiny_model

    elsewhere = save_tiny_model(tmp_path / "model")
    other = start(combine_data, elsewhere, tmp_path / "other").path
    with pytest.raises(InputError, match="different starts means nothing"):
        combined([seeds[0], other], tmp_path / "run", how="greedy-soup")


def test_the_command_prints_one_object_and_exits_2_on_wrong_input(seeds, tmp_path, capsys):
    paths = [str(path) for path in seeds]
    assert main(["combine", *paths, "--how", "weights", "--output", str(tmp_path / "run"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["combination"]["how"] == "weights"
    assert len(told["details"]["weights"]) == 3
    assert main(["combine", *paths, "--how", "vote", "--output", str(tmp_path / "vote")]) == 0
    assert "models per text" in capsys.readouterr().out
    assert main(["combine", paths[0], "--output", str(tmp_path / "one")]) == 2
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(seeds[0]), "--json"]) == 2


def test_a_combination_is_exported(seeds, combine_model, tmp_path, monkeypatch):
    """From its folder, by the rule that it was combined by; every task and rule is in tests/deploy."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from toughen.deploy.export import export

    # The words of the tiny tokenizer are no model that the C++ program's table knows.
    monkeypatch.setattr("toughen.deploy.export.compile_table", lambda tokenizer, reading: b"")
    run = combined(seeds, tmp_path / "run", how="vote")
    predictor = toughen.load(export(run.path, tmp_path / "exported").path)
    np.testing.assert_allclose(probabilities(predictor), probabilities(run), rtol=0, atol=1e-5)
    assert not np.allclose(probabilities(run), probabilities(Run.open(seeds[0])), atol=1e-3)


def test_several_models_are_refused_where_one_is_needed(seeds, combine_data, tmp_path, capsys):
    run = combined(seeds[:2], tmp_path / "run", how="vote")
    test = str(combine_data / "test.csv")
    assert main(["calibrate", str(run.path)]) == 2
    assert "calibrate its members before combining them" in capsys.readouterr().err
    assert main(["attack", str(run.path), "--data", test, "--attack", "pgd", "--limit", "2"]) == 2
    assert "this run is several (in folds, or a combination)" in capsys.readouterr().err
    assert main(["attack", str(run.path), "--data", test, "--noise", "--limit", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_a_combination_and_its_evaluation_have_reports(seeds, combine_data, tmp_path, capsys):
    pytest.importorskip("jinja2", reason="the report's packages are not installed")
    run = combined(seeds, tmp_path / "run", how="weights")
    page = (run.path / "report.html").read_text()
    assert "Combined by weights" in page
    assert all(path.name in page for path in seeds)
    assert "No log of this training is left" not in page
    assert main(["evaluate", str(run.path), "--data", str(combine_data / "test.csv"), "--samples", "20"]) == 0
    assert (run.path / "evaluations/test/report.html").exists()
    assert (
        "Combined by greedy-soup"
        in (combined(seeds, tmp_path / "soup", how="greedy-soup").path / "report.html").read_text()
    )


def test_a_combination_that_is_one_run_alone_says_so(seeds, combine_data, tmp_path):
    """Beside a model whose labels are turned round a good one gets all the weight, and a soup takes it alone."""
    turned = tmp_path / "turned"
    shutil.copytree(seeds[1], turned)
    config = json.loads((turned / "model/config.json").read_text())
    weights = load_file(turned / "model/model.safetensors")
    head = [name for name in weights if "classifier" in name and weights[name].shape[0] == 2]
    assert head
    save_file(weights | {name: weights[name].flip(0) * 3 for name in head}, turned / "model/model.safetensors")
    (turned / "model/config.json").write_text(json.dumps(config))
    for folder in (turned / "model", turned):
        seal(folder)
    run = combined([turned, seeds[0]], tmp_path / "run", how="weights")
    share = json.loads((run.path / "combination.json").read_text())["weights"][1]
    assert share > 0.9995, "canary: nothing of the other"
    assert f"It is {seeds[0]} alone" in run.metrics["verdict"]
    assert run.metrics["next"].startswith(f"toughen evaluate {seeds[0]} ")
    assert "alone, which" not in combined(seeds, tmp_path / "all", how="mean-probabilities").metrics["verdict"]
