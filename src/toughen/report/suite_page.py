"""The report of a behavioural suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toughen.assess.suite.suite_sentences import only_answer, text_of, what_failed
from toughen.errors import count
from toughen.files import read_json
from toughen.report import charts
from toughen.report.page import Block, Note, Page, Section, Table
from toughen.report.sentences import number, percent, share_with_interval

SHOWN = 20
"""Failing cases of a test on the page; suite.json has all."""
Result = Mapping[str, Any]


def suite_page(path: Path) -> Page:
    """Tell what a suite found; path is its suite.json."""
    content = read_json(path)
    facts = [
        ("run", Path(content["run"]).name),
        ("suite", content["suite"]),
        ("what it asks", content["description"] or "–"),
        ("texts", number(content["n"])),
        ("answers", ", ".join(f"{label}: {times:,}" for label, times in content["answers"].items())),
        ("labels", ", ".join(f"{name} is {label}" for name, label in content["labels"].items()) or "none needed"),
    ]
    sections = [
        Section("Failure rates", [_chart(content), _table(content)]),
        Section("Failing cases", list(_failing(content))),
    ]
    return Page("suite", path.resolve().parent.name, list(_summary(content)), facts, sections)


def _summary(content: Result) -> Iterator[str]:
    tests = content["tests"]
    failing = [test for test in tests if test["failures"]]
    if not failing:
        yield f"No case of {count(len(tests), 'test')} fails."
    else:
        worst = max(failing, key=lambda test: test["failure_rate"])
        share = share_with_interval(worst["failure_rate"], worst["interval"])
        yield f"Of {count(len(tests), 'test')} {len(failing)} fail in some case; “{worst['name']}” fails most: {share}."
    yield from filter(None, [only_answer(content)])


def _chart(content: Result) -> Block:
    rows = [
        charts.Interval(f"{test['name']} ({test['cases']:,})", test["failure_rate"], low, high, False)
        for test in content["tests"]
        for low, high in [test["interval"]]
    ]
    told = "; ".join(f"{test['name']} {percent(test['failure_rate'])}" for test in content["tests"]) + "."
    note = "In brackets: cases. Exact 95 % intervals, as if the cases of a test were drawn from many like them."
    return charts.forest("failures", "Failure rate of each test", rows, "failure rate", told, line=0.0, note=note)


def _table(content: Result) -> Table:
    rows = [
        (
            test["name"],
            test["capability"] or "–",
            test["kind"],
            what_failed(test),
            f"{test['failures']:,} of {test['cases']:,}",
            share_with_interval(test["failure_rate"], test["interval"]),
        )
        for test in content["tests"]
    ]
    return Table("Tests", ("test", "capability", "kind", "a case fails if", "failing", "failure rate"), rows)


def _failing(content: Result) -> Iterator[Block]:
    for test in content["tests"]:
        cases = test["failing"]
        if not cases:
            continue
        shown = f", the first {SHOWN} of {len(cases):,}" if len(cases) > SHOWN else ""
        rows = [
            (
                *(text_of(text) for text in case["texts"]),
                " → ".join(case["answers"]),
                case["label"],
                " → ".join(number(p, 3) for p in case["probabilities"]),
            )
            for case in cases[:SHOWN]
        ]
        texts = ("text",) if len(cases[0]["texts"]) == 1 else ("text", "changed")
        yield Table(f"{test['name']}{shown}", (*texts, "answer", "label", "its probability"), rows)
    if not any(test["failing"] for test in content["tests"]):
        yield Note("There is none.")
