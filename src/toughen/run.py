"""The one Python call, `toughen.train`, and what it leaves behind: a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.errors import InputError
from toughen.recipe import DEFAULT, Recipe, dump, load_recipe

if TYPE_CHECKING:
    from rich.console import Console

    from toughen.assess.score import Classifier
    from toughen.data import Splits

RECIPE, METRICS, MODEL = "recipe.yaml", "metrics.json", "model"


class Run:
    """A finished run folder.

    It holds ``model/`` (the scored weights, loads with ``AutoModelForSequenceClassification.from_pretrained``),
    ``recipe.yaml`` (resolved), ``metrics.json``, ``tensorboard/`` and ``checkpoints/``.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run folder.

        Raises:
            InputError: if there is none, or training did not finish there.
        """
        path = Path(path)
        if not (path / RECIPE).exists():
            raise InputError(
                f"{path} is not a run folder (it has no {RECIPE}); give what toughen train --output wrote."
            )
        if not (path / METRICS).exists():
            raise InputError(f"the run in {path} has not finished (no {METRICS}); continue it with --resume.")
        return cls(path)

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return load_recipe(self.path / RECIPE)

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``: validation, test, train, environment."""
        content: dict[str, Any] = json.loads((self.path / METRICS).read_text())
        return content

    @cached_property
    def classifier(self) -> Classifier:
        """The model with its tokenizer, loaded once."""
        from toughen.assess.score import Classifier

        return Classifier.load(self.path / MODEL, self.recipe.training.max_length)

    def evaluate(
        self,
        data: object,
        *,
        also: Mapping[str, object] | None = None,
        text: str | None = None,
        label: str | None = None,
    ) -> dict[str, Any]:
        """Score labelled data.

        Args:
            data: a hub id, file, folder (its test split), DataFrame, Dataset or list, with this run's label names.
            also: further data by name, each scored alike.
            text: column that holds the text; default the one named in the recipe, or found.
            label: column that holds the label; likewise.

        Returns:
            The metrics; with ``also``, one mapping of metrics per name, ``data`` among them.

        Raises:
            InputError: if a source is wrong or has a label that this run never saw.
        """
        columns = (text or self.recipe.data.text, label or self.recipe.data.label)
        if also and "data" in also:
            raise InputError("further data cannot be named 'data', which is the name of --data itself; choose another.")
        metrics = self._score(data, *columns)
        if not also:
            return metrics
        return {"data": metrics} | {name: self._score(source, *columns) for name, source in also.items()}

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return for each text its ``label``, that label's ``score`` and all ``probabilities`` by label name."""
        import datasets

        if not texts:
            return []
        dataset = datasets.Dataset.from_dict({"text": list(texts)})
        names = self.classifier.label_names
        rows = self.classifier.probabilities(dataset, batch_size=self.recipe.training.eval_batch_size)
        return [
            {
                "label": names[int(row.argmax())],
                "score": float(row.max()),
                "probabilities": dict(zip(names, row.tolist(), strict=True)),
            }
            for row in rows
        ]

    def _score(self, data: object, text: str | None, label: str | None) -> dict[str, Any]:
        from toughen.assess.score import score
        from toughen.data import load_labelled

        rows = load_labelled(data, text=text, label=label, label_names=self.classifier.label_names)
        return score(self.classifier, rows, batch_size=self.recipe.training.eval_batch_size)


def train(
    data: object = None,
    *,
    model: str | Path | None = None,
    recipe: Recipe | str | Path | Mapping[str, Any] | None = None,
    output: str | Path,
    unlabelled: str | Path | None = None,
    seed: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **overrides: object,
) -> Run:
    """Fine-tune a classifier and score it: selection on validation, the test split scored once, at the end.

    Args:
        data: a hub id, file or folder; or a DataFrame, Dataset, DatasetDict, list of (text, label), or dict of splits.
        model: pretrained model, hub id or folder; default the recipe's.
        recipe: a Recipe, the name of a shipped one, a YAML file or a mapping; default tough-stack (or, with
            ``resume``, the one the run was started with).
        output: the run folder to make.
        unlabelled: source of texts without labels, for the terms that need none (VAT, R-Drop's divergence).
        seed: seed of everything; default the recipe's.
        resume: continue an interrupted run in ``output``.
        overwrite: replace a run in ``output``.
        quiet: print nothing.
        overrides: changes to the recipe: ``training={"epochs": 1}``, ``**{"adversary.steps": 5}``.

    Returns:
        The finished run.

    Raises:
        InputError: if something given is wrong; nothing has been written then.
    """
    from toughen.training.launch import main_process_console

    folder = Path(output)
    source = data if isinstance(data, (str, Path)) else None
    given = {"model": model, "training.seed": seed, "data.source": source, "data.unlabelled": unlabelled}
    resolved = _resolved(recipe, folder if resume else None, given, overrides)
    console = main_process_console(quiet)
    if _is_finished(folder, resolved, resume=resume, overwrite=overwrite):
        console.print(f"the run in {folder} has finished already; nothing to do.")
        return Run.open(folder)
    return _train(resolved, None if source is not None else data, folder, resume, console)


