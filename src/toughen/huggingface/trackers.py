"""Where a training is followed beside its own TensorBoard log: Weights & Biases, MLflow; transformers' callbacks."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from toughen.errors import InputError
from toughen.recipe.training import Tracker

NAMES: dict[Tracker, str] = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "mlflow": "MLflow"}
_PACKAGES = {"tensorboard": "'toughen[tensorboard]'", "wandb": "wandb", "mlflow": "mlflow"}


def require_tracker(name: Tracker) -> None:
    """Refuse early, before a run is started that could not be followed.

    Raises:
        InputError: if the tracker's package is not installed.
    """
    if find_spec(name) is None:
        raise InputError(
            f"{NAMES[name]} is not installed (training.report_to: {name}); install it with: pip install "
            f"{_PACKAGES[name]}."
        )


def tracker_callbacks(name: Tracker) -> list[Any]:
    """Return transformers' callback of a tracker; none of TensorBoard, which every run has in its own folder."""
    if name == "tensorboard":
        return []
    from transformers import integrations  # imports what is installed of all trackers

    kinds: Any = integrations
    return [kinds.WandbCallback() if name == "wandb" else kinds.MLflowCallback()]
