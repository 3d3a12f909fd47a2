"""Weight soups: the mean of several runs' weights, which costs what one model costs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.assess.metrics import score
from toughen.assess.selection import LESS_IS_BETTER, selecting_metric
from toughen.errors import InputError
from toughen.files.manifest import MANIFEST
from toughen.huggingface.checkpoint_soup import Weights, greedy, mix_weights
from toughen.machine.launch import quiet_libraries
from toughen.model.saved import load_model
from toughen.runs.folder import MODEL

if TYPE_CHECKING:
    from toughen.classifier.classifier import Classifier
    from toughen.runs.members import Members

ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Soup:
    """A finished soup.

    Attributes:
        weights: the mean.
        chosen: positions of the members in it, in the order they were taken.
        scores: the soup's validation score after each of them; empty for a uniform one.
        metric: which score.
    """

    weights: Weights
    chosen: tuple[int, ...]
    scores: tuple[float, ...] = ()
    metric: str | None = None


def check(members: Members) -> None:
    """Refuse runs whose weights have no meaningful mean.

    Raises:
        InputError: if a run has not one whole model, or they differ in pretrained start, shapes or tokenizer.
    """
    first = members.runs[0]
    for run in members.runs:
        if not (run.path / MODEL / "config.json").exists() or (run.path / MODEL / ADAPTER).exists():
            raise InputError(
                f"{run.path} has not one whole model of its own, whose weights a soup could average; combine such runs "
                "by their outputs, for instance --how mean-probabilities."
            )
        if run.recipe.model != first.recipe.model:
            raise InputError(
                f"{first.path} started from {first.recipe.model} and {run.path} from {run.recipe.model}, and the mean "
                "of weights from different starts means nothing; combine them by their outputs."
            )
        if _shapes(run.classifier) != _shapes(first.classifier):
            raise InputError(
                f"the weights of {first.path} and {run.path} have different names or shapes, so they have no mean; "
                "combine them by their outputs."
            )
        if _describe_input(run.classifier) != _describe_input(first.classifier):
            raise InputError(
                f"{first.path} and {run.path} read texts differently (tokenizer, sanitizer, length or truncation), so "
                "one model cannot stand for both; combine them by their outputs."
            )


def _shapes(classifier: Classifier) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in classifier.model.state_dict().items()}


def _describe_input(classifier: Classifier) -> tuple[Any, ...]:
    tokenizer = classifier.tokenizer
    noted = getattr(classifier.model.config, "toughen", None) or {}
    reading = (classifier.max_length, classifier.truncation, classifier.overlap, noted.get("sanitize"))
    return tokenizer.get_vocab(), *reading


def uniform(members: Members) -> Soup:
    """Return the mean of all members' weights."""
    files = [run.path / MODEL for run in members.runs]
    soup = weights_of(files[0])
    for count, file in enumerate(files[1:], start=1):
        soup = mix_weights(soup, weights_of(file), 1 / (count + 1))
    return Soup(soup, tuple(range(len(files))))


def greedily(members: Members, rows: Any) -> Soup:
    """Return the greedy soup: members by their score on these rows, each kept only if the mean gets strictly better.

    Source: Wortsman et al., "Model soups" (2203.05482), recipe 1.

    Args:
        members: checked.
        rows: labelled rows that no member was trained on.
    """
    recipe = members.runs[0].recipe
    metric = selecting_metric(recipe.training.metric, members.first.task)
    score = scorer(members, rows, metric)
    files = [run.path / MODEL for run in members.runs]
    alone = [score(weights_of(file)) for file in files]
    order = sorted(range(len(files)), key=lambda i: (-alone[i], i))
    weights, chosen, scores = greedy([files[i] for i in order], weights_of, score)
    sign = -1.0 if metric in LESS_IS_BETTER else 1.0
    return Soup(weights, tuple(order[i] for i in chosen), tuple(sign * s for s in scores), metric)


def scorer(members: Members, rows: Any, metric: str) -> Callable[[Weights], float]:
    """Return a function from weights to their score on these rows, higher is better."""
    run = members.runs[0]
    classifier = run.classifier
    sign = -1.0 if metric in LESS_IS_BETTER else 1.0

    def of(weights: Weights) -> float:
        classifier.model.load_state_dict(weights)
        return sign * float(_value(score(classifier, rows, batch_size=run.recipe.training.eval_batch_size), metric))

    return of


def _value(metrics: Any, metric: str) -> Any:
    named = metric if metric != "loss" else "mse" if "mse" in metrics else "log_loss"
    found = metrics.get(named)
    if found is None:
        raise InputError(
            f"the rows that select have no {named}, so no soup can be chosen by it; name others with --data."
        )
    return found


def weights_of(folder: Path) -> Weights:
    """Read a model's weights and buffers by name, on the CPU."""
    with quiet_libraries():
        return {name: weight.detach().clone() for name, weight in load_model(folder).state_dict().items()}


def write(members: Members, soup: Soup, folder: Path, thresholds: Callable[[Any], Any]) -> None:
    """Write a soup as the ``model/`` of a run.

    Args:
        members: whose first one lends tokenizer and config.
        soup: its weights.
        folder: of the run.
        thresholds: told the soup's classifier, returns those it decides by (None: the likelier class, or 1/2).
    """
    classifier = members.first
    # Card and manifest of the first member would describe another model.
    left_out = shutil.ignore_patterns("README.md", MANIFEST, "training_args.bin")
    shutil.copytree(members.runs[0].path / MODEL, folder / MODEL, ignore=left_out)
    classifier.model.load_state_dict(soup.weights)
    noted = dict(getattr(classifier.model.config, "toughen", None) or {})
    for fitted in ("temperature", "abstention"):  # to the first member's probabilities
        noted.pop(fitted, None)
    classifier.thresholds, classifier.temperature, classifier.abstention = None, None, None
    noted["thresholds"] = thresholds(classifier)
    classifier.model.config.toughen = noted
    classifier.model.save_pretrained(folder / MODEL)
