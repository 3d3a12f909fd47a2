"""A moved default never changes a recipe that was written before it."""

import pytest

from toughen.errors import InputError
from toughen.recipe import defaults
from toughen.recipe.recipe import Recipe, as_tree, dump, load_recipe

FIRST = {"head.pooling": "model", "training.learning_rate": 2e-5, "probe": False}


def flat(recipe):
    tree = as_tree(recipe)
    inner = {f"{slot}.{k}": v for slot, part in tree.items() if isinstance(part, dict) for k, v in part.items()}
    return {k: v for k, v in tree.items() if not isinstance(v, dict)} | inner


def test_every_version_but_the_first_says_what_held_before_it_of_settings_that_exist():
    assert set(defaults.BEFORE) == set(range(2, defaults.LATEST + 1))
    today = flat(Recipe())
    for changed in defaults.BEFORE.values():
        assert changed.keys() <= today.keys()


def test_a_recipe_of_the_first_version_has_the_first_defaults_and_todays_has_others():
    first, today = flat(load_recipe({"defaults": 1})), flat(load_recipe({}))
    assert {key: first[key] for key in FIRST} == FIRST
    assert all(today[key] != value for key, value in FIRST.items())
    same = first.keys() - FIRST.keys() - {"defaults"}
    assert {key: first[key] for key in same} == {key: today[key] for key in same}


def test_a_files_own_version_holds_for_what_it_extends_and_for_flags(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: plain\ndefaults: 1\nhead: {dropout: 0.2}\n")
    recipe = load_recipe(path, {"training.epochs": "1"})
    assert (recipe.head.pooling, recipe.head.dropout, recipe.training.learning_rate) == ("model", 0.2, 2e-5)
    path.write_text("extends: plain\n")
    assert load_recipe(path).head.pooling == "auto"
    assert load_recipe(path, {"defaults": "1"}).head.pooling == "model"


def test_what_a_run_wrote_before_versions_loads_to_the_same_numbers(tmp_path):
    """Such a file has every setting that there was, and neither a version nor the probe."""
    tree = as_tree(load_recipe({"defaults": 1}))
    old = {key: value for key, value in tree.items() if key not in ("defaults", "probe")}
    assert old.keys() >= defaults.SPELT_OUT
    old["training"] = {**old["training"], "learning_rate": 3e-5}
    assert flat(load_recipe(old)) == {**flat(load_recipe({"defaults": 1})), "training.learning_rate": 3e-5}


def test_the_version_is_written_and_read_back():
    for version in (1, defaults.LATEST):
        recipe = load_recipe({"defaults": version})
        assert f"defaults: {version}\n" in dump(recipe)
        assert load_recipe(as_tree(recipe)) == recipe


@pytest.mark.parametrize("said", [0, defaults.LATEST + 1, "new", True])
def test_no_other_version_is_taken(said):
    with pytest.raises(InputError, match=r"defaults must be a whole number from 1 to") as caught:
        load_recipe({"defaults": said})
    assert ("later version" in str(caught.value)) == (said == defaults.LATEST + 1)
