"""The help of the command: every setting, once, in 80 columns; flags told from options."""

import os
import subprocess
import sys

import pytest
from typer.main import get_command

from toughen.cli import main
from toughen.cli.commands import app
from toughen.cli.recipe_flags import ALIASES, COMMON, SLOTS, help_lines, split, variants
from toughen.recipe import slots
from toughen.recipe.recipe import Recipe, fields_of


def shown(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out.splitlines()


def test_help_of_all_shows_every_setting_in_80_columns(capsys):
    lines = shown(capsys, "train", "--help", "all")
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    for slot in slots.hints(Recipe):
        for name in slots.techniques(Recipe, slot):
            assert name in text
            for setting in fields_of(slot, name):
                assert f"--{setting.key} " in text
                assert f"{setting.help} [default: {help_word(setting.default)}]" in text or setting.default == ""
    assert all(f"--{alias}" in text for alias in ALIASES)


def test_help_of_train_fits_a_screen_and_names_every_slot_and_technique(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = shown(capsys, "train", "--help")
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 110
    text = "\n".join(lines)
    assert all(option in text for option in ("--recipe", "--output", "--folds", "--submit", "--resume"))
    assert all(option in text for option in ("--pseudo-label", "--min-confidence", "--overwrite", "--print-config"))
    for slot in SLOTS[:-1]:
        assert f"\n  {slot} " in text
        assert all(name in text for name in slots.techniques(Recipe, slot))
    assert all(f"--{flag} " in text for flag in COMMON)


@pytest.mark.parametrize("slot", SLOTS[:-1])
def test_help_of_a_slot_shows_its_settings_and_no_others(capsys, slot):
    lines = shown(capsys, "train", "--help", slot)
    flags = {line.split()[0] for line in lines if line.startswith(f"  --{slot}.")}
    assert flags == {f"--{setting.key}" for name in slots.techniques(Recipe, slot) for setting in fields_of(slot, name)}
    assert not any(line.startswith(f"  --{other}.") for other in SLOTS if other != slot for line in lines)


def test_help_of_a_slot_is_that_of_the_technique_that_is_named(capsys):
    lines = shown(capsys, "train", "--adversary", "vat", "--help", "adversary")
    flags = [line.split()[0] for line in lines if line.startswith("  --adversary.")]
    assert flags == [f"--{setting.key}" for setting in fields_of("adversary", "vat")]
    assert len(flags) < len([line for line in shown(capsys, "train", "-h", "adversary") if line.startswith("  --adv")])


@pytest.mark.parametrize("command", ["cost", "ablate", "search", "combine", "check"])
def test_other_commands_point_to_the_help_of_train(capsys, command):
    text = " ".join(" ".join(shown(capsys, command, "--help")).split())
    assert "toughen train --help SLOT tells them" in text
    assert "--adversary.radius " not in text


def test_help_tells_what_each_command_does_in_a_whole_sentence(capsys):
    text = " ".join(" ".join(shown(capsys, "--help")).split())
    assert "..." not in text.partition("Commands:")[2]
    for command in ("train", "check", "export"):
        assert f" {command} {main_help(command)}" in text


def main_help(command):
    return " ".join(get_command(app).commands[command].help.partition("\n\n")[0].split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell):
    environment = os.environ | {"_TOUGHEN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "toughen tra"}
    environment |= {"COMP_WORDS": "toughen tra", "COMP_CWORD": "1", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    code = "from toughen.cli import main; main([])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "train" in done.stdout, done.stderr
    assert "Usage" not in done.stdout, "canary: it completes, and does not print the help, which names train too"
    assert "export" not in done.stdout, "nothing that does not begin so"


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


def test_either_spelling_of_unlabelled_is_a_flag():
    assert split(["--unlabeled", "more.csv"], ()) == split(["--unlabelled", "more.csv"], ())


def test_a_slot_is_told_by_the_terms_of_the_field(capsys):
    """Its question is the second line."""
    assert main(["train", "--help", "adversary"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["ADVERSARY: adversarial training", "  who pushes back?"]
