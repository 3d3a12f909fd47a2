"""Score runs on the same texts and say which differences are real, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toughen.arrays import Floats
from toughen.assess.definition import NO_NUMBERS, POSITIVE_CLASS, positive_class
from toughen.assess.intervals import MAIN_METRICS, metric_points, metric_values, resampled_metrics
from toughen.assess.metrics import Scored
from toughen.assess.selection import chosen_metric
from toughen.compare.run_groups import Group, baseline_of, check_alike, group_by_recipe, open_runs
from toughen.compare.tables import comparison_table, difference_sentence
from toughen.data import load_labelled
from toughen.data.divide.overlap import text_hashes
from toughen.errors import InputError
from toughen.files import write_json, write_whole
from toughen.runs.folder import HASHES
from toughen.runs.writer import is_about_writing, refuse_input_inside, replace_folder, sole_writer
from toughen.statistics.bootstrap import hierarchical
from toughen.statistics.seeds import McNemar, holm, mcnemar

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun

RESULT, TABLE = "comparison.json", "table.md"


@dataclass(frozen=True)
class Scores:
    """What one run scored.

    Attributes:
        metrics: on all texts, as `metric_points` returns them.
        resampled: {metric: [S] score on each resample of the texts}, the same resamples for every run.
        right: [N] whether each answer is right (single-label), else None.
        seen: texts that the run was trained on or chosen by; None where it does not know.
    """

    metrics: Mapping[str, Any]
    resampled: Mapping[str, Floats]
    right: Any
    seen: int | None


def compare(
    runs: Sequence[str | Path],
    data: object,
    *,
    metric: str | None = None,
    baseline: str | Path | None = None,
    output: str | Path | None = None,
    samples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Score runs on the same labelled texts, and compare each recipe with the baseline's.

    Args:
        runs: run folders; those whose recipes differ in the seed alone are grouped.
        data: as for `Run.evaluate`.
        metric: score of the sentences, any that `Run.evaluate` has an interval for; default f1, or pearson. The task's
            main ones stand beside it.
        baseline: a run; default the first.
        output: folder for ``comparison.json`` and ``table.md``; None writes nothing.
        samples: resamples of the texts.
        seed: of the draws.
        level: mass of the intervals, in (0, 1).
        columns: ``text``, ``label`` and ``text_pair``, as for `Run.evaluate`.

    Returns:
        What ``comparison.json`` holds; see ``docs/compare.md``.

    Raises:
        InputError: if runs answer different questions, or data, metric or baseline are wrong.
    """
    _check_output(output)
    if output is not None:
        refuse_input_inside(Path(output), {f"RUN {run}": run for run in runs} | {"--data": data})
    opened = open_runs(runs)
    groups = group_by_recipe(opened)
    base = baseline_of(groups, baseline)
    if len(groups) == 1:
        raise InputError(f"the runs are {len(opened)} seeds of one recipe, so there is nothing to compare it with.")
    scoring = Scoring.on(opened[0], data, metric, columns or {}, samples, seed)
    scores = {run.path: scoring.score(run) for run in opened}
    head = {"kind": "comparison", "data": str(data) if isinstance(data, (str, Path)) else None, "n": len(scoring.rows)}
    result = head | _result(scoring, groups, base, scores, level)
    if output is not None:
        _save(Path(output), result)
    return result


def _result(
    scoring: Scoring, groups: Sequence[Group], base: Group, scores: Mapping[Path, Scores], level: float
) -> dict[str, Any]:
    others = [group for group in groups if group is not base]
    drawn = _Drawn(base, others, scores, scoring.seed, level)
    differences = [entry for name in scoring.metrics for entry in drawn.differences(name)]
    return {
        **{name: getattr(scoring, name) for name in ("task", "label_names", "metric", "metrics", "samples")},
        POSITIVE_CLASS: positive_class(scoring.task, scoring.label_names),
        "level": level,
        "baseline": base.name,
        "groups": [_describe_group(group, scores, scoring.metrics) for group in groups],
        "differences": [entry | {"sentence": difference_sentence(entry)} for entry in differences],
        "mcnemar": _mcnemar(others, base, scores) if scoring.task == "single-label" else [],
    }


