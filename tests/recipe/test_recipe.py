"""Recipes: one declaration, the same from Python, YAML and text; wrong ones are refused in one sentence."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib.resources import files
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import yaml

import toughen
from toughen import Fgm, FreeLb, Pgd, Rat
from toughen.engine.averages import Ema, Swa
from toughen.engine.objectives import CrossEntropy, RDrop
from toughen.errors import InputError
from toughen.recipe import shipped, slots, yaml_core
from toughen.recipe.recipe import Recipe, as_tree, dump, fields_of, load_recipe, shipped_recipes, unlabelled_of

SETTINGS = [
    (slot, name, setting)
    for slot in slots.hints(Recipe)
    for name in slots.techniques(Recipe, slot)
    for setting in fields_of(slot, name)
] + [(s.key, "", s) for s in fields_of() if not slots.techniques(Recipe, s.key)]


def other_value(setting: slots.Setting) -> Any:
    """A valid value that is not the default."""
    special = {
        "adversary.site": "layer 2",
        "data.encoding": "gbk",
        "data.rename_labels": "pos=positive",
        "objective.class_weights": (1.0, 2.5),
        "average.rate": "schedule",
        "data.validation_share": 0.25,
        "defaults": 1,
    }
    if setting.key in special:
        return special[setting.key]
    for kind in slots.members(setting.annotation):
        if get_origin(kind) is Literal:
            return next(choice for choice in get_args(kind) if choice != setting.default)
        if kind is bool:
            return not setting.default
        if kind is int:
            return (setting.default or 0) + 2
        if kind is float:
            return 0.5 if setting.default != 0.5 else 0.25
        if kind is str:
            return "2020"
    raise AssertionError(setting)


def as_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def refusal(source: Any = "full-stack", overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(source, overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


# ---------------------------------------------------------------- shipped recipes


def test_the_listing_is_the_folder():
    found = {
        path.name.removesuffix(".yaml")
        for path in files(shipped.__package__).joinpath("files").iterdir()
        if path.name.endswith(".yaml")
    }
    assert found == set(shipped.NAMES) == {name for name, _ in shipped_recipes()}
    assert found >= {"plain", "rdrop", "fgm", "fgsm", "pgd", "freelb", "vat", "ema", "swa", "full-stack", "tough-stack"}


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_shipped_recipe_survives_dump_and_load(name, tmp_path):
    recipe = load_recipe(name)
    assert recipe.description
    path = tmp_path / "recipe.yaml"
    path.write_text(dump(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe
    assert load_recipe(str(path)) == load_recipe(recipe) == load_recipe(as_tree(recipe)) == recipe


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_dump_means_the_same_to_any_yaml_reader(name):
    """Also to one of YAML 1.1, where `2e-5` would be a word."""
    recipe = load_recipe(name)
    assert yaml.safe_load(dump(recipe)) == as_tree(recipe)


@pytest.mark.parametrize(
    "name", [n for n in shipped.NAMES if n not in ("plain", *shipped.GOALS) and not n.endswith("-stack")]
)
def test_a_single_technique_differs_from_plain_in_its_slot_alone(name):
    """Otherwise a comparison with `plain` would credit the technique with something else."""
    plain, recipe = load_recipe("plain"), load_recipe(name)
    changed = {f.name for f in dataclasses.fields(Recipe) if getattr(plain, f.name) != getattr(recipe, f.name)}
    assert "description" in changed
    slots = changed - {"description"}
    if name == "smart":
        # Its proximal term is against the moving average of the weights.
        slots.remove("average")
        assert recipe.average == load_recipe("ema").average
    (slot,) = slots
    assert getattr(recipe, slot).name == name


AS_MEASURED = {"head.pooling": "model", "training.learning_rate": 2e-5}
"""What the stacks that were measured with it say, where `plain` leaves it to the run."""


def test_rat_stack_differs_from_plain_in_techniques_alone():
    plain, recipe = load_recipe("plain", AS_MEASURED), load_recipe("rat-stack")
    assert (
        dataclasses.replace(
            recipe, description=plain.description, objective=plain.objective, adversary=None, average=None
        )
        == plain
    )
    assert recipe.adversary == Rat(radius=0.066, radius_unit="relative", alpha=1.0)
    assert recipe.objective == CrossEntropy(label_smoothing=0.1)
    assert recipe.average == Ema(decay=0.999, warmup=True)


def test_the_goals_differ_from_plain_in_the_adversary_and_in_how_long_they_train():
    assert shipped.DEFAULT == "accuracy"
    plain, default, robust = load_recipe("plain"), load_recipe(), load_recipe("robust")
    assert default == load_recipe("accuracy")
    assert load_recipe("fast") == dataclasses.replace(plain, description=load_recipe("fast").description)
    for goal, steps, epochs in ((default, 2, 4), (robust, 3, 3)):
        training = dataclasses.replace(plain.training, epochs=epochs)
        assert (
            dataclasses.replace(goal, description=plain.description, adversary=None, training=plain.training) == plain
        )
        assert goal.training == training
        assert goal.adversary == FreeLb(radius="auto", steps=steps)


def test_tough_stack_differs_from_plain_in_techniques_alone():
    plain, default = load_recipe("plain", AS_MEASURED), load_recipe("tough-stack")
    assert (default.training, default.data, default.model) == (plain.training, plain.data, plain.model)
    assert default.objective == RDrop(alpha=1.0, label_smoothing=0.1)
    assert default.adversary == Pgd(radius=0.2, radius_unit="relative", step_size=0.1, steps=3, scope="example")
    assert default.average == Ema(decay=0.999, warmup=True)
    assert default.training.early_stopping_threshold == 0
    assert default.adversary.steps * default.adversary.step_size > default.adversary.radius


def test_full_stack_has_the_numbers_of_the_article():
    recipe = load_recipe("full-stack")
    assert (recipe.model, recipe.data.source) == ("roberta-base", "imdb")
    assert recipe.objective == RDrop(alpha=5.0, label_smoothing=0.1)
    assert recipe.adversary == Pgd(
        steps=3, step_size=0.3, radius=1.0, radius_unit="absolute", scope="vocabulary", loss="objective",
        search_loss="objective", start="zero", clean=True, norm="l2",
    )  # fmt: skip
    assert recipe.average == Ema(decay=0.999, warmup=False)
    t = recipe.training
    assert (t.schedule, t.warmup, t.epochs, t.batch_size) == ("cosine", 0.1, 5, 16)
    assert (t.learning_rate, t.weight_decay, t.precision, t.seed) == (2e-5, 0.01, "auto", 42)
    assert (t.metric, t.early_stopping, t.early_stopping_threshold) == ("f1", 3, 0.01)
    assert (t.save_steps, t.save_total_limit, t.log_steps) == (None, 2, 50)


# ---------------------------------------------------------------- one declaration


@pytest.mark.parametrize(("slot", "name", "setting"), SETTINGS, ids=lambda v: getattr(v, "key", v) or "-")
def test_every_setting_is_reached_by_text_and_by_value(slot, name, setting):
    """The canary: the value differs from the default before and equals what was asked after."""
    value = other_value(setting)
    choice = {slot: name} if name else {}
    before = load_recipe({}, choice)

    def read(recipe: Recipe) -> Any:
        part = getattr(recipe, slot)
        return getattr(part, setting.key.partition(".")[2]) if "." in setting.key else part

    assert read(before) != value
    assert read(load_recipe({}, {**choice, setting.key: as_text(value)})) == value
    assert read(load_recipe({}, {**choice, setting.key: value})) == value
    changed = load_recipe({}, {**choice, setting.key: value})
    assert type(read(changed)) is type(value)
    assert load_recipe(yaml_core.parse(dump(changed), "")) == changed


def test_every_setting_has_help():
    assert len(SETTINGS) > 60
    assert [setting.key for _, _, setting in SETTINGS if not setting.help] == []


def test_numpy_numbers_paths_and_objects_will_do(tmp_path):
    changes = {"training.batch_size": np.int64(8), "training.learning_rate": np.float32(0.5), "data": tmp_path}
    recipe = load_recipe("plain", {**changes, "adversary": Fgm(radius=0.3), "average": {"name": "swa", "every": 2}})
    assert (recipe.training.batch_size, recipe.training.learning_rate) == (8, 0.5)
    assert recipe.data.source == str(tmp_path)
    assert recipe.adversary == Fgm(radius=0.3)
    assert recipe.average == Swa(every=2)


# ---------------------------------------------------------------- shorthand and layers


def test_a_bare_word_names_the_technique_or_the_source():
    recipe = load_recipe({"data": "imdb", "objective": "rdrop", "adversary": "pgd", "average": "ema"})
    assert recipe.data.source == "imdb"
    assert (recipe.objective, recipe.adversary, recipe.average) == (RDrop(), Pgd(), Ema())


def test_either_spelling_of_unlabelled_will_do():
    named = load_recipe("plain", {"data.unlabelled": "more.csv", "data.unlabelled_ratio": 2})
    assert load_recipe("plain", {"data.unlabeled": "more.csv", "data.unlabeled_ratio": 2}) == named
    assert load_recipe({"extends": "plain", "data": {"unlabeled": "more.csv", "unlabeled_ratio": 2}}).data == named.data


@pytest.mark.parametrize("none", [None, "none", "null", "None"])
def test_none_empties_a_slot(none):
    assert load_recipe("full-stack", {"adversary": none, "average": none}).adversary is None
    assert load_recipe({"extends": "full-stack", "adversary": none}).adversary is None


def test_settings_without_a_name_keep_the_technique_and_its_other_settings():
    base = load_recipe("full-stack")
    changed = load_recipe("full-stack", {"adversary.steps": "5"})
    assert changed == dataclasses.replace(base, adversary=dataclasses.replace(base.adversary, steps=5))
    assert load_recipe("full-stack", {"adversary": {"steps": 5}}) == changed
    assert load_recipe("full-stack", {"adversary.steps": 5, "adversary": "pgd"}) == changed


def test_another_technique_drops_the_settings_of_the_one_before():
    base = load_recipe("full-stack")
    assert base.adversary.radius == 1.0
    changed = load_recipe("full-stack", {"adversary": "fgm", "objective": {"name": "cross-entropy"}})
    assert (changed.adversary, changed.objective) == (Fgm(), CrossEntropy())
    assert load_recipe("full-stack", {"adversary.radius": "0.3", "adversary": "fgm"}).adversary == Fgm(radius=0.3)


def test_a_file_extends_a_shipped_recipe_or_its_neighbour(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: full-stack\ndata: reviews.csv\nadversary: {steps: 4}\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\nadversary: {step_size: 2e-1}\n")
    recipe = load_recipe(tmp_path / "b.yaml")
    assert recipe.data.source == "reviews.csv"
    assert (recipe.adversary.steps, recipe.adversary.step_size, recipe.adversary.radius) == (4, 0.2, 1.0)
    assert "extends" not in dump(recipe)


def test_extends_in_a_circle_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    assert "circle" in refusal(tmp_path / "a.yaml")


# ---------------------------------------------------------------- YAML as people read it


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-5", 2e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("010", 10),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("off", "off"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("", None),
        ("~", None),
        ("TRUE", True),
        ("'2e-5'", "2e-5"),
        ("0x10", 16),
    ],
)
def test_scalars_follow_the_core_rules(text, value):
    found = yaml_core.parse(f"a: {text}", "")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "word", ["2e-5", "1e5", "yes", "null", "", "1:30", "010", "a: b", "2020-01-01", "été", "'", "#x"]
)
def test_a_word_that_looks_like_something_else_survives(word):
    recipe = load_recipe({"description": word, "model": "m"})
    assert load_recipe(yaml_core.parse(dump(recipe), "")).description == word


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"adversary.step": "5"}, "adversary.step: unknown key for pgd; did you mean adversary.steps?"),
        ({"adversary": {"radios": 1}}, "adversary.radios: unknown key for pgd; did you mean adversary.radius?"),
        (
            {"adversary": "fgm", "adversary.steps": 5},
            "adversary.steps: unknown key for fgm; pgd, freelb, vat, smart have it.",
        ),
        ({"average.start": 0.5}, "average.start: unknown key for ema; swa has it."),
        ({"training.lr": 1}, "training.lr: unknown key for training; known: training.epochs, "),
        ({"data.txt": "a"}, "data.txt: unknown key for data; did you mean data.text?"),
        ({"adversery": "pgd"}, "adversery: unknown key of a recipe; did you mean adversary?"),
        ({"learning_rate": 1e-5}, "learning_rate: unknown key of a recipe; did you mean training.learning_rate?"),
        ({"adversry.steps": 5}, "adversry.steps: no part of a recipe is called adversry; did you mean adversary?"),
        ({"model.name": "x"}, "model.name: no part of a recipe is called model; known: data, inputs, objective, "),
        ({"adversary": "pdg"}, "adversary: unknown technique 'pdg'; did you mean pgd?"),
        ({"objective": "focal-zz"}, "objective: unknown technique 'focal-zz'; known: cross-entropy, rdrop."),
        ({"adversary": "none", "adversary.steps": 5}, "adversary.steps contradicts adversary: none; "),
        ({"objective": None}, "objective must be a technique's name or a mapping of settings, got None."),
        ({"training": "fast"}, "training must be a mapping of settings, got 'fast'."),
        ({"training.epochs": "abc"}, "training.epochs must be a number, got 'abc'."),
        ({"training.epochs": "true"}, "training.epochs must be a number, got True."),
        ({"training.epochs": [1]}, "training.epochs must be a number, got [1]."),
        ({"training.learning_rate": ".nan"}, "training.learning_rate must be a finite number or auto, got nan."),
        ({"training.learning_rate": float("inf")}, "training.learning_rate must be a finite number or auto, got inf."),
        ({"training.batch_size": "2.5"}, "training.batch_size must be a whole number, got 2.5."),
        ({"training.batch_size": True}, "training.batch_size must be a whole number, got True."),
        ({"training.max_steps": "many"}, "training.max_steps must be a whole number or null, got 'many'."),
        ({"training.length_buckets": 1}, "training.length_buckets must be true or false, got 1."),
        ({"training.length_buckets": "yes"}, "training.length_buckets must be true or false, got 'yes'."),
        ({"training.metric": 3}, "training.metric must be text or null, got 3."),
        ({"model": None}, "model must be text, got None."),
        ({"data.text": {"a": 1}}, "data.text must be text or null, got {'a': 1}."),
        ({"adversary.norm": "l3"}, "adversary.norm must be one of l2, linf, got 'l3'."),
        (
            {"objective.class_weights": "1,x"},
            "objective.class_weights must be numbers in a list or one of balanced, effective-number or null, ",
        ),
        ({"objective.alpha": "-1"}, "objective.alpha must not be negative, got -1.0."),
        ({"training.epochs": "[1"}, "training.epochs must be a number, got '[1'."),
        ({"adversary.site": "layer 2"}, "adversary.site must be embeddings with scope: vocabulary, "),
    ],
    ids=str,
)
def test_a_wrong_setting_is_one_sentence(overrides, expected):
    assert refusal("full-stack", overrides).startswith(expected)


def test_a_setting_needs_a_technique():
    known = " | ".join(slots.techniques(Recipe, "adversary"))
    assert known.startswith("fgm | "), "canary: they are names"
    expected = f"adversary.steps: no adversary is chosen; choose one with adversary: {known}."
    assert refusal("plain", {"adversary.steps": "5"}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("adversary: {step: 3}", "{path}: adversary.step: unknown key for pgd; did you mean adversary.steps?"),
        ("training: {epochs: abc}", "{path}: training.epochs must be a number, got 'abc'."),
        ("training: {batch_size: 0}", "{path}: training.batch_size must be above 0, got 0."),
        ("modle: x", "{path}: modle: unknown key of a recipe; did you mean model?"),
        ("adversary: 3", "{path}: adversary must be a technique's name or a mapping of settings, got 3."),
        ("adversary: [", "{path} line 3: not valid YAML ("),
        ("model: a\nmodel: b", "{path} line 3: not valid YAML (model appears twice)."),
        ("1: b", "{path} line 2: not valid YAML (a key must be a name)."),
        ("training: {epochs: !!python/name:os.system x}", "{path} line 2: not valid YAML ("),
        ("--- b\n--- c", "{path} line "),
    ],
    ids=str,
)
def test_a_wrong_file_is_named(tmp_path, text, expected):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: full-stack\n{text}\n")
    assert refusal(path).startswith(expected.format(path=path))


def test_blame_falls_on_the_layer_that_set_the_value(tmp_path):
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text("training: {epochs: abc}\n")
    mine.write_text("extends: base.yaml\ntraining: {batch_size: 4}\n")
    assert refusal(mine).startswith(f"{base}: training.epochs ")
    assert load_recipe(mine, {"training.epochs": 2}).training.epochs == 2
    assert refusal(mine, {"training.epochs": "many"}).startswith("training.epochs ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "must be a mapping"),
        (b"- a", "must be a mapping"),
        (b"model: \xff", "not UTF-8"),
        (b"a\x00b", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, content, expected):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    assert expected in refusal(path)


def test_a_missing_recipe_is_named():
    assert refusal("ful-stack") == "'ful-stack' is neither a recipe file nor a shipped recipe; did you mean full-stack?"
    assert refusal("no/such.yaml") == "no/such.yaml: no such recipe file."
    assert refusal({"extends": 3}) == "recipe: extends must be the name or the file of one recipe, got 3."


# ---------------------------------------------------------------- import time


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import toughen", "torch transformers datasets sklearn scipy pydantic pandas yaml typer"),
        ("import toughen.recipe.recipe as r; r.load_recipe()", "transformers datasets sklearn scipy pandas typer"),
    ],
)
def test_an_import_brings_nothing_heavy(code, heavy):
    check = f"import sys; {code}; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_python_calls_take_either_spelling_of_unlabelled(tmp_path):
    assert unlabelled_of(None, {"unlabeled": "a.csv", "seed": 1}) == ("a.csv", {"seed": 1})
    assert unlabelled_of("a.csv", {"seed": 1}) == ("a.csv", {"seed": 1})
    for call in (toughen.train, toughen.combine):
        with pytest.raises(InputError, match="unlabelled and unlabeled are one setting"):
            call(["a.csv"], output=tmp_path / "run", unlabelled="a.csv", unlabeled="b.csv")
    rows = [(f"a film of number {i}", "ab"[i % 2]) for i in range(40)]
    with pytest.raises(InputError, match=r"nowhere\.csv is missing"):
        toughen.train(rows, recipe="rdrop", output=tmp_path / "run", unlabeled="nowhere.csv", quiet=True)
