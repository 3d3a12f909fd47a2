"""One training on checked splits, from a pretrained model to a finished run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toughen.assess.metrics import score_outputs, weights_of
from toughen.assess.mistakes import describe_mistakes
from toughen.assess.slices import Scorable
from toughen.assess.thresholds import tune_thresholds
from toughen.assess.verdict import verdict
from toughen.classifier.classifier import Classifier
from toughen.data.divide.overlap import text_hashes
from toughen.errors import count
from toughen.files import read_json, write_json, write_whole
from toughen.files.manifest import MANIFEST, seal
from toughen.huggingface.checkpoint import last_complete
from toughen.huggingface.pretrained import prepare
from toughen.machine.environment import environment
from toughen.machine.launch import from_main_process, main_process_alone, quiet_libraries
from toughen.model.base_rates import starting_bias
from toughen.recipe.auto import as_begun
from toughen.recipe.recipe import load_recipe
from toughen.report.write import after_training
from toughen.runs.folder import HASHES, METRICS, MISTAKES, MODEL, PROBE, RECIPE
from toughen.training import build_trainer, fresh
from toughen.training.going_on import check_going_on
from toughen.training.probe import probe

if TYPE_CHECKING:
    from rich.console import Console

    from toughen.classifier.classifier import Classifier
    from toughen.data import Splits
    from toughen.huggingface.trainer import ToughTrainer
    from toughen.recipe.recipe import Recipe


def train_one(
    recipe: Recipe,
    splits: Splits,
    folder: Path,
    console: Console,
    *,
    resume: bool,
    start: Callable[[Recipe, Mapping[str, Any]], None],
    extra: Mapping[str, Any] | None = None,
    adapt: Callable[[ToughTrainer], None] | None = None,
) -> None:
    """Train, then score validation and, once, test with the saved model.

    Args:
        recipe: what to do.
        splits: checked data; everything in ``train``, ``validation`` and ``unlabelled`` counts as seen.
        folder: the run folder.
        console: where progress is shown.
        resume: whether to go on with the last checkpoint in the folder, if there is one.
        start: makes the folder; called in the main process, with the recipe as it is used and the probe's account,
            once the recipe has been tried out on the model.
        extra: more to write into ``metrics.json``.
        adapt: changes the trainer before it trains.

    Raises:
        InputError: if recipe, data and model do not fit together; nothing has been written then.
    """
    build_trainer.check(recipe, splits)
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    with quiet_libraries():
        recipe, probed = _continue_recipe(recipe, folder) if resume else (recipe, None)
        if probed is not None and (otherwise := check_going_on(recipe, folder)):
            say(otherwise)
        if probed is None:
            recipe, probed = from_main_process(partial(probe, recipe, splits, say))
        pairs = "text_pair" in splits.train.column_names
        bias = starting_bias(recipe.head.bias, splits.task, splits.train, len(splits.label_names))
        prepared = prepare(recipe, splits.label_names, splits.task, pairs=pairs, bias=bias)
        if prepared.head:
            console.print(prepared.head, highlight=False, markup=False, soft_wrap=True)
        tokens = build_trainer.tokenise_splits(recipe, splits, prepared, console)
        with main_process_alone() as is_main:
            if is_main:
                start(recipe, probed)
        trainer = build_trainer.make_trainer(recipe, splits, tokens, prepared, folder, console)
        if adapt is not None:
            adapt(trainer)
        trainer.train(resume_from_checkpoint=_find_resume_point(folder, console) if resume else None)
        for line in _lines_on_rows(trainer.report()):
            say(line)
        _finish(folder, recipe, splits, trainer, probed | dict(extra or {}), console)


def _lines_on_rows(report: Mapping[str, Any]) -> Iterator[str]:
    """Say which rows training did not go through as the recipe has it."""
    if left_out := report.get("rows_left_out"):
        one = "1 row whose loss is not finite was left out of its step"
        more = f"{left_out:,} rows whose loss is not finite were left out of their steps"
        yield f"{one if left_out == 1 else more} (metrics.json: train)."
    if unperturbed := report.get("rows_unperturbed"):
        rows = count(unperturbed, "row was", "rows were")
        yield f"{rows} learnt from without a perturbation, since its gradient is not finite (metrics.json: train)."


def _finish(
    folder: Path, recipe: Recipe, splits: Splits, trainer: ToughTrainer, account: dict[str, Any], console: Console
) -> None:
    """Save the model, score it, and write what makes the run complete."""
    with main_process_alone() as is_main:
        if is_main:  # what an interrupted attempt sealed is about to be written again
            (folder / MODEL / MANIFEST).unlink(missing_ok=True)
    trainer.save_model(str(folder / MODEL))
    with main_process_alone() as is_main:
        if is_main:
            _write_results(folder, recipe, splits, trainer, account)
            complete(folder, console)


def _continue_recipe(recipe: Recipe, folder: Path) -> tuple[Recipe, dict[str, Any] | None]:
    """Return the recipe with what a run begun in the folder settled, and its probe's account; None if there is none."""
    if not (folder / RECIPE).exists():
        return recipe, None
    return as_begun(recipe, load_recipe(folder / RECIPE)), read_json(folder / PROBE)


