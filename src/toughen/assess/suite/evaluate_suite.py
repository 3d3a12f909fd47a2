"""Ask a model the cases of a behavioural suite: how often each test fails, and on which texts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import toughen
from toughen.assess.evaluation_files import EVALUATIONS, output_folder, plain
from toughen.assess.suite.suite_file import BehaviourTest, Suite, load_suite
from toughen.assess.suite.templates import Text
from toughen.errors import InputError
from toughen.files import write_json
from toughen.runs.writer import refuse_input_inside, replace_folder, sole_writer
from toughen.statistics.shares import clopper_pearson

FORMAT = 1
RESULT = "suite.json"
PREFIX = "suite-"
"""Of the folder among a run's evaluations."""
Answer = Mapping[str, Any]


class Asked(Protocol):
    """A run or an opened export."""

    @property
    def classifier(self) -> Any:
        """What knows the task and the labels."""

    def predict(self, texts: Sequence[Any]) -> list[dict[str, Any]]:
        """Answer for each text as `toughen.Run.predict` does."""


def evaluate_suite(
    model: Asked,
    suite: str | Path,
    *,
    names: Mapping[str, str] | None = None,
    run: Path,
    save: bool = False,
    output: str | Path | None = None,
) -> dict[str, Any]:
    """Ask a model every case of a suite.

    Args:
        model: of one class per text.
        suite: file, or name of a shipped suite.
        names: {label of the suite: label of the model}, where they differ and the suite does not know.
        run: folder of the model.
        save: write suite.json to RUN/evaluations/suite-NAME.
        output: folder to write to instead, which implies ``save``.

    Returns:
        The content of suite.json (docs/suite.md), and ``output`` where it was written.

    Raises:
        InputError: if the suite is wrong, or the model has not the labels of it or is of another task; nothing has been
            written then.
    """
    read = load_suite(suite)
    labels = match_labels(read, model.classifier, names or {})
    if not save and output is None:
        return _content(model, read, labels, run)
    folder = output_folder(run / EVALUATIONS, read.source, output, result=RESULT, prefix=PREFIX)
    refuse_input_inside(folder, {"RUN": run, "--suite": read.source})
    with sole_writer(folder, "toughen evaluate --suite", keep=True):
        content = _content(model, read, labels, run)
        with replace_folder(folder, keep=True) as part:
            write_json(part / RESULT, plain(content))
    return content | {"output": str(folder)}


def match_labels(suite: Suite, classifier: Any, names: Mapping[str, str]) -> dict[str, str]:
    """Return {label that the tests speak of: the model's}, by name in any case, or by what is told.

    Raises:
        InputError: if the model has no such label, or more than one; or it does not choose one class per text.
    """
    if classifier.task != "single-label":
        raise InputError(f"--suite asks for one class per text, and the model's task is {classifier.task}.")
    spoken = list(
        dict.fromkeys(
            label for test in suite.tests for label in (*test.expect, *([] if test.label is None else [test.label]))
        )
    )
    known: Sequence[str] = classifier.label_names
    for name, label in names.items():
        if name not in spoken:
            raise InputError(f"--suite-label {name}={label}: the suite speaks of {', '.join(spoken) or 'no label'}.")
        if label not in known:
            raise InputError(f"--suite-label {name}={label}: the model has the labels {', '.join(known)}.")
    found = {}
    for name in spoken:
        wanted = {one.casefold() for one in (name, *suite.labels.get(name, ()))}
        fitting = [names[name]] if name in names else [label for label in known if label.casefold() in wanted]
        if len(fitting) != 1:
            has = "no label" if not fitting else f"the labels {' and '.join(fitting)}, either of which could be"
            raise InputError(
                f"--suite {suite.source}: the model has {has} {name}; it has {', '.join(known)}: say which with "
                f"--suite-label {name}=LABEL."
            )
        found[name] = fitting[0]
    shared = [label for label, times in Counter(found.values()).items() if times > 1]
    if shared:
        both = " and ".join(name for name, label in found.items() if label == shared[0])
        raise InputError(f"--suite-label: {both} are both the model's {shared[0]}; give each a label of its own.")
    return found


def _content(model: Asked, suite: Suite, labels: Mapping[str, str], run: Path) -> dict[str, Any]:
    texts = list(dict.fromkeys(text for test in suite.tests for case in test.cases for text in case))
    start = time.perf_counter()
    said: dict[Text, Answer] = dict(zip(texts, model.predict(texts), strict=True))
    seconds = time.perf_counter() - start
    return {
        "format": FORMAT,
        "toughen": toughen.__version__,
        "run": str(run.resolve()),
        "sources": {"data": _full(suite.source)},
        "suite": suite.name,
        "description": suite.description,
        "label_names": list(model.classifier.label_names),
        "labels": dict(labels),
        "n": len(texts),
        "answers": dict(Counter(str(answer["label"]) for answer in said.values()).most_common()),
        "seconds": seconds,
        "tests": [_test_result(test, said, labels) for test in suite.tests],
    }


def _full(source: str) -> str:
    return str(Path(source).resolve()) if Path(source).is_file() else source


def _test_result(test: BehaviourTest, said: Mapping[Text, Answer], labels: Mapping[str, str]) -> dict[str, Any]:
    failing = sorted(_failures(test, said, labels), key=_badness, reverse=True)
    cases = len(test.cases)
    return {
        "name": test.name,
        "capability": test.capability,
        "kind": test.kind,
        "expect": [labels[name] for name in test.expect] or None,
        "label": None if test.label is None else labels[test.label],
        "direction": test.direction,
        "tolerance": None if test.kind == "minimum-functionality" else test.tolerance,
        "cases": cases,
        "failures": len(failing),
        "failure_rate": len(failing) / cases,
        "interval": clopper_pearson(len(failing), cases),
        "failing": failing,
    }


def _badness(failure: Mapping[str, Any]) -> float:
    """Return how sure a wrong answer is, or how far a change moved the probability."""
    first, *changed = failure["probabilities"]
    return abs(changed[0] - first) if changed else float(first)


def _failures(test: BehaviourTest, said: Mapping[Text, Answer], labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield what is told of each case that fails: the original, and the change that fails it most."""
    right = {labels[name] for name in test.expect}
    for case in test.cases:
        first = said[case[0]]
        if test.kind == "minimum-functionality":
            if first["label"] not in right:
                yield _failure(case, said, first["label"])
            continue
        watched = first["label"] if test.label is None else labels[test.label]
        sign = 1 if test.direction == "down" else -1
        moved = {text: _probability(said[text], watched) - _probability(first, watched) for text in case[1:]}
        if test.kind == "invariance":
            lost = {
                text: abs(by)
                for text, by in moved.items()
                if said[text]["label"] != watched and abs(by) >= test.tolerance
            }
        else:
            lost = {text: sign * by for text, by in moved.items() if sign * by > test.tolerance}
        if lost:
            yield _failure((case[0], max(lost, key=lost.__getitem__)), said, watched)


def _failure(texts: Sequence[Text], said: Mapping[Text, Answer], label: str) -> dict[str, Any]:
    return {
        "texts": [text if isinstance(text, str) else list(text) for text in texts],
        "answers": [said[text]["label"] for text in texts],
        "label": label,
        "probabilities": [_probability(said[text], label) for text in texts],
    }


def _probability(answer: Answer, label: str) -> float:
    found: float = answer["probabilities"][label]
    return found
