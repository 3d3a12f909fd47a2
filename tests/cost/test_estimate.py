"""What `toughen cost` predicts about a model is what a step then takes, and what differs is shown."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tiny import save_tiny_model
from toughen import load_recipe
from toughen.cli import main
from toughen.cost import estimate as page
from toughen.cost import workload
from toughen.cost.memory import SavedTensors, count_fixed_bytes
from toughen.cost.passes import PLAIN, Passes, forecast
from toughen.cost.workload import Workload
from toughen.engine.averages import CheckpointSoup, Ema
from toughen.engine.compose import find_checkpointing
from toughen.engine.engine import Engine
from toughen.errors import InputError
from toughen.recipe.shipped import NAMES

PAGE = Path(__file__).parents[2] / "docs/cost.md"
ROWS, LENGTH = 5, 12
LAYERS, WIDTH, INNER = 2, 32, 64
"""Of the tiny model."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
    monkeypatch.setattr(workload, "best_device", lambda: torch.device("cpu"))


def recipe_of(folder, name="plain", **changes):
    overrides = {"model": folder, "training.precision": "fp32", **changes}
    return load_recipe(name, {key.replace("__", "."): value for key, value in overrides.items()})


class Ticks:
    """A clock on which each reading is one second later than the last."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


def test_operations_of_a_pass_are_the_closed_form(folder):
    """Two per weight and token in each layer, 4 T width per token for attention; pooler and head read one token."""
    found = Workload(recipe_of(folder), ROWS, LENGTH).flops()
    matrices = 4 * WIDTH * WIDTH + 2 * WIDTH * INNER
    tokens = LAYERS * LENGTH * (2 * matrices + 4 * LENGTH * WIDTH)
    assert found == ROWS * (tokens + 2 * WIDTH * WIDTH + 2 * WIDTH * 2)


STEPS = ("plain", "rdrop", "full-stack", "rat-stack", "vat", "smart", "sam", "freelb")


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize(
    ("name", "memory"),
    [(n, "normal") for n in (*STEPS, "tough-stack")] + [(n, "low") for n in ("plain", "rdrop", "rat-stack", "smart")],
)
def test_operations_of_a_step_are_those_that_torch_counts(folder, name, memory, checkpointing):
    """Units times the operations of a forward, within 3 %: the first layer's input needs no gradient of the ids.

    Torch counts the layers that a backward makes again too: under gradient checkpointing they are a fifth of each of
    these steps and more.
    """
    recipe = recipe_of(folder, name, training__memory=memory, training__gradient_checkpointing=checkpointing)
    work = Workload(recipe, ROWS, LENGTH)
    work.model.set_attn_implementation("eager")  # the fused kernels are not counted on a CPU
    predicted = forecast(recipe, ROWS).acting.units * work.flops()
    with work._engine(recipe.adversary) as engine, FlopCounterMode(display=False) as counter:
        engine.backward(work.batch(ROWS))
    assert counter.get_total_flops() == pytest.approx(predicted, rel=0.03)


@pytest.mark.parametrize(
    ("name", "memory"), [(n, "normal") for n in NAMES] + [(n, "low") for n in ("full-stack", "rat-stack", "smart")]
)
def test_predicted_passes_and_activations_are_those_of_a_real_step(folder, name, memory):
    recipe = recipe_of(folder, name, training__memory=memory)
    found = measured(recipe)
    assert found["passes"]["agree"] is True
    kept = found["memory"]["activations"]
    assert kept["measured"] == pytest.approx(kept["predicted"], rel=0.01)


@pytest.mark.parametrize("name", ["plain", "rdrop", "sam"])
def test_activations_in_bfloat16_are_predicted_as_a_training_keeps_them(folder, name):
    """A training's attention is in bfloat16 too; canary: that takes less than attention in float32."""
    recipe = recipe_of(folder, name, training__precision="bf16")
    kept = measured(recipe)["memory"]["activations"]
    assert kept["measured"] == pytest.approx(kept["predicted"], rel=0.01)
    assert kept["predicted"] < 0.95 * Workload(recipe, ROWS, LENGTH).activations()


