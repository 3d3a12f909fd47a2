"""What the command prints of a run."""

from toughen.cli import show

METRICS = {"f1": 0.8, "roc_auc": None, "n": 4, "undefined": {"roc_auc": "there is one class only"}}


def printed(capsys, metrics):
    show.print_run(metrics)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_run_in_folds_is_shown_with_the_spread_of_its_folds(capsys):
    spread = {"f1": {"mean": 0.7, "sd": 0.05}, "roc_auc": {"mean": None, "sd": None}}
    run = {"out_of_fold": METRICS, "folds": [METRICS, METRICS], "mean_sd": spread}

    assert printed(capsys, run) == [
        "metric out of fold mean of 2 sd",
        "f1 0.8000 0.7000 0.0500",
        "roc_auc - - -",
        "n 4 - -",
        "out of fold: roc_auc is undefined: there is one class only",
    ]
    assert printed(capsys, {**run, "test": METRICS})[:2] == [
        "metric out of fold mean of 2 sd test",
        "f1 0.8000 0.7000 0.0500 0.8000",
    ]


def test_a_single_run_is_shown_by_split(capsys):
    assert printed(capsys, {"validation": METRICS, "train": {"seconds": 1.0}})[0] == "metric validation"
