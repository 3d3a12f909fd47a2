"""Whatever a recipe holds, it is read or refused in one sentence: a thousand mutilated ones, and known hard cases."""

import copy
import random
from functools import cache

import pytest

from toughen.errors import InputError
from toughen.recipe import shipped
from toughen.recipe.recipe import Recipe, as_tree, load_recipe
from toughen.recipe.yaml_core import dump, parse

ODD = [
    *(
        None,
        True,
        False,
        0,
        -1,
        7,
        10**30,
        1.5,
        -0.0,
        float("nan"),
        float("inf"),
        1e308,
        "",
        " ",
        "none",
        "null",
        "yes",
    ),
    *(
        "x" * 300,
        "\u202e",
        "é",
        "😀",
        "a\nb",
        "{",
        "[1, 2",
        "pgd",
        "name",
        [],
        [1, 2],
        [[]],
        [None],
        {},
        {"name": "pgd"},
    ),
    *(
        {"name": [1, 2]},
        {"name": {"name": "fgm"}},
        {"name": None},
        {"name": 3},
        {"": 1},
        {"steps": "5"},
        ["pgd", "fgm"],
    ),
]
NASTY = [
    "&a [*a]",
    "!!int x",
    "!!timestamp x",
    "!!set {a, b}",
    "!!python/object:os.system x",
    "*b",
    "<<",
    "? [a]",
    "\t- ",
]
HARD = {
    "a circle of mappings": "objective: &a {name: *a}",
    "a circle of lists": "adversary: &a [*a]",
    "three thousand brackets": "model: " + "[" * 3000,
    "three thousand closed brackets": "model: " + "[" * 3000 + "]" * 3000,
    "a number of 5,000 digits": "training: {epochs: " + "9" * 5000 + "}",
    "a hexadecimal number of 5,000 digits": "training: {epochs: 0x" + "f" * 5000 + "}",
    "a name that is a list": "inputs: {name: [1, 2]}",
    "a name that is a mapping": "objective: {name: {a: 1}}",
    "an unknown name of a slot with one technique": "adapter: lorra",
    "a number for the name": "adapter: {name: 7}",
    "a tag that does not fit": "training: {epochs: !!int abc}",
    "anchors that unfold": "a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "\n".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]" for i in range(9)),
}


@cache
def known(name):
    return as_tree(load_recipe(name))


def outcome(source, overrides=None):
    """Return "read", or the sentence of the refusal; anything else raises."""
    try:
        assert isinstance(load_recipe(source, overrides), Recipe)
    except InputError as error:
        return str(error)
    return "read"


def mutilated(rng):
    """Return the text of a shipped recipe with one to three values, keys or characters changed."""
    tree = copy.deepcopy(known(rng.choice(sorted(shipped.NAMES))))
    kept = rng.sample(sorted(tree), 4)
    tree = {slot: tree[slot] for slot in kept}
    for _ in range(rng.randint(1, 3)):
        slot = rng.choice(sorted(tree))
        inner = tree[slot] if isinstance(tree[slot], dict) and rng.random() < 0.8 else tree
        key = rng.choice([*inner, "stepps", ""]) if inner else "name"
        inner[key] = rng.choice(ODD)
    text = dump(tree)
    for _ in range(rng.choice([0, 0, 1, 3])):
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice([*NASTY, *":{}[]&*!|>\n\t#'\"%@`,-"]) + text[place + rng.randint(0, 3) :]
    return text


def test_a_thousand_mutilated_recipes_are_read_or_refused_in_a_sentence(tmp_path):
    rng = random.Random(0)
    told = {"file": [], "flags": []}
    path = tmp_path / "recipe.yaml"
    for _ in range(700):
        path.write_text(mutilated(rng), encoding="utf-8")
        told["file"].append(outcome(path))
    keys = [f"{slot}.{name}" for slot, tree in as_tree(load_recipe("tough-stack")).items() for name in
            (tree if isinstance(tree, dict) else ())]  # fmt: skip
    keys += ["model", "adversary", "adapter", "inputs", "objective", "average", "objective.", ".", "x.y", ""]
    for _ in range(300):
        changes = {
            rng.choice(keys): rng.choice([*map(str, ODD), *ODD, *NASTY, "9" * 5000, "[" * 3000]) for _ in range(2)
        }
        told["flags"].append(outcome("tough-stack", changes))
    for name, outcomes in told.items():
        kinds = [one == "read" for one in outcomes]
        assert 0 < sum(kinds) < len(kinds), f"canary: of {name} some are read, some are refused"


@pytest.mark.parametrize("name", HARD)
def test_hard_cases_are_refused(name, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(HARD[name])
    assert outcome(path) != "read"


def test_an_unknown_adapter_is_named_with_what_there_is():
    assert outcome("plain", {"adapter": "lorra"}) == "adapter: unknown technique 'lorra'; did you mean lora?"


def test_a_name_that_no_file_system_takes_is_no_recipe():
    for name in ("x" * 5000, "\0", "\ud800"):
        assert "neither a recipe file nor" in outcome(name)


def test_an_anchor_that_is_used_twice_is_read():
    assert parse("a: &x {b: 1}\nc: *x", "here") == {"a": {"b": 1}, "c": {"b": 1}}
