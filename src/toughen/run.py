"""The one Python call, `toughen.train`, and what it leaves behind: a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from toughen.assess.metrics import score
from toughen.assess.questions import Questions
from toughen.assess.suite.evaluate_suite import evaluate_suite
from toughen.errors import InputError
from toughen.machine.launch import main_process_console
from toughen.recipe.recipe import DEFAULT, Recipe, load_recipe, paths_of, unlabelled_of
from toughen.runs.beginning import is_finished
from toughen.runs.finished import FinishedRun
from toughen.runs.folder import RECIPE, is_complete
from toughen.runs.writer import refuse_input_inside, sole_writer
from toughen.training.extras import Extras, extras_of

if TYPE_CHECKING:
    from toughen.assess.questions import Asked


class Run(FinishedRun):
    """A finished run folder.

    It holds ``model/`` (the scored weights, loads with transformers' ``Auto`` classes), ``recipe.yaml`` (resolved),
    ``metrics.json``, ``train_hashes.npy`` (which texts the model has seen), ``tensorboard/`` and ``checkpoints/``; and
    ``pseudo.json`` and ``pseudo.parquet`` where a teacher labelled texts. A run in folds holds a run folder per fold,
    ``fold-1/`` and so on, ``folds.json``, ``oof.parquet`` and maybe ``submission.csv`` instead of a model of its own.

    Attributes:
        path: the folder.
    """

    def evaluate(
        self,
        data: object,
        *,
        also: Mapping[str, object] | None = None,
        text: str | None = None,
        label: str | None = None,
        text_pair: str | None = None,
        label_columns: str | None = None,
        vote_columns: str | None = None,
        encoding: str | None = None,
        **asked: Unpack[Asked],
    ) -> dict[str, Any]:
        """Score labelled data.

        Args:
            data: a hub id, file, folder (its test split), DataFrame, Dataset or list, with this run's label names.
            also: further data by name, each scored alike.
            text: column that holds the text; default the one named in the recipe, or found.
            label: column that holds the label; likewise.
            text_pair: column that holds the second text of a pair; likewise.
            label_columns: columns ``a,b,c`` of a probability of each class, in place of ``label``; default those of
                training where the data have them and no ``label`` is named.
            vote_columns: columns of annotators' votes; likewise.
            encoding: of text files; default UTF-8.
            asked: what else to find out, see `toughen.assess.questions.Questions`: details=True, slices, mistakes, ...

        Returns:
            The metrics; with ``also``, one mapping of metrics per name, ``data`` among them. Where more is asked, that
            stands beside them, see `toughen.assess.evaluation.evaluate`.

        Raises:
            InputError: if a source is wrong or has a label that this run never saw.
        """
        named = {"text": text, "label": label, "text_pair": text_pair}
        columns = {name: column or getattr(self.recipe.data, name) for name, column in named.items()}
        columns |= {"encoding": encoding, "label_columns": label_columns, "vote_columns": vote_columns}
        if label_columns is not None or vote_columns is not None:
            columns["label"] = label
        if also and "data" in also:
            raise InputError("further data cannot be named 'data', which is the name of --data itself; choose another.")
        if asked.pop("details", False) or asked:
            from toughen.assess.evaluation import evaluate  # loads datasets

            return evaluate(self, data, also=also, columns=columns, questions=Questions.of(asked))
        metrics = self._score(data, columns)
        if not also:
            return metrics
        return {"data": metrics} | {name: self._score(source, columns) for name, source in also.items()}

    def evaluate_suite(
        self,
        suite: str | Path,
        *,
        names: Mapping[str, str] | None = None,
        save: bool = False,
        output: str | Path | None = None,
    ) -> dict[str, Any]:
        """Ask the model a behavioural suite; see `toughen.assess.suite.evaluate_suite.evaluate_suite`."""
        return evaluate_suite(self, suite, names=names, run=self.path, save=save, output=output)

    def calibrate(self, data: object = None) -> dict[str, Any]:
        """Fit a temperature on validation rows and save it with the model; see `toughen.assess.calibrate.calibrate`."""
        from toughen.assess.calibrate import calibrate  # loads datasets

        return calibrate(self, data)

    def abstain(
        self, data: object = None, *, error: float | None = None, confidence: float = 0.9, sets: float | None = None
    ) -> dict[str, Any]:
        """Fit when no answer is given and save it with the model; see `toughen.assess.abstain.abstain`."""
        from toughen.assess.abstain import abstain  # loads datasets

        return abstain(self, data, error=error, confidence=confidence, sets=sets)

    def audit(self, data: object = None, *, output: str | Path | None = None) -> dict[str, Any]:
        """Find training rows worth a look by a run in folds and write them; see `toughen.assess.audit.audit.audit`."""
        from toughen.assess.audit.audit import audit  # loads datasets

        return audit(self, data, output=output)

    def _score(self, data: object, columns: Mapping[str, str | None]) -> dict[str, Any]:
        rows = self.labelled(data, columns)
        return score(self.classifier, rows, batch_size=self.recipe.training.eval_batch_size)


def train(
    data: object = None,
    *,
    model: str | Path | None = None,
    recipe: Recipe | str | Path | Mapping[str, Any] | None = None,
    output: str | Path,
    unlabelled: str | Path | None = None,
    folds: int | None = None,
    group: str | None = None,
    submit: object = None,
    id_column: str | None = None,
    pseudo_label: str | Path | None = None,
    min_confidence: float | None = None,
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
        recipe: a Recipe, the name of a shipped one, a YAML file or a mapping; default accuracy (or, with
            ``resume``, the one the run was started with).
        output: the run folder to make.
        unlabelled: source of texts without labels, for the terms that need none (VAT, R-Drop's divergence), or for
            the teacher; ``unlabeled`` will do.
        folds: train so many models, each scored on the rows that it alone does not learn from.
        group: column whose equal values stay on one side of every division, and in one fold.
        submit: with ``folds``, texts to answer with all models: as ``data``, of divided data its test split.
        id_column: column of the submitted texts that stands first in ``submission.csv``; default their row numbers.
        pseudo_label: run folder of a teacher, which labels the texts of ``unlabelled``.
        min_confidence: least probability with which such a label counts; default 0.9.
        seed: seed of everything; default the recipe's.
        resume: continue an interrupted run in ``output``; with more ``training.epochs`` (or ``max_steps``) than it was
            begun with, also a finished one.
        overwrite: replace a run in ``output``.
        quiet: print nothing.
        overrides: changes to the recipe: ``training={"epochs": 1}``, ``**{"adversary.steps": 5}``.

    Returns:
        The finished run.

    Raises:
        InputError: if something given is wrong; nothing has been written then.
    """
    folder = Path(output)
    unlabelled, overrides = unlabelled_of(unlabelled, overrides)
    source = data if isinstance(data, (str, Path)) else None
    given = {"model": model, "training.seed": seed, "data.source": source, "data.unlabelled": unlabelled}
    resolved = _resolve_recipe(recipe, folder if resume else None, {**given, "data.group": group}, overrides)
    teacher = None if pseudo_label is None else str(pseudo_label)
    asked = {"folds": folds, "submit": submit, "id_column": id_column, "pseudo_label": teacher}
    extras = extras_of(folder, resume=resume, **asked, min_confidence=min_confidence)
    if extras.pseudo_label is not None and resolved.data.unlabelled is None:
        raise InputError("--pseudo-label needs texts to label: name them with --unlabelled SOURCE.")
    if not resume:
        refuse_input_inside(folder, paths_of(resolved) | {"--pseudo-label": teacher, "--submit": submit})
    with sole_writer(folder, "toughen train"):
        finished = is_finished(folder, resolved, resume=resume, overwrite=overwrite)
        _go_on(resolved, None if source is not None else data, folder, resume, finished, extras, quiet)
        return Run.open(folder)


def _go_on(
    recipe: Recipe, data: object, folder: Path, resume: bool, finished: bool, extras: Extras, quiet: bool
) -> None:
    """Train, or write what a run that has finished training still lacks."""
    console = main_process_console(quiet)
    if not finished:
        from toughen.training.start import start_training  # loads transformers

        start_training(recipe, data, folder, resume, console, extras)
    elif is_complete(folder):
        console.print(f"the run in {folder} has finished already; nothing to do.")
    else:
        from toughen.training.one import complete_in_main_process  # loads transformers

        complete_in_main_process(folder, console)


def _resolve_recipe(
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