def _save(folder: Path, result: Mapping[str, Any]) -> None:
    with sole_writer(folder, "toughen compare", keep=True), replace_folder(folder, keep=True) as part:
        write_whole(part / TABLE, lambda file: file.write_text(comparison_table(result), encoding="utf-8"))
        write_json(part / RESULT, result)


def _check_output(output: str | Path | None) -> None:
    folder = None if output is None else Path(output)
    if folder is None or not folder.exists() or (folder / RESULT).exists():
        return
    if not folder.is_dir() or not all(map(is_about_writing, folder.iterdir())):
        raise InputError(f"{folder} exists and holds no comparison; choose another --output.")


@dataclass(frozen=True)
class Scoring:
    """The texts, and how every run is scored on them.

    Attributes:
        rows: labelled texts.
        first: folder of the first run, whose labels the texts have.
        metrics: scores that are compared, the first of them is ``metric``.
    """

    rows: Any
    first: Path
    task: Any
    label_names: tuple[str, ...]
    metric: str
    metrics: tuple[str, ...]
    samples: int
    seed: int

    @classmethod
    def on(
        cls, run: FinishedRun, data: object, metric: str | None, columns: Mapping[str, str], samples: int, seed: int
    ) -> Scoring:
        """Read the texts with a run's labels."""
        classifier = run.classifier
        task, names = classifier.task, tuple(classifier.label_names)
        chosen = chosen_metric(metric, resampled_metrics(task, names), task=task)
        named = {name: columns.get(name) or getattr(run.recipe.data, name) for name in ("text", "label", "text_pair")}
        rows = load_labelled(
            data, label_names=names, task=task, pairs=classifier.pairs, known=classifier.columns, **named
        )
        metrics = (chosen, *(name for name in MAIN_METRICS[task] if name != chosen))
        return cls(rows, run.path, task, names, chosen, metrics, samples, seed)

    def score(self, run: FinishedRun) -> Scores:
        """Score one run, and let go of its model."""
        classifier = run.classifier
        check_alike((self.first, self.task, self.label_names), run.path, classifier)
        outputs = classifier.outputs(self.rows, batch_size=run.recipe.training.eval_batch_size)
        thresholds, labels = classifier.thresholds, self.rows["label"][:]
        del run.__dict__["classifier"]
        given = (self.task, outputs, labels, self.label_names, thresholds)
        drawn = metric_values(*given, metrics=self.metrics, samples=self.samples, seed=self.seed)
        metrics = metric_points(*given)
        right = _right(outputs, labels, thresholds) if self.task == "single-label" else None
        return Scores(metrics, drawn, right, _count_seen(run, self.rows))


def _right(outputs: Any, labels: Any, thresholds: Any) -> Any:
    scored = Scored.of(outputs, labels, None, None if thresholds is None else thresholds[0])
    return scored.predictions == scored.labels


def _count_seen(run: FinishedRun, rows: Any) -> int | None:
    """Return how many of the texts the run has seen, None where it has not kept that."""
    files = [member.path / HASHES for member in run.members]
    if not all(path.exists() for path in files):
        return None
    return int(np.isin(text_hashes(rows), np.concatenate([np.load(path) for path in files])).sum())


def _describe_group(group: Group, scores: Mapping[Path, Scores], metrics: Sequence[str]) -> dict[str, Any]:
    values = {m: [v for run in group.runs if (v := scores[run.path].metrics[m]) is not None] for m in metrics}
    return {
        "name": group.name,
        "runs": [
            {
                "path": str(run.path),
                "seed": seed,
                "metrics": {k: v for k, v in scores[run.path].metrics.items() if k not in NO_NUMBERS},
                "seen_in_training": scores[run.path].seen,
                "collapsed": bool(run.metrics.get("collapsed")),
            }
            for run, seed in zip(group.runs, group.seeds, strict=True)
        ],
        "mean": {m: float(np.mean(found)) if found else None for m, found in values.items()},
        "sd": {m: float(np.std(found, ddof=1)) if len(found) > 1 else None for m, found in values.items()},
        "cost": group.cost,
    }


