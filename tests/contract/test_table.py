"""The table covers what it says: every allowed pair of settings of two slots meets in some combination."""

from contract.table import (
    ALLOWED,
    COMBINATIONS,
    ELSEWHERE,
    EVERYTHING,
    ROWS,
    SLOTS,
    Combination,
    cover,
    pairs_of,
    refusals,
)
from toughen.recipe.recipe import Recipe
from toughen.recipe.slots import hints, techniques

REFUSED = {
    ("rdrop", "rat"),
    ("rdrop", "rat-detached"),
    ("focal", "regression"),
    ("pgd-vocabulary", "mixup"),
    ("mixup", "tokens"),
    ("smart", "none"),
    ("smart", "swa"),
}
"""The pairs of this table that the rules of composition leave out."""


def techniques_without_row(rows):
    """Return "slot: name" of each named technique of a recipe that has neither a row nor a reason for having none."""
    return [
        f"{slot}: {name}"
        for slot in hints(Recipe)
        for name, cls in techniques(Recipe, slot).items()
        if name and cls not in ELSEWHERE and cls not in map(type, rows.get(slot, {}).values())
    ]


def test_every_technique_has_a_row():
    """What a recipe can name passes the contract: a technique is added to the table, or says why it cannot be."""
    assert techniques_without_row(ROWS) == []
    for slot, rows in ROWS.items():
        for cls in {type(setting) for setting in rows.values() if setting}:
            others = {name: setting for name, setting in rows.items() if type(setting) is not cls}
            assert techniques_without_row(ROWS | {slot: others}) == [f"{slot}: {cls.name}"], "canary: its rows are gone"


def test_what_stands_elsewhere_is_a_technique_without_a_row():
    known = {cls for slot in hints(Recipe) for name, cls in techniques(Recipe, slot).items() if name}
    assert set(ELSEWHERE) <= known
    assert not set(ELSEWHERE) & {type(setting) for rows in ROWS.values() for setting in rows.values()}


def test_every_allowed_pair_occurs():
    """A few combinations stand for all that are allowed; only refused pairs are missing."""
    everything = set().union(*map(pairs_of, EVERYTHING))
    found = set().union(*map(pairs_of, COMBINATIONS))
    assert {(first[1], second[1]) for first, second in everything - found} == REFUSED
    assert found == set().union(*map(pairs_of, ALLOWED))
    assert len(COMBINATIONS) < len(ALLOWED) / 20 < len(EVERYTHING) / 20


def test_no_combination_is_refused_and_each_refused_one_breaks_a_rule():
    assert not any(map(refusals, COMBINATIONS))
    for combination in set(EVERYTHING) - set(ALLOWED):
        assert any({first[1], second[1]} == set(pair) for first, second in pairs_of(combination) for pair in REFUSED)


def test_the_covering_is_deterministic_and_lean():
    """Hardly longer than its two longest slots need, and without its last combination a pair would be missing."""
    assert sorted(cover(ALLOWED), key=EVERYTHING.index) == COMBINATIONS
    objectives, adversaries = len(SLOTS[0]), len(SLOTS[1])
    assert len(COMBINATIONS) <= 1.1 * objectives * adversaries
    without = set().union(*map(pairs_of, COMBINATIONS[:-1]))
    assert pairs_of(COMBINATIONS[-1]) - without, "canary: a missing combination is seen"


def test_every_technique_stands_alone_in_rows_that_know_nothing_of_each_other():
    """Each adversary that spans no rows has a combination that spans none, so that no rule is only ever exempt."""
    free = {combination.adversary for combination in COMBINATIONS if not combination.spans_rows}
    assert free == {name for name in SLOTS[1] if not Combination(adversary=name).spans_rows}
    assert {combination.objective for combination in COMBINATIONS if not combination.spans_rows} == set(SLOTS[0])