def _find_resume_point(folder: Path, console: Console) -> str | None:
    """Return the checkpoint to go on from; say which newer ones are damaged."""
    return last_complete(folder / "checkpoints", partial(console.print, highlight=False, markup=False, soft_wrap=True))


def complete(folder: Path, console: Console) -> None:
    """Write what a run gets once it is scored, report and model card, and last its manifest."""
    after_training(folder, partial(console.print, highlight=False, markup=False, soft_wrap=True))
    seal(folder)


def complete_in_main_process(folder: Path, console: Console) -> None:
    """Do what `complete` does, in one of all processes, for a run that was ended between its scores and its end."""
    console.print(f"the run in {folder} is trained and scored; what it lacks is written now.", highlight=False)
    with main_process_alone() as is_main:
        if is_main:
            complete(folder, console)


def _write_results(folder: Path, recipe: Recipe, splits: Splits, trainer: Any, extra: Mapping[str, Any]) -> None:
    """Score the saved model; ``metrics.json`` comes last, whole, and says that the run has finished."""
    size = recipe.training.eval_batch_size
    _save_hashes(folder / HASHES, splits)
    classifier = Classifier.load(folder / MODEL, recipe.training.max_length)
    thresholds = _tune_thresholds(classifier, splits, size) if wants_thresholds(recipe, splits) else None
    pairs = "text_pair" in splits.train.column_names
    _note(folder / MODEL, classifier, {"thresholds": thresholds, "pairs": pairs, "columns": splits.columns})
    seal(folder / MODEL)
    classifier = replace(classifier, thresholds=thresholds, pairs=pairs)
    scored = {"validation": splits.validation, "test": splits.test}
    content: dict[str, Any] = {}
    for name, rows in scored.items():  # of the last one the mistakes are kept
        if rows is not None:
            content[name], outputs = score_outputs(classifier, rows, batch_size=size)
            told = Scorable.of(classifier.task, classifier.label_names, thresholds, rows, outputs)
            write_json(folder / MISTAKES, describe_mistakes(name, [told]))
    content |= {"train": trainer.report(), "environment": environment(trainer.args)}
    content |= fresh.report(folder, recipe) | dict(extra)
    write_json(folder / METRICS, content | verdict(content, folder, adversary=recipe.adversary is not None))


def _save_hashes(path: Path, splits: Splits) -> None:
    """Keep which texts the model has seen, so that it can be refused as the teacher of a run scored on them."""
    seen = (splits.train, splits.validation, splits.unlabelled)
    hashes = np.unique(np.concatenate([text_hashes(rows) for rows in seen if rows is not None]))

    def save(part: Path) -> None:
        with part.open("wb") as file:  # np.save would add .npy to a name
            np.save(file, hashes)

    write_whole(path, save)


def wants_thresholds(recipe: Recipe, splits: Splits) -> bool:
    """Whether the probability from which a label counts is chosen on validation."""
    if splits.task == "multi-label":
        return True
    return recipe.training.threshold == "tuned" and splits.task == "single-label" and len(splits.label_names) == 2


def _tune_thresholds(classifier: Classifier, splits: Splits, batch_size: int) -> tuple[float, ...]:
    probabilities = classifier.probabilities(splits.validation, batch_size=batch_size)
    labels = splits.validation["label"][:]
    return tuple(tune_thresholds(splits.task, probabilities, labels, weights_of(splits.validation)))


def _note(model: Path, classifier: Classifier, facts: Mapping[str, Any]) -> None:
    """Write into the saved model's own config what its weights do not say, where whoever loads it finds it."""
    path = model / "config.json"
    if not path.exists():  # an adapter's folder need not have one
        classifier.model.config.save_pretrained(model)
    config = json.loads(path.read_text())
    config["toughen"] = {**(config.get("toughen") or {}), **facts}
    write_json(path, config)