@dataclass(frozen=True)
class _Drawn:
    """Every recipe against the baseline, from the scores on resamples."""

    base: Group
    others: Sequence[Group]
    scores: Mapping[Path, Scores]
    seed: int
    level: float

    def differences(self, metric: str) -> list[dict[str, Any]]:
        """Return the difference of one metric for each recipe, corrected for their number."""
        entries = [self._difference(group, metric) for group in self.others]
        for entry, p in zip(entries, holm([entry["p"] for entry in entries]), strict=True):
            entry["p_holm"] = p
        return entries

    def _difference(self, group: Group, metric: str) -> dict[str, Any]:
        common = sorted(set(group.seeds) & set(self.base.seeds))
        paired = len(common) > 1 or (len(group.runs) == len(self.base.runs) == 1)
        ours, theirs = self._runs(group, common if paired else ()), self._runs(self.base, common if paired else ())
        first, second = (np.stack([self.scores[r.path].resampled[metric] for r in part]) for part in (ours, theirs))
        found = hierarchical(first, second, paired=paired, seed=self.seed + 1, level=self.level)
        means = [self._mean(part, metric) for part in (ours, theirs)]
        known = found is not None and None not in means
        blank = {"low": None, "high": None, "p": None, "skipped": first.shape[1]}
        return {
            "name": group.name,
            "against": self.base.name,
            "metric": metric,
            "mean": means[0] - means[1] if known else None,  # type: ignore[operator]
            **(asdict(found) if found is not None and known else blank),
            "seeds": [len(ours), len(theirs)],
            "paired_by_seed": paired and len(ours) > 1,
            "relative_cost": _ratio(group.cost["units_per_step"], self.base.cost["units_per_step"]),
            "relative_seconds": _ratio(group.cost["seconds"], self.base.cost["seconds"]),
        }

    def _runs(self, group: Group, seeds: Sequence[int]) -> list[FinishedRun]:
        """Return the runs of the seeds that both recipes have; all where they have no two in common."""
        if len(seeds) < 2:
            return list(group.runs)
        return [run for run, seed in zip(group.runs, group.seeds, strict=True) if seed in seeds]

    def _mean(self, runs: Sequence[FinishedRun], metric: str) -> float | None:
        values = [self.scores[run.path].metrics[metric] for run in runs]
        return None if None in values else float(np.mean(values))


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _mcnemar(groups: Sequence[Group], base: Group, scores: Mapping[Path, Scores]) -> list[dict[str, Any]]:
    """Test accuracy within each pair of runs, corrected for the number of pairs."""
    tests = [
        {"name": group.name, "against": base.name, "runs": [str(ours.path), str(theirs.path)]}
        | asdict(_alone_right(scores[ours.path].right, scores[theirs.path].right))
        for group in groups
        for ours, theirs in _pairs(group, base)
    ]
    for test, p in zip(tests, holm([test["p_mid"] for test in tests]), strict=True):
        test["p_mid_holm"] = p
    return tests


def _pairs(group: Group, base: Group) -> list[tuple[FinishedRun, FinishedRun]]:
    """Return the runs of the same seed, or the only run of each."""
    if len(group.runs) == len(base.runs) == 1:
        return [(group.runs[0], base.runs[0])]
    theirs = dict(zip(base.seeds, base.runs, strict=True))
    return [(run, theirs[seed]) for run, seed in zip(group.runs, group.seeds, strict=True) if seed in theirs]


def _alone_right(ours: Any, theirs: Any) -> McNemar:
    return mcnemar(int((ours & ~theirs).sum()), int((theirs & ~ours).sum()))