@pytest.mark.parametrize("name", ["sam", "asam", "awp"])
def test_moved_weights_are_no_activations(folder, name):
    """They are counted under the adversary: a step in weight space keeps what a plain one keeps."""
    kept = {of: Workload(recipe_of(folder, of), ROWS, LENGTH).activations() for of in ("plain", name)}
    assert kept[name] == pytest.approx(kept["plain"], rel=0.02)


def measured(recipe, **more):
    return page.estimate(recipe, batch=ROWS, length=LENGTH, repeats=1, **more)


@pytest.mark.parametrize("field", [{"every": 3}, {"share": 0.4}, {"start_step": 100}, {"share": 0.4, "every": 2}])
def test_an_adversary_that_acts_in_part_is_measured_over_its_cycle(folder, field):
    recipe = recipe_of(folder, "pgd")
    recipe = replace(recipe, adversary=replace(recipe.adversary, **field))
    found = measured(recipe)
    assert found["passes"]["agree"] is True
    kept = found["memory"]["activations"]
    assert kept["measured"] == pytest.approx(kept["predicted"], rel=0.01)


@pytest.mark.parametrize("task", ["single-label", "multi-label", "regression", "tokens"])
def test_every_task_can_be_measured(folder, task):
    assert measured(recipe_of(folder, "pgd", data__task=task))["passes"]["agree"] is True


def test_predicted_time_is_units_over_three_of_the_plain_step(folder):
    """On a clock of one tick per reading every step takes one second."""
    recipe = recipe_of(folder, "tough-stack")
    work = Workload(recipe, ROWS, LENGTH)
    found = work.measure(forecast(recipe, ROWS), 3, clock=Ticks())
    assert (found.plain_seconds, found.seconds) == (1.0, 1.0)
    seconds = page._seconds(16, found)
    assert seconds == {"plain_step": 1.0, "predicted": pytest.approx(16 / PLAIN), "measured": 1.0}


def test_random_texts_have_the_shape_asked_for_and_special_tokens_at_their_ends_only(folder):
    work = Workload(recipe_of(folder), ROWS, LENGTH)
    ids = work.batch(ROWS)["input_ids"]
    special = torch.tensor(work._tokenizer.all_special_ids)
    assert ids.shape == (ROWS, LENGTH)
    assert torch.isin(ids[:, [0, -1]], special).all()
    assert not torch.isin(ids[:, 1:-1], special).any()
    assert torch.equal(ids, work.batch(ROWS)["input_ids"])


# memory


def test_saved_tensors_are_counted_once_and_released_with_their_graph():
    weight, hidden = torch.ones(4, 4, requires_grad=True), torch.ones(8, 4)
    with SavedTensors([weight]) as saved:
        first = (hidden @ weight).tanh()  # keeps hidden (128 bytes) and its own output (128)
        assert saved.peak == 256
        (first + hidden @ weight).sum().backward()
        assert saved.peak == 256, "hidden is kept already"
        del first
        (hidden @ weight).tanh()
        assert saved.peak == 256, "what was released does not count"
    with SavedTensors([]) as canary:
        (hidden.clone().requires_grad_() @ weight).tanh()
    assert canary.peak == 320, "the weights count where they are not left out"


def test_a_second_copy_keeps_as_much_again_unless_memory_is_low(folder):
    kept = {
        (name, memory): Workload(recipe_of(folder, name, training__memory=memory), ROWS, LENGTH).activations()
        for name in ("plain", "rdrop")
        for memory in ("normal", "low")
    }
    assert kept["rdrop", "normal"] == pytest.approx(2 * kept["plain", "normal"], rel=0.02)
    assert kept["rdrop", "low"] < 1.1 * kept["plain", "low"]


def test_standing_memory_counts_what_learns():
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    model[0].requires_grad_(False)
    fixed = count_fixed_bytes(model, Ema(), None)
    assert fixed == {"weights": 4 * 32, "gradients": 4 * 12, "optimizer": 8 * 12, "average": 4 * 12, "adversary": 0}
    elsewhere = count_fixed_bytes(model.to("meta"), Ema(keep_on="cpu"), None)
    assert elsewhere == fixed | {"average": 0}, "it is in another memory than the model"
    adversaries = {name: load_recipe("plain", {"adversary": name}).adversary for name in ("sam", "awp")}
    moved = {name: count_fixed_bytes(model, CheckpointSoup(), adversary) for name, adversary in adversaries.items()}
    assert moved == {"sam": fixed | {"average": 0, "adversary": 48}, "awp": fixed | {"average": 0, "adversary": 96}}


