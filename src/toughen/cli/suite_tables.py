"""What a behavioural suite found, as tables on the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toughen.assess.suite.suite_sentences import only_answer, text_of, what_failed
from toughen.cli import show

_SHOWN = 3  # failing cases of a test
_LONGEST = 160


def print_suite(result: Mapping[str, Any]) -> None:
    """Print the failure rate of each test, and below them a few failing cases of each."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    for kind in dict.fromkeys(test["kind"] for test in result["tests"]):
        rows = [_row(test) for test in result["tests"] if test["kind"] == kind]
        show.print_table((kind, "failing", "failure rate"), rows)
        console.print()
    console.print("[low, high]: exact 95 % intervals, as if the cases of a test were drawn from many like them")
    for line in filter(None, [only_answer(result)]):
        console.print(line)
    for test in result["tests"]:
        if test["failing"]:
            console.print()
            console.print(f"{test['name']}: {what_failed(test)}")
        for case in test["failing"][:_SHOWN]:
            for text, answer, p in zip(case["texts"], case["answers"], case["probabilities"], strict=True):
                console.print(f"  {_cut(text_of(text))} → {answer} ({case['label']} {p:.3f})")
        if len(test["failing"]) > _SHOWN:
            console.print(f"  and {len(test['failing']) - _SHOWN:,} more")


def _row(test: Mapping[str, Any]) -> tuple[str, str, str]:
    low, high = test["interval"]
    share = f"{test['failure_rate']:.1%} [{low:.1%}, {high:.1%}]"
    return test["name"], f"{test['failures']:,} of {test['cases']:,}", share


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
