"""A behavioural suite: its tests, and the YAML file that they stand in (docs/suite.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from toughen.assess.suite.templates import Text, expand, texts_of
from toughen.errors import InputError
from toughen.recipe import yaml_core

Kind = Literal["minimum-functionality", "invariance", "direction"]
Direction = Literal["up", "down"]

SHIPPED = ("sentiment-en", "sentiment-zh")
"""The suites that come with the package."""
MOST_TEXTS = 100_000
_DIRECTION_TOLERANCE = 0.1
_KEYS = ("name", "capability", "kind", "expect", "label", "direction", "tolerance", "vary", "fill", "cases")
_BELONGS = {"expect": "minimum-functionality", "label": "direction", "direction": "direction", "vary": "invariance"}


@dataclass(frozen=True)
class BehaviourTest:
    """Cases that a model should manage, of one kind.

    Attributes:
        name: what is tested; no two tests of a suite share it.
        capability: what it belongs to, such as negation; "" where the file says none.
        kind: what a failure is, see docs/suite.md.
        cases: of minimum functionality one text each; of the others an original and what it was changed into.
        expect: the labels that are right, of minimum functionality.
        label: whose probability should move, of direction.
        direction: in which way.
        tolerance: probability by which the answer may move and the case still hold.
    """

    name: str
    capability: str
    kind: Kind
    cases: tuple[tuple[Text, ...], ...]
    expect: tuple[str, ...] = ()
    label: str | None = None
    direction: Direction | None = None
    tolerance: float = 0.0


@dataclass(frozen=True)
class Suite:
    """The tests of a file.

    Attributes:
        name: of the file, without its suffix.
        source: the file, or the name of a shipped suite.
        description: in a sentence.
        labels: {label that the tests speak of: other names that models have for it}.
        tests: at least one.
    """

    name: str
    source: str
    description: str
    labels: Mapping[str, tuple[str, ...]]
    tests: tuple[BehaviourTest, ...]


def load_suite(source: str | Path) -> Suite:
    """Read a suite.

    Args:
        source: a YAML file, or the name of a shipped suite.

    Raises:
        InputError: if there is none, or something in it is wrong; it says in which test and case.
    """
    path = Path(source)
    if str(source) in SHIPPED and not path.is_file():
        text = files(__package__).joinpath("shipped", f"{source}.yaml").read_text(encoding="utf-8")
        return _suite(text, str(source), str(source))
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(
            f"--suite {source}: there is no such file, and the suites that come with toughen are {', '.join(SHIPPED)}."
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"--suite {source}: not UTF-8 at byte {error.start:,}; save it as UTF-8.") from None
    return _suite(text, path.stem, str(path))


def _suite(text: str, name: str, source: str) -> Suite:
    where = f"--suite {source}"
    tree = yaml_core.parse(text, where, of="a suite", most=MOST_TEXTS)
    if not isinstance(tree, dict):
        raise InputError(f"{where}: must be a mapping with the key tests, got {_kind(tree)}.")
    _known(where, tree, ("description", "labels", "tests"))
    tests = tree.get("tests")
    if not isinstance(tests, list) or not tests:
        raise InputError(f"{where}: tests must be a list of at least one test.")
    description = tree.get("description", "")
    if not isinstance(description, str):
        raise InputError(f"{where}: description must be a text, got {_kind(description)}.")
    made: dict[str, BehaviourTest] = {}
    room = MOST_TEXTS
    for number, entry in enumerate(tests, 1):
        test = _Reader(f"{where}, test {number}").test(entry, room)
        if test.name in made:
            raise InputError(f"{where}, test {number}: the name {test.name!r} is that of an earlier test.")
        made[test.name] = test
        room -= sum(map(len, test.cases))
    _one_kind_of_text(where, made.values())
    return Suite(name, source, " ".join(description.split()), _labels(where, tree.get("labels")), tuple(made.values()))


def _one_kind_of_text(where: str, tests: Iterable[BehaviourTest]) -> None:
    paired = [isinstance(text, tuple) for test in tests for case in test.cases for text in case]
    if len(set(paired)) > 1:
        raise InputError(
            f"{where}: some texts are pairs and some are not, and a model takes one of both; make two suites."
        )


def _labels(where: str, given: object) -> dict[str, tuple[str, ...]]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InputError(f"{where}: labels must map each label to a list of its other names, got {_kind(given)}.")
    for label, others in given.items():
        if not isinstance(others, list) or not all(isinstance(name, str) for name in others):
            raise InputError(f"{where}: labels.{label} must be a list of names (a number in quotes).")
    return {label: tuple(others) for label, others in given.items()}


def _known(where: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
    unknown = [key for key in given if key not in names]
    if unknown:
        raise InputError(f"{where}: {unknown[0]} is not known here; there are {', '.join(names)}.")


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)


class _Reader:
    """Reads one test; ``where`` says which in every refusal."""

    def __init__(self, where: str) -> None:
        self.where = where

    def refuse(self, what: str) -> NoReturn:
        raise InputError(f"{self.where}: {what}")

    def test(self, given: object, room: int) -> BehaviourTest:
        if not isinstance(given, dict):
            self.refuse(f"must be a mapping with name, kind and cases, got {_kind(given)}.")
        _known(self.where, given, _KEYS)
        name = self.text(given, "name", required=True)
        self.where += f" ({name})"
        kind: Any = given.get("kind")
        if kind not in get_args(Kind):
            self.refuse(f"kind must be {', '.join(get_args(Kind))}, got {kind!r}.")
        for key, owner in _BELONGS.items():
            if key in given and kind != owner:
                self.refuse(f"{key} belongs to {owner}, and this test is of {kind}.")
        cases = self.cases(given, kind, room)
        capability = self.text(given, "capability")
        if kind == "minimum-functionality":
            if "tolerance" in given:
                self.refuse("tolerance belongs to invariance and direction.")
            return BehaviourTest(name, capability, kind, cases, expect=self.expect(given))
        tolerance = self.tolerance(given, _DIRECTION_TOLERANCE if kind == "direction" else 0.0)
        if kind == "invariance":
            return BehaviourTest(name, capability, kind, cases, tolerance=tolerance)
        label, direction = self.text(given, "label", required=True), given.get("direction")
        if direction not in get_args(Direction):
            self.refuse(f"direction must be up or down, got {direction!r}.")
        return BehaviourTest(name, capability, kind, cases, (), label, direction, tolerance)

    def text(self, given: Mapping[str, Any], key: str, *, required: bool = False) -> str:
        value = given.get(key, "")
        if not isinstance(value, str) or (required and not value.strip()):
            self.refuse(f"{key} must be a text{'' if value else ', and is missing'} (a number in quotes).")
        return value

    def expect(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        value = given.get("expect")
        labels = [value] if isinstance(value, str) else value
        if not isinstance(labels, list) or not labels or not all(isinstance(one, str) and one for one in labels):
            self.refuse("expect must be a label or a list of labels, one of which is right (a number in quotes).")
        return tuple(labels)

    def tolerance(self, given: Mapping[str, Any], default: float) -> float:
        value = given.get("tolerance", default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            self.refuse(f"tolerance must be a probability from 0 to below 1, got {value!r}.")
        return float(value)

    def cases(self, given: Mapping[str, Any], kind: Kind, room: int) -> tuple[tuple[Text, ...], ...]:
        listed, vary = given.get("cases"), given.get("vary")
        if not isinstance(listed, list) or not listed:
            self.refuse("cases must be a list of at least one case.")
        fill = self.fill(given)
        if vary is not None and (vary not in fill or len(fill[vary]) < 2):
            self.refuse(f"vary must name an entry of fill with two values or more, got {vary!r}.")
        made: dict[tuple[Text, ...], None] = {}
        texts_made = 0  # copies count, or filling in could go on for ever
        alone = kind == "minimum-functionality" or vary is not None
        for number, case in enumerate(listed, 1):
            where = f"{self.where}, case {number}"
            texts = texts_of(where, case, alone)
            for expanded in expand(where, texts, fill, vary):
                made.setdefault(expanded)
                texts_made += len(expanded)
                if texts_made > room:
                    raise InputError(f"{where}: more than {MOST_TEXTS:,} texts in the suite; fill in fewer values.")
        return tuple(made)

    def fill(self, given: Mapping[str, Any]) -> dict[str, list[str]]:
        fill = given.get("fill", {})
        if not isinstance(fill, dict):
            self.refuse(f"fill must map names to lists of texts, got {_kind(fill)}.")
        for name, values in fill.items():
            if not isinstance(values, list) or not values or not all(isinstance(one, str) for one in values):
                self.refuse(f"fill.{name} must be a list of texts (a number in quotes).")
            if len(set(values)) < len(values):
                self.refuse(f"fill.{name} has a value twice.")
        return fill
