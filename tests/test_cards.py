"""The cards of docs/techniques say what the code does: settings, defaults, passes, papers and measured numbers.

Each rule is a function that returns what is wrong with a page; a canary shows it a page with a fault.
"""

import json
import re
import shlex
import sys
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import pytest

from engine.models import batch, tiny
from toughen import load_recipe
from toughen.cli.recipe_flags import split
from toughen.engine.averages import CheckpointSoup
from toughen.engine.engine import Engine
from toughen.engine.objectives import resolve_class_weights
from toughen.engine.weight_average import make_average
from toughen.recipe import yaml_core
from toughen.recipe.recipe import Recipe
from toughen.recipe.slots import techniques

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import cards  # noqa: E402
from cards import SETTINGS_WITH_A_CARD, SPELT  # noqa: E402

FOLDER = ROOT / "docs" / "techniques"
INDEX = ROOT / "docs" / "paper-index.md"
HEADINGS = [
    "What it does",
    "In a recipe",
    "Paper",
    "Cost",
    "When it helps, and when not",
    "Default and range",
    "Pitfalls",
    "Deviations",
    "Measured",
]
NOT_MEASURED = "not measured"
TASKS = {"SST-2": "sst2", "IMDb": "imdb"}
ARXIV = re.compile(r"(?<![\d.])\d{2}(?:0[1-9]|1[0-2])\.\d{4,5}(?!\d|\.\d)")

RECIPE_OF = {"rat": "rat-stack"}
"""Techniques whose shipped recipe has another name."""


@dataclass(frozen=True)
class Card:
    """What a page must be about."""

    name: str
    slot: str
    settings: frozenset[str]

    @property
    def text(self):
        return (FOLDER / f"{self.name}.md").read_text()


def whole_techniques():
    """Return a card for every technique of the unions whose members are techniques of their own."""
    found = {(slot, name): cls for slot in ("inputs", "adversary", "average") for name, cls in members(slot).items()}
    return [Card(SPELT.get(name, name), slot, settings_of(cls)) for (slot, name), cls in found.items()]


def members(slot):
    return techniques(Recipe, slot)


def settings_of(cls):
    return frozenset(f.name for f in fields(cls)) - {"name"}


CARDS = {card.name: card for card in whole_techniques()} | {
    name: Card(name, slot, frozenset(settings))
    for slot, cards in SETTINGS_WITH_A_CARD.items()
    for name, settings in cards.items()
}
EVERY = pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))


# reading a page


def sections(text):
    """Return {heading: body} of the second-level headings, in order."""
    parts = re.split(r"^## (.+)$", text, flags=re.M)
    return dict(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))


def block(text, language):
    """Return the one fenced block of a language in "In a recipe"."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", sections(text)["In a recipe"], re.S)
    return found


def table(body):
    """Return the rows of the first table: lists of cells, the header left out."""
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def recipe_of(text):
    """Return the recipe that the YAML makes, all else at its default."""
    return load_recipe({"model": "none", **yaml_core.parse(block(text, "yaml"), "card")})


def default(cls, name):
    return next(f.default for f in fields(cls) if f.name == name)


def cell_value(cell):
    return yaml_core.parse(cell.strip("`"), "cell")


# the rules


def wrong_headings(text):
    return [] if list(sections(text)) == HEADINGS and all(sections(text).values()) else [list(sections(text))]


def wrong_yaml(text, card):
    """A line says `# default` if and only if its value is the default; every setting has a line."""
    part = getattr(recipe_of(text), card.slot)
    shown = dict(re.findall(r"^  (\w+): [^#\n]+?(?: +# (.*))?$", block(text, "yaml"), re.M))
    settings = {name: note for name, note in shown.items() if name in settings_of(type(part))}
    wrong = sorted(set(settings) ^ card.settings)
    for name, note in settings.items():
        right = default(type(part), name)
        called, named = re.match(r"(default(?=;|$))?.*?(?:default: (.+))?$", note).groups()
        wrong += [name] if (getattr(part, name) == right) != bool(called) else []
        wrong += [f"default of {name}"] if named and cell_value(named) != right else []
    return wrong


def wrong_flags(text, card):
    """The flags make of `plain` what the YAML makes."""
    line = block(text, "bash").replace("\\\n", " ")
    program, command, name, *rest = shlex.split(line)
    rest, found = split(rest, {"--output", "--unlabelled"})
    flags, written = getattr(load_recipe(name, found), card.slot), getattr(recipe_of(text), card.slot)
    same = all(getattr(flags, s, None) == getattr(written, s) for s in ("name", *card.settings) if hasattr(written, s))
    return [] if (program, command, name) == ("toughen", "train", "plain") and same else [line]


def wrong_defaults(text, card):
    """The table names every setting, with the dataclass's default."""
    cls = type(getattr(recipe_of(text), card.slot))
    rows = {cells[0].strip("`"): cell_value(cells[1]) for cells in table(sections(text)["Default and range"])}
    wrong = sorted(set(rows) ^ card.settings)
    return wrong + [name for name in set(rows) & card.settings if rows[name] != default(cls, name)]


