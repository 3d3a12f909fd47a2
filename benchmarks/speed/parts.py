"""The parts that are pairs of steps: techniques, loops, the listing, scaling."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import loops
import models
import torch
from listing import Listing
from measure import Bench, Side
from sides import Backward, WholeStep

from toughen.machine.full_speed import full_speed
from toughen.machine.runtime import resolve_precision
from toughen.recipe.recipe import load_recipe

TECHNIQUES = (
    "rdrop", "fgm", "fgsm", "pgd", "freelb", "vat", "smart", "gradient-penalty", "sam", "asam", "awp", "neftune",
    "mixup", "ema", "rat-stack", "tough-stack", "full-stack",
)  # fmt: skip
STACKS = {
    "full-stack": {},
    "full-stack, search on the task loss": {"adversary.search_loss": "task"},
    "rat-stack": {},
}
"""What is held against the listing, with what is changed in the recipe of that name."""
SCALES = [(1, 128), (16, 128), (4, 32), (4, 256), (4, 512)]


@dataclass(frozen=True)
class Options:
    """What the command line says; None leaves a part its own default."""

    sizes: list[str]
    device: str
    batch: int | None
    length: int | None
    precisions: list[str]
    given: list[str] | None
    only: list[str] | None
    longest: int
    data: Path | None
    seeds: list[int]
    quick: bool

    def wants(self, what: str) -> bool:
        return self.only is None or what in self.only

    def shapes(self, size: str, default: tuple[int, int]) -> tuple[int, int]:
        """Return (rows, tokens) of a batch: MiniLM's default has 16 rows everywhere."""
        rows = default[0] if size == "roberta-base" else 16
        return self.batch or rows, self.length or default[1]


def hardware_precision(device: str) -> str:
    return resolve_precision("auto", torch.device(device))


def techniques(bench: Bench, options: Options) -> None:
    """(a) Every technique's step over the plain step, against its units; optimiser, clipping and schedule left out."""
    for size in options.sizes:
        rows, length = options.shapes(size, (4, 128))
        for precision in options.precisions:
            for name in filter(options.wants, TECHNIQUES):
                setting = {"size": size, "batch": rows, "length": length, "precision": precision}
                if bench.missing("a", name, setting):
                    _technique(bench, name, setting, options.device)


@full_speed()
def _technique(bench: Bench, name: str, setting: dict[str, Any], device: str) -> None:
    batches = models.full_batches(setting["size"], setting["batch"], setting["length"], device)
    model = models.make_model(setting["size"], device)
    side = Backward(model, name, batches, setting["precision"])
    base = Backward(model, "plain", batches, setting["precision"])

    def units() -> float:
        return side.units() / base.units()

    bench.compare("a", name, setting, side, base, units_ratio=units)


def whole_loops(bench: Bench, options: Options) -> None:
    """(b) The engine with nothing on against Trainer, and EMA on against off, step by step of whole loops."""
    for size in options.sizes:
        rows, length = options.batch or 16, options.length or 128
        for precision in options.precisions:
            setting = {"size": size, "batch": rows, "length": length, "precision": precision}
            for what in filter(options.wants, ("engine / Trainer", "EMA on / off")):
                if bench.missing("b", what, setting):
                    _loops(bench, what, setting, options.device)


def _loops(bench: Bench, what: str, setting: dict[str, Any], device: str) -> None:
    size, rows = setting["size"], setting["batch"]
    pairs = bench.pairs if rows < 16 else max(bench.pairs, 30)
    data = loops.make_rows(size, (pairs + 10) * rows, setting["length"])
    with tempfile.TemporaryDirectory() as folder:
        # Each Trainer keeps its arguments, and changes them.
        args = [loops.arguments(Path(folder), rows, setting["precision"], device) for _ in range(2)]
        made = [models.make_model(size, device) for _ in range(2)]
        side = loops.ours(made[0], data, args[0], "ema" if what.startswith("EMA") else "plain")
        base = (loops.ours if what.startswith("EMA") else loops.stock)(made[1], data, args[1])
        bench.compare("b", what, setting, side, base, pairs=pairs)
        side.close()
        base.close()


