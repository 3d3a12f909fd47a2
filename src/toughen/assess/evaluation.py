"""Everything that can be asked about a model and labelled texts, from one pass over them; saved as JSON and parquet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.arrays import Floats
from toughen.assess.calibration import calibration, decisions
from toughen.assess.confusion import confusion
from toughen.assess.consistency import dropout_consistency
from toughen.assess.evaluation_files import EVALUATIONS, RESULT, output_folder, save
from toughen.assess.filters import parse
from toughen.assess.intervals import metric_values
from toughen.assess.metrics import soft_metrics, task_metrics
from toughen.assess.mistakes import worst_mistakes
from toughen.assess.novelty import novelty
from toughen.assess.questions import Questions
from toughen.assess.slices import Scorable, slices
from toughen.data import load_texts
from toughen.data.read.in_memory import WHOLE
from toughen.data.read.sources import read_source
from toughen.errors import InputError
from toughen.runs.writer import refuse_input_inside, sole_writer
from toughen.statistics.bootstrap import percentile_interval

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun

MAIN = "data"
_CALIBRATED = ("ece", "ece_equal_width", "brier", "aurc")


@dataclass(frozen=True)
class Assessed:
    """One scored set.

    Attributes:
        scorable: rows, outputs and answers.
        result: what is told of it.
        drawn: {metric: values on resamples}.
    """

    scorable: Scorable
    result: dict[str, Any]
    drawn: Mapping[str, Floats]


def evaluate(
    run: FinishedRun,
    data: object,
    *,
    also: Mapping[str, object] | None,
    columns: Mapping[str, str | None],
    questions: Questions,
) -> dict[str, Any]:
    """Evaluate a run on labelled data, and on any number of further sets.

    Args:
        run: finished.
        data: as for `Run.evaluate`.
        also: further data by name, whose scores are compared with those of ``data``.
        columns: names of the columns ``text``, ``text_pair`` and ``label``, None = found; and maybe ``encoding``,
            ``label_columns`` or ``vote_columns``.
        questions: what to find out.

    Returns:
        Of ``data`` the metrics as `Run.evaluate` alone returns them, and beside them intervals, calibration,
        confusion, slices, mistakes, dropout and ood where asked for, left_out ({what: why it is not there}); and
        output where something was saved. With ``also`` one such mapping per name, ``data`` first, with drop ({metric:
        how much lower than on ``data``, with its interval}). docs/evaluate.md has every key.

    Raises:
        InputError: if a source or a question is wrong; nothing has been written then.
    """
    _check(questions)
    folder = _folder(run, data, questions)
    if folder is None:
        return _evaluate_splits(run, data, also, columns, questions, None)
    refuse_input_inside(
        folder, {"RUN": run.path, "--data": data, "--ood": questions.ood, **_name_extra_data(also or {})}
    )
    with sole_writer(folder, "toughen evaluate", keep=True):
        return _evaluate_splits(run, data, also, columns, questions, folder)


def _name_extra_data(also: Mapping[str, object]) -> dict[str, object]:
    return {f"--also {name}": source for name, source in also.items()}


def _evaluate_splits(
    run: FinishedRun,
    data: object,
    also: Mapping[str, object] | None,
    columns: Mapping[str, str | None],
    questions: Questions,
    folder: Path | None,
) -> dict[str, Any]:
    size, sources = run.recipe.training.eval_batch_size, {MAIN: data, **(also or {})}
    sets: dict[str, Assessed] = {}
    for number, (name, source) in enumerate(sources.items()):
        rows = run.labelled(source, columns)
        # Seeds differ, or sets of one size would be resampled alike.
        sets[name] = assess(run.classifier, rows, replace(questions, seed=questions.seed + number), batch_size=size)
    main = sets[MAIN]
    if questions.slices:
        main = replace(main, scorable=replace(main.scorable, columns=_columns(data, main.scorable.n, columns)))
    _answer(run.classifier, main, questions, size)
    for name, found in sets.items():
        if name != MAIN:
            found.result["drop"] = drop(main, found)
    results = {name: found.result for name, found in sets.items()}
    told = results if also else dict(results[MAIN])
    if folder is None:
        return told

    save(folder, run, sources, {name: found.scorable for name, found in sets.items()}, results, questions)
    return {**told, "output": str(folder)}


def _check(questions: Questions) -> None:
    """Refuse a filter that cannot be read before anything is loaded; what is no filter may be a column."""
    for one in questions.slices:
        parse(one, [] if ":" in one else [one.strip()])


def _folder(run: FinishedRun, data: object, questions: Questions) -> Path | None:
    if not questions.save and questions.output is None:
        return None

    return output_folder(run.path / EVALUATIONS, data, questions.output, result=RESULT)


def assess(classifier: Any, rows: Any, questions: Questions, *, batch_size: int) -> Assessed:
    """Score one set: metrics, their intervals, calibration and confusion matrix."""
    start = time.perf_counter()
    outputs = classifier.outputs(rows, batch_size=batch_size)
    seconds = time.perf_counter() - start
    task, names, labels = classifier.task, classifier.label_names, rows["label"][:]
    given = (task, outputs, labels, names, classifier.thresholds)
    result: dict[str, Any] = dict(task_metrics(*given)) | soft_metrics(outputs, rows)
    result |= {"seconds": seconds, "samples_per_second": len(labels) / max(seconds, 1e-9)}
    drawn = metric_values(*given, samples=questions.samples, seed=questions.seed)
    intervals = {name: percentile_interval(values) for name, values in drawn.items()}
    known = {name: intervals[name] for name, value in result.items() if name in intervals and value is not None}
    left_out: dict[str, str] = {}
    scorable = Scorable.of(task, names, classifier.thresholds, rows, outputs)
    result["intervals"] = known
    if task == "regression":
        why = "regression predicts a number, without a probability or a class"
        left_out |= {"calibration": why, "confusion": why}
    else:
        told = calibration(decisions(task, outputs, labels, classifier.thresholds))
        told["intervals"] = {name: intervals[name] for name in _CALIBRATED if name in told}
        if "aurc" not in told:
            left_out["risk_coverage"] = "several labels per text have no one confidence to rank texts by"
        result |= {"calibration": told, "confusion": confusion(task, scorable)}
    if task == "tokens":
        left_out["slices_by_label"] = "every text has many tags"
    result["left_out"] = left_out
    return Assessed(scorable, result, drawn)


def _answer(classifier: Any, main: Assessed, questions: Questions, batch_size: int) -> None:
    """Put into the main set's result what is asked of it alone."""
    data, result = main.scorable, main.result
    result["slices"] = slices(data, questions.slices, samples=questions.samples, seed=questions.seed)
    if questions.mistakes:
        result["mistakes"] = worst_mistakes(data, questions.mistakes)
    shared = {"samples": questions.samples, "seed": questions.seed, "batch_size": batch_size}
    if questions.dropout_samples:
        passes = questions.dropout_samples
        result["dropout"] = dropout_consistency(classifier, data.rows, data.outputs, passes=passes, **shared)
    if questions.ood is not None:
        others = load_texts(questions.ood, split=None, pairs="text_pair" in data.rows.column_names)
        result["ood"] = novelty(classifier, data.rows, others, **shared)


def drop(main: Assessed, other: Assessed) -> dict[str, Any]:
    """Return {metric: {drop, interval}}: the main set's value less the other's, both resampled by themselves."""
    found: dict[str, Any] = {}
    for name in main.drawn:
        before, after = (_value(one.result, name) for one in (main, other))
        if before is not None and after is not None and name in other.drawn:
            differences = main.drawn[name] - other.drawn[name]
            found[name] = {"drop": before - after, "interval": percentile_interval(differences)}
    return found


def _value(result: Mapping[str, Any], metric: str) -> float | None:
    value: float | None = result[metric] if metric in result else result.get("calibration", {}).get(metric)
    return value


def _columns(source: object, n: int, named: Mapping[str, str | None]) -> dict[str, Sequence[Any]]:
    """Return every column of the scored split of a source."""
    raws = read_source(source, encoding=named.get("encoding"))
    raw = raws.get(WHOLE) or raws["test"]
    if raw.table.num_rows != n:
        raise InputError(f"--slice: {raw.name} has {raw.table.num_rows} rows now, but {n} were scored; it has changed.")
    return {name: raw.column(name).to_pylist() for name in raw.columns if name not in raw.mixed}