def wrong_cost(text):
    """Passes and units are those that the engine counts in one step of the YAML's recipe."""
    stated = re.match(r"Passes: (\d+)\. Units: (\d+) \(plain: 3\)\.", sections(text)["Cost"])
    counted = count(recipe_of(text))
    return [] if stated and tuple(map(int, stated.groups())) == counted else [stated and stated[0], counted]


def count(recipe):
    """Return (passes, units) of one step of a tiny model."""
    model, average = tiny("bert", dropout=0.1), None
    if recipe.average is not None and not isinstance(recipe.average, CheckpointSoup):
        average = make_average(recipe.average, model, total_steps=10)
    objective = resolve_class_weights(recipe.objective, [3, 5])
    with Engine(model, objective, recipe.adversary, inputs=recipe.inputs, average=average) as engine:
        engine.backward(batch())
        return engine.cost.forwards, engine.cost.units


def wrong_measured(text, card, results):
    """Every number stands in the results, and what stands there is not called "not measured"."""
    body = sections(text)["Measured"]
    name = next((ours for ours, spelt in SPELT.items() if spelt == card.name), card.name)
    name = RECIPE_OF.get(name, name)
    if body == NOT_MEASURED:
        return [row["run"] for row in results if row["run"] == name]
    known = {measured(row) for row in results if row["run"] in ("plain", name)} | measured_tasks(name)
    rows = [tuple(cells) for cells in table(body)]
    wrong = [row for row in rows if row not in known]
    outside = "\n".join(line for line in body.splitlines() if not line.startswith("|"))
    wrong += re.findall(r"\d+\.\d+|\d+ %(?! bootstrap)", outside)
    return wrong + ([] if f"`{name}`" in {row[1] for row in rows} else ["no row of its own"])


def wrong_measured_cost(text, card, lines):
    """The last paragraph of the cost is the line that the results give, and stands nowhere else."""
    line = lines.get(card.name)
    right = text if line is None else cards.with_cost(text, line)
    return [] if text == right and text.count(cards.BEGIN) == (line is not None) else [line]


def measured(row):
    """Return the cells of a row of results."""
    title = next((title for title, task in TASKS.items() if task == row.get("task")), "")
    shown = [f"{row['test'][m]:.3f} ({'{:.3f} to {:.3f}'.format(*row['test_intervals'][m])})" for m in METRICS]
    return (title, f"`{row['run']}`", *shown, f"{row['train']['cpu_seconds_of_the_whole_run']:.0f}")


METRICS = ("f1", "accuracy", "roc_auc")


