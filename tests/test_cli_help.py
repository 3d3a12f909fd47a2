"""The help of the command: every setting, once, in 80 columns; flags told from options."""

from toughen.cli import main
from toughen.cli.recipe_flags import ALIASES, help_lines, split, variants
from toughen.recipe import slots
from toughen.recipe.recipe import Recipe, fields_of


def test_help_of_train_shows_every_setting_in_80_columns(capsys):
    assert main(["train", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    for slot in slots.hints(Recipe):
        for name in slots.techniques(Recipe, slot):
            assert name in text
            for setting in fields_of(slot, name):
                assert f"--{setting.key} " in text
                assert f"{setting.help} [default: {help_word(setting.default)}]" in text or setting.default == ""
    assert all(f"--{alias}" in text for alias in ALIASES)
    assert all(option in text for option in ("--recipe", "--output", "--folds", "--submit", "--resume"))
    assert all(option in text for option in ("--pseudo-label", "--min-confidence", "--overwrite", "--print-config"))


def help_word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def test_help_shows_a_setting_once_per_form():
    """`radius` means several things among the adversaries; none is lost and none is told twice."""
    radius = [owners for setting, owners in variants("adversary") if setting.key == "adversary.radius"]
    told = [name for owners in radius for name in owners]
    known = {name: fields_of("adversary", name) for name in slots.techniques(Recipe, "adversary") if name}
    having = [name for name, found in known.items() if "adversary.radius" in {setting.key for setting in found}]
    assert sorted(told) == sorted(having)
    assert {"fgm", "pgd", "vat"} <= set(radius[0]), "one form of several owners"
    assert sum(line.startswith("  --adversary.radius ") for line in help_lines()) == len(radius) > 2


def test_flags_are_told_from_the_commands_own_options():
    own = {"--output", "--json"}
    rest, found = split(["plain", "--output", "run", "--model=a=b", "--seed", "3", "--data.text", "x", "--json"], own)
    assert rest == ["plain", "--output", "run", "--json"]
    assert found == {"model": "a=b", "training.seed": "3", "data.text": "x"}
    assert split(["--adversary.steps", "3", "--adversary.steps", "4"], own)[1] == {"adversary.steps": "4"}