def against_listing(bench: Bench, options: Options) -> None:
    """(c) The listing's whole step over ours, in the same precision on the same batches."""
    for size in options.sizes:
        rows, length = options.shapes(size, (4, 128))
        for precision in options.precisions:
            setting = {"size": size, "batch": rows, "length": length, "precision": precision}
            for name in filter(options.wants, STACKS):
                if bench.missing("c same precision", name, setting):
                    _same_precision(bench, name, setting, options.device)


def everything(bench: Bench, options: Options) -> None:
    """(i) The listing's whole step on random batches of IMDb's lengths over ours as ``toughen.train`` makes it."""
    for size in options.sizes:
        rows = options.batch or 16
        half = hardware_precision(options.device)
        for precision in options.precisions:
            setting = {"size": size, "batch": rows, "longest": options.longest, "listing": precision, "ours": half}
            names = [*filter(options.wants, STACKS)]
            if any(bench.missing("c everything", name, setting) for name in names):
                _everything(bench, names, setting, options.device)


def stack(name: str) -> Any:
    return load_recipe(name.partition(",")[0], STACKS[name])


@full_speed()
def _same_precision(bench: Bench, name: str, setting: dict[str, Any], device: str) -> None:
    size, precision = setting["size"], setting["precision"]
    batches = models.full_batches(size, setting["batch"], setting["length"], device)
    ours = WholeStep(models.make_model(size, device), stack(name), batches, precision)
    listing = Listing(models.make_model(size, device), batches, precision)
    bench.compare("c same precision", name, setting, listing, ours, units=ours.units)


def _everything(bench: Bench, names: list[str], setting: dict[str, Any], device: str) -> None:
    """Compare random batches with buckets; a round is one batch of each, equally many texts."""
    size, rows, longest = setting["size"], setting["batch"], setting["longest"]
    random, bucketed = (
        make(size, rows, bench.pairs, longest, device) for make in (models.random_batches, models.bucketed_batches)
    )
    warm = models.make_batch(size, [min(32, longest)] * rows, 0, device)

    def listing() -> Side:
        return Listing(models.make_model(size, device), [*random, warm], setting["listing"])

    def ours(name: str) -> WholeStep:
        return WholeStep(models.make_model(size, device), stack(name), [*bucketed, warm], setting["ours"])

    def at_full_speed(name: str) -> Side:
        return full_speed()(ours(name))

    facts = {
        "listing_tokens_per_batch": sum(b["input_ids"].numel() for b in random) / len(random),
        "our_tokens_per_batch": sum(b["input_ids"].numel() for b in bucketed) / len(bucketed),
    }
    bases = {name: partial(at_full_speed, name) for name in names}
    units = {name: {"units": _units(name)} for name in names}
    bench.compare_with_each("c everything", setting, listing, bases, {name: facts | units[name] for name in names})


def _units(name: str) -> float:
    """Return the units of a stack's step, which do not depend on the model."""
    step = WholeStep(models.make_model("tiny"), stack(name), models.full_batches("tiny", 2, 8), "fp32")
    step(0)
    return step.units()


def scaling(bench: Bench, options: Options) -> None:
    """(d) How the seconds of a step grow with batch and length, over 4 x 128; sizes are compared by their seconds."""
    for size in options.sizes:
        for precision in options.precisions:
            for name in filter(options.wants, ("plain", "rat-stack", "tough-stack")):
                for rows, length in SCALES[:1] if options.quick else SCALES:
                    setting = {"size": size, "batch": rows, "length": length, "precision": precision}
                    if bench.missing("d", name, setting):
                        _scale(bench, name, setting, options.device)


@full_speed()
def _scale(bench: Bench, name: str, setting: dict[str, Any], device: str) -> None:
    size, rows, length = setting["size"], setting["batch"], setting["length"]
    model = models.make_model(size, device)
    batches, small = (models.full_batches(size, *shape, device) for shape in ((rows, length), (4, 128)))
    sides = [Backward(model, name, which, setting["precision"]) for which in (batches, small)]
    bench.compare("d", name, setting, *sides, tokens_ratio=rows * length / (4 * 128))


PAIRED: dict[str, Callable[[Bench, Options], None]] = {
    "a": techniques,
    "b": whole_loops,
    "c": against_listing,
    "i": everything,
    "d": scaling,
}
