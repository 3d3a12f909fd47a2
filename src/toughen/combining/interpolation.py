"""WiSE-FT: a fine-tuned model drawn back towards the pretrained one, as far as the rows that select say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from toughen.assess.selection import LESS_IS_BETTER, selecting_metric
from toughen.combining.weight_soup import Soup, scorer, weights_of
from toughen.errors import InputError
from toughen.huggingface.checkpoint_soup import Weights, mix_weights
from toughen.machine.launch import quiet_libraries
from toughen.model.head import load_encoder
from toughen.runs.folder import MODEL

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun
    from toughen.runs.members import Members

SHARES = tuple(share / 10 for share in range(11))
"""Shares of the tuned weights that are tried; at 1 the model is bitwise the tuned one."""


def interpolate(members: Members, rows: Any) -> tuple[Soup, float, dict[float, float]]:
    """Return (1 - a) * start + a * tuned with the best a of `SHARES` on these rows, that a, and the scores of all.

    Of equally good ones the largest a is taken. The encoder is interpolated; the head, which the start does not have,
    stays the tuned one.

    Source: Wortsman et al., "Robust fine-tuning of zero-shot models" (2109.01903). Deviation: there the head too has a
    start, made of the class names.

    Args:
        members: one run, checked.
        rows: labelled rows that it was not trained on.

    Raises:
        InputError: if the pretrained model cannot be read, or its weights are not those that were tuned.
    """
    (run,) = members.runs
    metric = selecting_metric(run.recipe.training.metric, members.first.task)
    score = scorer(members, rows, metric)
    tuned = weights_of(run.path / MODEL)
    start = start_weights(run, tuned)
    scores = {share: score(between(start, tuned, share)) for share in SHARES}
    best = max(scores, key=lambda share: (scores[share], share))
    sign = -1.0 if metric in LESS_IS_BETTER else 1.0
    soup = Soup(between(start, tuned, best), (0,), (sign * scores[best],), metric)
    return soup, best, {share: sign * value for share, value in scores.items()}


def between(start: Weights, tuned: Weights, share: float) -> Weights:
    """Return (1 - share) * start + share * tuned; what has no start is as tuned, and at share 1 everything."""
    if share == 1:
        return tuned
    return tuned | mix_weights(start, tuned, share)


def start_weights(run: FinishedRun, tuned: Weights) -> Weights:
    """Return the pretrained weights of the run's encoder, named as in the tuned model.

    Raises:
        InputError: if the recipe's model cannot be read or has not the tuned model's weights.
    """
    source = run.recipe.model
    model = run.classifier.model
    prefix = model.base_model_prefix
    try:
        with quiet_libraries():
            encoder, fresh = load_encoder(source, dtype=next(model.parameters()).dtype)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{run.path} started from {source}, which cannot be read here ({str(error).splitlines()[0]}); "
            "--how wise-ft draws the run back towards it, so put it where it was."
        ) from None
    state = {f"{prefix}.{name}": weight for name, weight in encoder.state_dict().items() if name not in fresh}
    start = {name: weight for name, weight in state.items() if torch.is_floating_point(weight)}
    strangers = [name for name, weight in start.items() if name not in tuned or tuned[name].shape != weight.shape]
    if strangers or not start:
        raise InputError(
            f"the weights of {source} are not those that {run.path} was tuned from "
            f"({(strangers or ['all'])[0]}: missing or of another shape); --how wise-ft needs the model that the run "
            "started from where its recipe says."
        )
    return start
