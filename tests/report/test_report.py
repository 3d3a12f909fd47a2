"""Reports: every kind renders as one accessible file that needs nothing else, and says only what the numbers carry."""

import json
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from report import made
from report.checks import problems, words
from toughen.cli import main
from toughen.errors import InputError
from toughen.report import charts, write
from toughen.report.write import after_training, find_result, say_report, write_report

pytest.importorskip("matplotlib", reason="needs the extra report")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{kind: HTML}."""
    folder = tmp_path_factory.mktemp("made")
    found = {}
    for kind, make in made.KINDS.items():
        if kind != "run":
            (folder / kind).mkdir()
        make(folder / kind)
        found[kind] = write_report(folder / kind).read_text(encoding="utf-8")
    return found


@pytest.mark.parametrize("kind", made.KINDS)
def test_a_report_is_one_whole_accessible_file(pages, kind):
    assert problems(pages[kind]) == []
    assert "<svg" in pages[kind]
    assert not re.search(r"https?://(?!www\.w3\.org/)", pages[kind]), "nothing is fetched"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('lang="en"', ""), ('scope="row"', ""), ('role="img"', ""), ("<h2", "<h4"), ('id="content"', 'id="elsewhere"'),
        ("</main>", "</main><script>1</script>"), ("</table>", ""), ('href="#content"', 'href="http://example.org"'),
    ],
)  # fmt: skip
def test_canary_the_check_sees_what_is_broken(pages, before, after):
    broken = pages["evaluation"].replace(before, after)
    assert broken != pages["evaluation"]
    assert problems(broken)


@pytest.mark.parametrize("kind", ["evaluation", "noise", "attack", "comparison", "ablation", "search"])
def test_texts_of_others_stay_texts(pages, kind):
    assert "<script" not in pages[kind]
    assert "alert('x')" in words(pages[kind]), "it is shown, as text"


def test_changed_words_are_marked_and_the_text_is_whole(pages):
    page = pages["attack"]
    assert "<del>fine</del>" in page
    inserted = "".join(re.findall(r"<ins>(.*?)</ins>", page))
    assert "alpha" in inserted
    assert "very" not in inserted, "what stayed is not marked"


def test_figures_take_the_page_s_colours_and_font(pages):
    drawn = "".join(re.findall(r"<svg.*?</svg>", pages["run"], re.S))
    assert "currentColor" in drawn
    assert "var(--series-1)" in drawn
    assert "var(--font)" in drawn
    assert "DejaVu" not in drawn
    assert "<path" in drawn


def test_a_label_is_neither_formula_nor_lost(pages):
    drawn = "".join(re.findall(r"<svg.*?</svg>", pages["evaluation"], re.S))
    assert "好 $1" in drawn
    assert "&lt;b&gt;bad" in drawn


# ---------------------------------------------------------------- colours


def schemes():
    text = (Path(write.__file__).parent / "templates/style.css").read_text()
    light = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text[: text.index("@media")]))
    dark = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text[text.index("@media") : text.index("@media print")]))
    return {"light": light, "dark": dark}


def contrast(one, two):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_letter_and_line_stands_out_from_its_ground(scheme):
    colours = schemes()[scheme]
    assert set(schemes()["light"]) == set(schemes()["dark"]), "both schemes name every colour"
    letters = ["ink", "muted", "link", *(name for name in colours if name.startswith("series"))]
    for name in letters:
        for ground in ("ground", "raised"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for ground in ("gone", "new"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5
    assert contrast("#777777", "#ffffff") < 4.5, "canary"


# ---------------------------------------------------------------- what is said


def said(folder, **changes):
    return words(write_report(made.evaluation(folder, **changes)).read_text(encoding="utf-8"))


def test_too_sure_is_called_so_and_a_small_gap_is_not(tmp_path):
    assert "It is too sure of itself" in said(tmp_path / "a", n=400, accuracy=0.7, confidence=0.95)
    assert "not sure enough" in said(tmp_path / "b", n=400, accuracy=0.95, confidence=0.6)
    close = said(tmp_path / "c", n=60, accuracy=0.8, confidence=0.82)
    assert "no difference that this many texts can show" in close
    assert "There are only 60 texts" in close


def test_a_slice_is_blamed_only_when_its_interval_and_size_allow(pages):
    page = words(pages["evaluation"])
    assert f"It is worse on “{' '.join(made.HOSTILE.split())}”" in page
    assert "worse on “long”" not in page
    assert "worse on “rare”" not in page, "five texts"


def test_majority_is_the_yardstick(tmp_path):
    assert "no better than a guess" in said(tmp_path / "a", n=400, accuracy=0.52)
    assert "more than a guess" in said(tmp_path / "b", n=400, accuracy=0.9)


@pytest.mark.parametrize(
    ("low", "high", "p", "metric", "expected"),
    [
        (0.01, 0.03, 0.01, "f1", "is better than plain"),
        (0.01, 0.03, 0.01, "rmse", "is worse than plain"),
        (0.01, 0.03, 0.20, "f1", "no difference in F1 that this many texts can show"),
        (-0.01, 0.05, 0.01, "f1", "no difference in F1 that this many texts can show"),
        (None, None, None, "f1", "no difference in F1 that this many texts can show"),
    ],
)
def test_a_difference_is_claimed_only_where_interval_and_p_agree(low, high, p, metric, expected):
    from toughen.report.sentences import difference

    assert expected in difference(made.difference("x", 0.02, low, high, p, metric), metric, "plain", "texts")


def test_a_run_is_told_by_its_test_split_and_its_curves(pages):
    page = words(pages["run"])
    assert "The model answers 80.0 % (95 % interval 73.8 to 85.3 %) of 200 test texts correctly." in page
    assert "Validation loss was lowest at step 20 (0.400) and rose to 0.800" in page
    assert "The weights are those of step 20 of 40" in page
    assert "a step costs 5.3 times" in page
    assert "L2 norm per text" in page
    assert "accuracy on perturbed texts" in page
    assert "rdrop" in page


def test_a_run_stands_beside_simple_models_with_its_confusions_and_worst_mistakes(tmp_path):
    made.run(tmp_path / "run")
    page = words(write_report(tmp_path / "run").read_text())
    assert "Scores beside simple models on the same texts" in page
    for name in ("this model, test", "frozen + linear", "TF-IDF + linear", "majority", "this model, validation"):
        assert name in page
    assert "160 of 200 stand on the diagonal" in write_report(tmp_path / "run").read_text()
    assert "The 3 worst" in page
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    lost = {"verdict": "it has learnt nothing: it answers bad to everything.", "collapsed": True}
    (tmp_path / "run/metrics.json").write_text(json.dumps(metrics | lost))
    page = words(write_report(tmp_path / "run").read_text())
    assert "it has learnt nothing" in page
    assert "correctly" not in page, "no share of right answers praises it"


def test_power_beyond_any_score_is_not_quoted(tmp_path):
    assert "5.4" not in words(write_report(made.ablation(tmp_path, single=5.4)).read_text())


# ---------------------------------------------------------------- files


def test_figures_reach_tensorboard_once(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    made.run(tmp_path / "run")
    (tmp_path / "run/tensorboard").mkdir()
    for _ in range(2):
        write_report(tmp_path / "run")
    log = tmp_path / "run/tensorboard/report"
    assert len(list(log.iterdir())) == 1, "an earlier report is replaced"
    tags = events.EventAccumulator(str(log)).Reload().Tags()["images"]
    assert {"training-run/loss", "training-run/loss-terms", "training-run/perturbation"} <= set(tags)


def test_results_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds nothing to report"):
        find_result(tmp_path)
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(InputError, match="has not finished"):
        find_result(tmp_path)
    made.write(tmp_path / "old/evaluation.json", {"sets": {}})
    with pytest.raises(InputError, match="cannot be read as this version writes it"):
        write_report(tmp_path / "old")


def test_the_command_writes_where_it_is_told(tmp_path, capsys):
    made.run(tmp_path / "run")
    assert main(["report", str(tmp_path / "run"), "--output", str(tmp_path / "new/x.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["report"]) == tmp_path / "new/x.html"
    assert Path(told["card"]) == tmp_path / "run/model/README.md"
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "holds nothing to report" in capsys.readouterr().err


def test_a_report_that_fails_fails_nothing_else(tmp_path, monkeypatch):
    made.run(tmp_path / "run")
    heard = []
    monkeypatch.setattr(write, "write_report", lambda path: 1 / 0)
    after_training(tmp_path / "run", heard.append)
    assert heard[0].startswith("a report could not be written: ZeroDivisionError")
    assert heard[1].endswith("README.md"), "the card is not lost with it"
    monkeypatch.setattr(write, "is_available", lambda: False)
    say_report(tmp_path / "run", heard.append)
    assert len(heard) == 2, "without the extra, not a word"
    monkeypatch.undo()
    monkeypatch.setattr(write, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"toughen\[report\]"):
        write.write_report(tmp_path / "run")


def test_the_package_imports_without_what_draws():
    import subprocess

    code = "import sys, toughen, toughen.cli.commands, toughen.report.write; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_without_checkpoints_is_read_from_tensorboard_or_says_so(tmp_path):
    made.run(tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints")
    assert "No log of this training is left" in words(write_report(tmp_path / "run").read_text())
    writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter(str(tmp_path / "run/tensorboard"))
    for step in (1, 2, 3):
        writer.add_scalar("loss/total", 1.0 / step, step)
        writer.add_scalar("validation/loss", 0.5, step)
    writer.close()
    page = words(write_report(tmp_path / "run").read_text())
    assert "No log" not in page
    assert "training loss goes from 1 at step 1 to 0.3333 at step 3" in page


def test_runs_of_one_name_are_told_apart(tmp_path):
    path = made.comparison(tmp_path)
    content = json.loads(path.read_text())
    content["mcnemar"][0]["runs"] = ["/x/plain/seed-42", "/x/adversary/seed-42"]
    path.write_text(json.dumps(content))
    assert "plain/seed-42 / adversary/seed-42" in words(write_report(tmp_path).read_text())


def test_scores_that_differ_by_rounding_fill_no_axis():
    from toughen.report.charts import Bought, cost_benefit

    values = (0.0, 1e-17)
    chart = cost_benefit([Bought(str(v), 1.0 + v, v, None, None) for v in values], "f1", what="", line=0.0)
    (axis,) = chart.figure.axes
    assert axis.get_ylim() == pytest.approx((-0.01, 0.01), abs=1e-6)
    wide = cost_benefit([Bought(str(v), 1.0, v, None, None) for v in (0.2, 0.8)], "f1", what="", line=None)
    assert wide.figure.axes[0].get_ylim()[1] < 0.9, "other axes are as they were"


def test_a_long_name_of_an_axis_is_broken_not_cut():
    from toughen.report.charts import Bought, cost_benefit

    rows = [Bought("plain", 1.0, 0.5, None, None)]
    drawn = {metric: cost_benefit(rows, metric, what=", difference", line=0.0).figure for metric in ("rmse", "f1")}
    for metric, lines in (("rmse", 2), ("f1", 1)):
        (axis,) = drawn[metric].axes
        drawn[metric].canvas.draw()
        box = axis.yaxis.label.get_window_extent()
        assert 0 <= box.y0 < box.y1 <= drawn[metric].bbox.height
        assert len(axis.get_ylabel().splitlines()) == lines


def test_a_plan_says_what_it_costs_until_there_are_results(tmp_path):
    made.plan(tmp_path)
    page = words(write_report(tmp_path).read_text())
    assert "4 runs: 2 combinations of parts, each with 2 seeds; 1 of them had finished" in page
    assert "cost as much as 8 runs of plain" in page
    assert "a true difference of 0.1" in page
    assert "from predicted values." in page
    assert "measured values" not in page
    made.ablation(tmp_path)
    assert "from measured values." in words(write_report(tmp_path).read_text())
    assert "The results take the place of this page" not in words(write_report(tmp_path).read_text())


def augmented(folder, account):
    path = made.run(folder)
    path.write_text(json.dumps(json.loads(path.read_text()) | account))
    return words(write_report(folder).read_text())


def test_a_run_tells_what_it_attacked_before_each_epoch(tmp_path):
    epoch = {"epoch": 2, "attacked": 1200, "answered_rightly": 1100, "fooled": 431, "added": 429, "queries": 23456}
    later = {"epoch": 3, "attacked": 1200, "answered_rightly": 1150, "fooled": 62, "added": 61, "queries": 34567}
    account = {"attack": "deepwordbug", "epochs": [epoch | {"seconds": 9.04}, later | {"seconds": 7.0}]}
    page = augmented(tmp_path / "run", {"augment": account})
    assert "Training texts attacked by deepwordbug" in page
    assert "before epoch texts attacked answered rightly fooled added queries seconds" in page
    assert "2 1,200 1,100 431 429 23,456 9.0 3 1,200 1,150 62 61 34,567 7.0" in page
    account = {"file": "pairs.parquet", "pairs": 70, "added": 64, "left_out": 6}
    assert "pairs in the file 70 added to train 64 left out 6" in augmented(tmp_path / "file", {"augment": account})
    assert "Adversarial t" not in augmented(tmp_path / "plain", {}), "canary"


def test_means_over_classes_are_named_alike():
    from toughen.report.sentences import name_metric

    named = [name_metric(metric) for metric in ("f1", "f1_micro", "f1_weighted", "precision_weighted", "log_loss")]
    assert named == ["F1", "F1 (micro)", "F1 (weighted)", "precision (weighted)", "log loss"]


def test_labels_of_two_lines_do_not_touch_in_a_forest():
    names = ["short"] * 12 + ["a name so long that it takes a second line"] * 3
    rows = [charts.Interval(name, 0.5, 0.4, 0.6, False) for name in names]
    drawn = charts.forest("key", "Title", rows, "share", "alt", line=None).figure
    (axis,) = drawn.axes
    drawn.canvas.draw()
    boxes = [label.get_window_extent() for label in axis.get_yticklabels()]
    assert [label.get_text().count("\n") for label in axis.get_yticklabels()] == [0] * 12 + [1] * 3
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes))