@cache
def measured_runs():
    """Return the rows of the committed results that have what a card shows."""
    files = sorted((ROOT / "benchmarks/results").glob("*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    needed = {"run", "test", "test_intervals", "train"}
    return [r for r in rows if needed <= r.keys() and set(METRICS) <= r["test_intervals"].keys()]


@cache
def measured_tasks(name):
    """Return the cells of `plain` and of this recipe in the committed results of all tasks."""
    lines = (ROOT / "benchmarks/results/tasks.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["run"] in ("plain", name)]
    return {(r["data"], f"`{r['run']}`", r["metric"], f"{r['test'][r['metric']]:.3f}") for r in rows}


def papers_in(*paths):
    return {paper for path in paths for paper in ARXIV.findall(path.read_text(encoding="utf-8"))}


def not_in_index(papers, index):
    """Papers without a line of their own in the index."""
    return sorted(papers - set(ARXIV.findall("\n".join(line for line in index.splitlines() if line[:2] == "| "))))


# the tests


def test_every_technique_has_a_card_and_every_card_a_technique():
    on_disk = {path.stem for path in FOLDER.glob("*.md")} - {"README"}
    assert on_disk == set(CARDS)
    assert {"pgd", "r-at", "mixup", "swa", "r-drop", "focal"} <= on_disk


def test_every_setting_of_an_objective_stands_on_a_card():
    settings = set().union(*(settings_of(cls) for cls in members("objective").values()))
    assert settings == set().union(*SETTINGS_WITH_A_CARD["objective"].values())


@EVERY
def test_a_card_has_every_heading(card):
    assert not wrong_headings(card.text)


@EVERY
def test_the_yaml_loads_and_what_it_calls_a_default_is_one(card):
    assert not wrong_yaml(card.text, card)


@EVERY
def test_the_flags_say_the_same_as_the_yaml(card):
    assert not wrong_flags(card.text, card)


@EVERY
def test_the_table_names_every_setting_with_its_default(card):
    assert not wrong_defaults(card.text, card)


@EVERY
def test_passes_and_units_are_those_that_the_engine_counts(card):
    assert not wrong_cost(card.text)


@EVERY
def test_measured_numbers_are_those_of_the_results(card):
    assert not wrong_measured(card.text, card, measured_runs())


@EVERY
def test_measured_costs_are_those_of_the_results(card):
    assert not wrong_measured_cost(card.text, card, cards.measured_costs())


def test_the_table_of_cards_is_made_of_them():
    page = cards.TABLE.read_text()
    assert cards.with_table(page) == page, "run python scripts/cards.py"
    assert {re.search(r"\]\((.+)\.md\)", cells[0])[1] for cells in table(page)} == CARDS.keys()
    assert cards.with_table(page.replace("several small steps", "some")) == page, "canary: a row is made anew"


def test_every_paper_that_code_or_documents_cite_is_in_the_index():
    code = papers_in(*ROOT.glob("src/toughen/**/*.py"))
    assert len(code) > 20
    documents = papers_in(ROOT / "README.md", *(p for p in ROOT.glob("docs/**/*.md") if p != INDEX))
    assert not not_in_index(code | documents, INDEX.read_text())
    assert papers_in(INDEX) == code | documents, "the index has a paper that nothing cites"


# canaries: each rule finds its fault

PGD, SWA = CARDS["pgd"], CARDS["swa"]
COSTS = cards.measured_costs()
FAULTS = {
    "heading": (wrong_headings, "## Pitfalls", "## Traps", ()),
    "empty section": (lambda text: wrong_headings(text.rpartition("## Measured")[0] + "## Measured\n"), "", "", ()),
    "default": (wrong_yaml, "  radius: 0.2", "  radius: 0.3", (PGD,)),
    "default that is not called one": (wrong_yaml, "# default", "#", (PGD,)),
    "setting left out": (wrong_yaml, "  search_loss: task", "  # search_loss: task", (PGD,)),
    "flag": (wrong_flags, "--adversary.step_size 0.1", "--adversary.step_size 0.3", (PGD,)),
    "row of the table": (wrong_defaults, "| `step_size` | 0.1 |", "| `step_size` | 0.3 |", (PGD,)),
    "row left out": (wrong_defaults, "| `step_size` |", "| `steps_ize` |", (PGD,)),
    "units": (wrong_cost, "Units: 10", "Units: 9", ()),
    "passes": (wrong_cost, "Passes: 4", "Passes: 3", ()),
    "measured cost": (wrong_measured_cost, "3.34 times a plain step", "3.04 times a plain step", (PGD, COSTS)),
    "cost left out": (wrong_measured_cost, "Measured: 3.34 times a plain step", "Some", (PGD, COSTS)),
    "number": (wrong_measured, "0.876", "0.886", (PGD, measured_runs())),
    "number in the text": (wrong_measured, "One seed", "It gains 0.5 points. One seed", (PGD, measured_runs())),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_rules_find_a_fault(fault):
    rule, right, wrong, more = FAULTS[fault]
    assert right in PGD.text
    assert rule(PGD.text.replace(right, wrong), *more)


def test_the_rule_for_the_measured_finds_a_card_that_hides_a_result():
    assert not wrong_measured(SWA.text, SWA, measured_runs())
    assert wrong_measured(SWA.text, SWA, [{**measured_runs()[0], "run": "swa"}])


def test_the_rule_for_papers_finds_one_that_is_missing():
    assert not_in_index({"1234.56789", "1706.06083"}, "see 1234.56789\n| 1706.06083 | Madry |") == ["1234.56789"]
    assert ARXIV.findall("(1706.06083), 2.5, 1999.12345, 1412.6572.") == ["1706.06083", "1412.6572"]
