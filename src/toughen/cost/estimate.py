"""`toughen cost`: what is predicted of a recipe's step on a model, and beside it what a few steps really took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from toughen.cost.memory import count_fixed_bytes
from toughen.cost.passes import PLAIN, Forecast, Passes, forecast
from toughen.cost.plan_line import number
from toughen.cost.workload import Measured, Workload, is_plain, tensor_floats
from toughen.data.config import FRESH
from toughen.huggingface.composition import TrainerSetup, check_trainer
from toughen.machine.full_speed import full_speed
from toughen.machine.launch import quiet_libraries
from toughen.recipe.recipe import Recipe

Row = tuple[str, str, str]
TOLERANCE = 1e-6
NONE, NOT = "", "not measured"


def estimate(
    recipe: Recipe, *, batch: int | None = None, length: int | None = None, measure: bool = True, repeats: int = 3
) -> dict[str, Any]:
    """Predict what a step of a recipe costs on its model, and measure it.

    Args:
        recipe: what to do, and on which model.
        batch: rows of a micro-batch; default the recipe's.
        length: tokens per text; default the recipe's.
        measure: whether to make steps at that batch and length; without, the model runs on one and two rows only.
        repeats: timed steps of each kind.

    Returns:
        JSON-ready: model, batch, length, device, threads, precision, ``plain`` (whether the step is the plain step,
        which is then not timed twice), ``compiled`` (never) and ``asked_compile``, ``passes`` (predicted, measured,
        agree), ``slots`` (units and percent), ``flops``, ``memory`` (bytes) and ``seconds``; None where something was
        not measured.

    Raises:
        InputError: if the model cannot be found, or the recipe does not go together or cannot be applied to it.
    """
    check_trainer(TrainerSetup(recipe))
    rows = batch or recipe.training.batch_size
    prediction = forecast(recipe, rows)
    with quiet_libraries():
        work = Workload(recipe, rows, length or recipe.training.max_length)
        flops = work.flops()
        training = recipe.training
        at_speed = full_speed(training.precision, training.memory, training.cpu_kernels)
        with at_speed, tensor_floats(work.device):
            activations = work.activations()
            measured = work.measure(prediction, repeats) if measure else None
    passes = prediction.over(prediction.cycle)
    fixed = count_fixed_bytes(work.model, recipe.average, recipe.adversary)
    return {
        "model": recipe.model,
        "batch": work.rows,
        "length": work.length,
        "asked_length": length or recipe.training.max_length,
        "accumulation": recipe.training.accumulation,
        "device": work.device.type,
        "threads": torch.get_num_threads(),
        "precision": work.precision,
        "plain": is_plain(recipe),
        "compiled": False,
        "asked_compile": recipe.training.compile,
        "passes": _passes(passes, measured),
        "slots": _slots(prediction, passes),
        "flops": {"forward": flops, "plain_step": PLAIN * flops, "step": round(passes.units * flops)},
        "memory": _memory(activations, fixed, measured),
        "seconds": _seconds(passes.units, measured),
        **_attacks(recipe),
    }


def _attacks(recipe: Recipe) -> dict[str, Any]:
    """Return what seeking adversarial examples adds before an epoch, per training text; nothing where none are."""
    settings = recipe.augment
    if recipe.data.augment != FRESH or not settings.share:
        return {}
    return {"augment": {"share": settings.share, "forwards_per_text": settings.share * settings.queries}}


def _passes(predicted: Passes, measured: Measured | None) -> dict[str, Any]:
    made = asdict(measured.passes) if measured else None
    agree = made and all(abs(made[name] - value) < TOLERANCE for name, value in asdict(predicted).items())
    return {"predicted": asdict(predicted), "measured": made, "agree": agree}


def _slots(prediction: Forecast, mean: Passes) -> dict[str, Any]:
    slots = prediction.slots(mean)
    return {name: {"units": units, "percent": 100 * units / mean.units} for name, units in slots.items()}


def _memory(activations: int, fixed: Mapping[str, int], measured: Measured | None) -> dict[str, Any]:
    return {
        "activations": {"predicted": activations, "measured": measured.activations if measured else None},
        **fixed,
        "total": {"predicted": activations + sum(fixed.values()), "measured": measured.peak if measured else None},
    }


def _seconds(units: float, measured: Measured | None) -> dict[str, Any]:
    if measured is None:
        return {"plain_step": None, "predicted": None, "measured": None}
    predicted = units / PLAIN * measured.plain_seconds
    return {"plain_step": measured.plain_seconds, "predicted": predicted, "measured": measured.seconds}


def title(found: Mapping[str, Any]) -> str:
    """Return the line above the tables."""
    shape = f"{found['batch']} x {found['length']} tokens"
    threads = f", {found['threads']} thread{'s' if found['threads'] > 1 else ''}" if found["device"] == "cpu" else ""
    return f"{found['model']}: a step of {shape}, {found['precision']}, {found['device']}{threads}"


def rows_of(found: Mapping[str, Any]) -> list[Row]:
    """Return the table (what, predicted, measured) of an :func:`estimate`."""
    passes, memory, seconds = found["passes"], found["memory"], found["seconds"]
    made = passes["measured"]
    rows = [
        (text, number(passes["predicted"][name]), NOT if made is None else number(made[name]))
        for name, text in _KINDS.items()
        if name in _ALWAYS or passes["predicted"][name] or (made or {}).get(name)
    ]
    rows.append(("operations", _operations(found["flops"]["step"]), NONE))
    rows.append(("activations", _size(memory["activations"]["predicted"]), _size(memory["activations"]["measured"])))
    rows += [(text, _size(memory[name]), NONE) for name, text in _STANDING.items() if memory[name]]
    peak = _size(memory["total"]["measured"]) if memory["total"]["measured"] or made is None else NONE
    rows.append(("memory in all", _size(memory["total"]["predicted"]), peak))
    rows.append(("time of a plain step", NONE, _time(seconds["plain_step"])))
    if not found["plain"]:
        rows.append(("time of a step", _time(seconds["predicted"]), _time(seconds["measured"])))
    return rows


_KINDS = {
    "forwards": "forward passes",
    "no_grad": "  of them without a graph",
    "redone": "  of them made again to save memory",
    "backwards": "backward passes",
    "input_backwards": "backward passes to the input alone",
    "units": "units (a plain step: 3)",
}
_ALWAYS = ("forwards", "backwards", "units")
_STANDING = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimiser (AdamW)",
    "average": "average",
    "adversary": "adversary's copies of the weights",
}


def slots_of(found: Mapping[str, Any]) -> list[Row]:
    """Return the table (slot, units, percent), the slots that cost nothing left out."""
    slots = found["slots"].items()
    return [
        (name, number(slot["units"]), f"{slot['percent']:.0f} %")
        for name, slot in slots
        if slot["units"] or name == "plain"
    ]


def remarks(found: Mapping[str, Any]) -> list[str]:
    """Say in words what does not stand in the tables: how far measured lies from predicted, and what was changed."""
    lines, seconds, kept = [], found["seconds"], found["memory"]["activations"]
    if found["passes"]["agree"] is False:
        lines.append("MISMATCH: the engine made other passes than were predicted.")
    if seconds["measured"] is not None and found["plain"]:
        lines.append(
            "A step of this recipe is a plain step; activations are "
            f"{_off(kept['measured'] / kept['predicted'])} predicted."
        )
    elif seconds["measured"] is not None:
        times = seconds["measured"] / seconds["plain_step"]
        lines.append(
            f"A step takes {times:.2f} times a plain step, {_off(seconds['measured'] / seconds['predicted'])} "
            f"predicted; activations are {_off(kept['measured'] / kept['predicted'])} predicted."
        )
    if found["asked_compile"] and not found["compiled"]:
        lines.append(
            "The model is not compiled here, because that takes minutes: time and memory are those without "
            "training.compile."
        )
    if found["length"] < found["asked_length"]:
        lines.append(f"The length was lowered from {found['asked_length']}: the model takes no more.")
    if found["accumulation"] > 1:
        lines.append(f"An optimiser step has {found['accumulation']} such micro-batches.")
    if "augment" in found:
        lines.append(
            f"Beside the steps, {found['augment']['share']:.0%} of the training texts are attacked before an epoch: up "
            f"to {found['augment']['forwards_per_text']:g} texts forward for each training text."
        )
    return lines


def _off(ratio: float) -> str:
    if abs(ratio - 1) < 0.005:
        return "as"
    return f"{abs(ratio - 1):.0%} {'above' if ratio > 1 else 'below'}".replace("%", " %")


def _operations(count: float) -> str:
    """Write a number of operations in the largest unit of which there is one, with three digits at least."""
    for prefix, size in _PREFIXES.items():
        if count >= size:
            return f"{count / size:,.{1 if count >= 10 * size else 2}f} {prefix}FLOP"
    return f"{count:.0f} FLOP"


_PREFIXES = {"P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}


def _size(value: int | None) -> str:
    return NOT if value is None else f"{value / 2**20:,.1f} MiB"


def _time(value: float | None) -> str:
    return NOT if value is None else f"{value:.3f} s"