# the command


def test_the_command_prints_predicted_and_measured(folder, capsys):
    argv = ["cost", "rat-stack", "--model", folder, "--batch", "2", "--length", "8", "--repeats", "1"]
    assert main(argv) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith(f"rat-stack on {folder}: a step of 2 x 8 tokens")
    for line in ("forward passes 2 2", "units (a plain step: 3) 7 7", "plain 3 43 %", "adversary 4 57 %"):
        assert line in lines
    assert "average" in " ".join(lines)
    assert any(line.startswith("A step takes") for line in lines)
    assert not any("MISMATCH" in line for line in lines)


def test_without_measuring_nothing_is_said_to_be_measured(folder, capsys):
    argv = ["cost", "--model", folder, "--no-measure", "--length", "8", "--training.batch_size", "3", "--json"]
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["recipe"], found["batch"], found["length"]) == ("accuracy", 3, 8)
    assert found["passes"]["measured"] is None
    assert set(found["seconds"].values()) == {None}
    assert found["memory"]["activations"]["predicted"] > 0
    assert ("time of a step", "not measured", "not measured") in page.rows_of(found)


def test_a_length_beyond_the_models_is_lowered_aloud(folder, capsys):
    assert main(["cost", "plain", "--model", folder, "--batch", "1", "--length", "999", "--no-measure"]) == 0
    out = capsys.readouterr().out
    assert "1 x 64 tokens" in out
    assert "The length was lowered from 999: the model takes no more." in out


def test_passes_that_were_not_predicted_are_shown(folder, monkeypatch):
    """Canary: where the engine makes another step than was predicted, the page says so."""
    honest = Workload.measure

    def other(self, prediction, repeats):
        return replace(honest(self, prediction, repeats), passes=Passes(forwards=9, backwards=1, units=11))

    monkeypatch.setattr(Workload, "measure", other)
    found = measured(recipe_of(folder))
    assert found["passes"]["agree"] is False
    assert page.remarks(found)[0] == "MISMATCH: the engine made other passes than were predicted."
    assert ("forward passes", "1", "9") in page.rows_of(found)


def test_what_cannot_be_trained_cannot_be_priced(folder, capsys):
    with pytest.raises(InputError, match="rat and objective rdrop cannot be combined"):
        page.estimate(recipe_of(folder, "rat-stack", objective="rdrop"))
    with pytest.raises(InputError, match="smart with bregman"):
        page.estimate(recipe_of(folder, "smart", average=None))
    assert main(["cost", "plain", "--model", "no-such-folder/model", "--batch", "0"]) == 2
    assert "--batch" in capsys.readouterr().err


def test_gradient_checkpointing_is_measured_too(folder):
    found = measured(recipe_of(folder, "fgm", training__gradient_checkpointing=True))
    assert found["passes"]["agree"] is True
    assert found["passes"]["measured"]["redone"] == 2
    assert found["slots"]["checkpointing"] == {"units": 2, "percent": 25}
    assert ("  of them made again to save memory", "2", "2") in page.rows_of(found)
    ordinary = measured(recipe_of(folder, "fgm"))["memory"]["activations"]["measured"]
    assert found["memory"]["activations"]["measured"] < ordinary, "canary: it is switched on"


def test_the_plain_step_that_is_compared_with_is_made_without_gradient_checkpointing(folder, monkeypatch):
    """Else the time that recomputing takes would stand on both sides."""
    recipe = recipe_of(folder, "fgm", training__gradient_checkpointing=True)
    work, seen, step = Workload(recipe, 2, LENGTH), [], workload._Run.step

    def seeing(run, *args):
        seen.append(bool(find_checkpointing(work.model)))
        step(run, *args)

    monkeypatch.setattr(workload._Run, "step", seeing)
    work.measure(forecast(recipe), 2)
    assert seen == [False, True] * 3


def test_a_plain_recipe_is_not_compared_with_itself(folder):
    found = measured(recipe_of(folder))
    assert found["plain"] is True
    assert found["seconds"]["measured"] == found["seconds"]["plain_step"] == found["seconds"]["predicted"] > 0
    assert page.remarks(found) == ["A step of this recipe is a plain step; activations are as predicted."]
    assert "time of a step" not in [row[0] for row in page.rows_of(found)]