def _resolved(
    recipe: Recipe | str | Path | Mapping[str, Any] | None,
    resumed: Path | None,
    given: Mapping[str, object],
    overrides: Mapping[str, object],
) -> Recipe:
    """Return the recipe named, or that of the run to be resumed, or the default, with what was given on top."""
    if recipe is None and resumed is not None and (resumed / RECIPE).exists():
        recipe = resumed / RECIPE
    named = {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    changes = {key: value for key, value in named.items() if value is not None}
    return load_recipe(recipe or DEFAULT, {**overrides, **changes})


def _is_finished(folder: Path, recipe: Recipe, *, resume: bool, overwrite: bool) -> bool:
    """Check that a run may be made in this folder; say whether there is nothing left to do.

    Raises:
        InputError: if the folder is taken, or holds another run than the one to be continued.
    """
    started = (folder / RECIPE).exists()
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not started)):
        raise InputError(f"{folder} exists and is not a run folder; choose another --output.")
    if started and resume:
        _refuse_other_recipe(folder, recipe)
        return (folder / METRICS).exists()
    if started and not overwrite:
        raise InputError(
            f"{folder} already holds a run; continue it with --resume, replace it with --overwrite, or choose another "
            "--output."
        )
    return False


def _refuse_other_recipe(folder: Path, recipe: Recipe) -> None:
    before, now = (folder / RECIPE).read_text().splitlines(), dump(recipe).splitlines()
    changed = [line.strip() for line in now if line not in before]
    if before != now:
        raise InputError(
            f"{folder} was started with another recipe (now {'; '.join(changed[:3]) or 'shorter'}); resume with the "
            f"same settings ({folder / RECIPE}) or choose another --output."
        )


def _train(recipe: Recipe, data: object, folder: Path, resume: bool, console: Console) -> Run:
    from toughen.data import load_splits

    splits = load_splits(recipe.data, seed=recipe.training.seed, data=data)
    # Slow to import, and not needed to refuse wrong data.
    from toughen.training import fit
    from toughen.training.checkpoint import last_complete
    from toughen.training.launch import main_process_alone, quiet_libraries
    from toughen.training.pretrained import prepare

    fit.check(recipe, splits)
    for line in splits.summary.lines():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    with quiet_libraries():
        prepared = prepare(recipe, splits.label_names)
        with main_process_alone() as is_main:
            if is_main:
                _start_folder(folder, recipe, keep=resume)
        trainer = fit.make_trainer(recipe, splits, prepared, folder, console)
        trainer.train(resume_from_checkpoint=last_complete(folder / "checkpoints") if resume else None)
        trainer.save_model(str(folder / MODEL))
        with main_process_alone() as is_main:
            if is_main:
                _write_metrics(folder, recipe, splits, trainer)
    return Run.open(folder)


def _start_folder(folder: Path, recipe: Recipe, *, keep: bool) -> None:
    if folder.exists() and not keep:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECIPE).write_text(dump(recipe))


def _write_metrics(folder: Path, recipe: Recipe, splits: Splits, trainer: Any) -> None:
    """Score validation and, once, test with the saved model; ``metrics.json`` appears whole or not at all."""
    from toughen.assess.score import Classifier, score
    from toughen.training.environment import environment

    classifier = Classifier.load(folder / MODEL, recipe.training.max_length)
    scored = {"validation": splits.validation, "test": splits.test}
    content: dict[str, Any] = {
        name: score(classifier, rows, batch_size=recipe.training.eval_batch_size)
        for name, rows in scored.items()
        if rows is not None
    }
    content |= {"train": trainer.report(), "environment": environment(trainer.args)}
    unfinished = folder / f"{METRICS}.part"
    unfinished.write_text(json.dumps(content, indent=2))
    unfinished.replace(folder / METRICS)
