"""The table of docs/distributed.md names every technique once, in the row that tests of two processes hold it to."""

import re
from pathlib import Path

import pytest

from contract.table import COMBINATIONS, ELSEWHERE, ROWS, Combination
from toughen.recipe.recipe import Recipe
from toughen.recipe.slots import techniques

DOCS = Path(__file__).parents[2] / "docs"
SLOTS = ("objective", "adversary", "inputs", "average", "adapter")


def rows(page):
    """Return the names in code of each row of the page's table."""
    lines = [line for line in (DOCS / page).read_text().splitlines() if line.startswith("| `")]
    return [set(re.findall(r"`([^`]+)`", line.split("|")[1])) for line in lines]


@pytest.mark.parametrize("page", ["distributed.md", "zh/distributed.md"])
def test_every_technique_stands_in_the_row_that_it_is_tested_for(page):
    however, spanning, _, _, elsewhere = rows(page)
    every = {name for slot in SLOTS for name in techniques(Recipe, slot)}
    assert every == (however | spanning | elsewhere) & every
    assert not however & spanning
    assert not (however | spanning) & elsewhere

    found = {True: set(), False: set()}
    for slot, settings in ROWS.items():
        for name, made in settings.items():
            if made is not None and getattr(made, "scope", "example") != "vocabulary":
                found[Combination(**{slot: name}).spans_rows].add(made.name)
    assert spanning == found[True] | {"adversary.scope: vocabulary"}
    assert however == found[False]
    assert {one.name for one in ELSEWHERE} <= elsewhere


def test_each_of_them_is_in_some_combination_that_two_processes_train():
    for slot, settings in ROWS.items():
        assert {getattr(one, slot) for one in COMBINATIONS} >= settings.keys()