@pytest.mark.parametrize(
    ("name", "changes"),
    [("ema", {}), ("rdrop", {}), ("fgm", {}), ("neftune", {}), ("plain", {"training__gradient_checkpointing": True})],
)
def test_any_other_recipe_is_compared_with_the_plain_step(folder, name, changes):
    found = measured(recipe_of(folder, name, **changes))
    assert found["plain"] is False
    assert page.remarks(found)[0].startswith("A step takes ")


def test_a_compiled_training_is_priced_without_compiling_aloud(folder):
    compiled = page.estimate(recipe_of(folder, training__compile=True), batch=2, length=LENGTH, measure=False)
    assert (compiled["asked_compile"], compiled["compiled"]) == (True, False)
    assert any("not compiled" in line for line in page.remarks(compiled))
    plain = page.estimate(recipe_of(folder), batch=2, length=LENGTH, measure=False)
    assert (plain["asked_compile"], plain["compiled"]) == (False, False)
    assert page.remarks(plain) == []


@pytest.mark.parametrize(
    ("flops", "text"),
    [
        (12, "12 FLOP"),
        (1.3e6, "1.30 MFLOP"),
        (734.5e9, "734.5 GFLOP"),
        (1.01e12, "1.01 TFLOP"),
        (3e18, "3,000.0 PFLOP"),
    ],
)
def test_operations_are_written_in_a_unit_that_shows_them(flops, text):
    assert page._operations(flops) == text


def products():
    """Return how this process multiplies float32, by the name that this version of torch has for it."""
    new = hasattr(torch.backends, "fp32_precision")
    return torch.backends.fp32_precision if new else torch.backends.cuda.matmul.allow_tf32


def test_float32_products_are_as_in_a_training_while_measuring(folder, monkeypatch):
    """A Trainer on a GPU from Ampere on switches TF32 on; the process has its own setting again afterwards."""
    before, seen, measure = products(), [], Workload.measure
    assert before not in ("tf32", True)

    def seeing(self, *args):
        seen.append(products())
        return measure(self, *args)

    monkeypatch.setattr(Workload, "measure", seeing)
    measured(recipe_of(folder))
    monkeypatch.setattr(page, "tensor_floats", lambda device: workload.tf32())
    measured(recipe_of(folder))
    assert seen[0] == before
    assert seen[1] in ("tf32", True)
    assert products() == before


@pytest.mark.parametrize(("kind", "major", "wanted"), [("cuda", 8, True), ("cuda", 7, False), ("cpu", 8, False)])
def test_tf32_is_switched_on_where_a_training_does(monkeypatch, kind, major, wanted):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    before = products()
    with workload.tensor_floats(torch.device(kind)):
        assert (products() != before) is wanted
    assert products() == before


def test_the_engine_leaves_no_hook_on_the_model(folder):
    work = Workload(recipe_of(folder, "pgd"), 2, LENGTH)
    work.activations()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in work.model.modules())
    with Engine(work.model):
        pass


def test_the_commands_of_the_page_run(folder, tmp_path, monkeypatch, capsys):
    """With a small model in the place of the one named, on a small shape, and not measured."""
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    toughen cost ")]
    assert len(lines) == 2
    for line in lines:
        argv = shlex.split(line)[1:]
        Path(argv[argv.index("--model") + 1]).symlink_to(folder)
        assert main([*argv, "--length", "8", "--batch", "2", "--no-measure"]) == 0
    assert capsys.readouterr().out.count("forward passes") == 2


def test_the_example_of_the_page_is_what_is_predicted_today():
    """All but time and the sizes of that model, which only running it gives."""
    rows = dict(re.findall(r"^(\S.*?) {2,}(\S+) +\S+$", PAGE.read_text(), re.M))
    passes = forecast(load_recipe("tough-stack")).acting
    assert rows["forward passes"] == f"{passes.forwards:.0f}"
    assert rows["backward passes to the input alone"] == f"{passes.input_backwards:.0f}"
    assert rows["units (a plain step: 3)"] == f"{passes.units:.0f}"
