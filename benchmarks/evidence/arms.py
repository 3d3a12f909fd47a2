"""What is compared: each arm is a shipped recipe and what is set on top of it."""

from __future__ import annotations

from typing import Any

RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4)
"""The grid that a plain run's learning rate is chosen from."""
MEMBERS = "members"
"""Of how many trainings, 1,000 seeds apart, the mean probabilities are scored."""
AN_EPOCH = "an epoch"
"""Stands for the optimiser steps of one epoch of the data set."""
_TRAINING = {"training.epochs": 3, "training.batch_size": 16, "training.save_total_limit": 1}


def _arm(recipe: str, **settings: Any) -> dict[str, Any]:
    return {"recipe": recipe} | _TRAINING | {name.replace("__", "."): value for name, value in settings.items()}


ARMS: dict[str, dict[str, Any]] = {
    f"{name}, rate {rate:g}": _arm("plain", head__pooling=pooling, training__learning_rate=rate)
    for name, pooling in (("plain", "model"), ("plain, mean pooling", "mean"))
    for rate in RATES
} | {
    "fast": _arm("fast"),
    "accuracy": _arm("accuracy"),
    "robust": _arm("robust"),
    "tough-stack": _arm("tough-stack", training__learning_rate=1e-4),
    "robust, noise": _arm("robust", data__augment="noise"),
    "accuracy, noise": _arm("accuracy", data__augment="noise"),
    "accuracy, 4 epochs": _arm("accuracy", training__epochs=4),
    "accuracy, after an epoch": _arm("accuracy", adversary__start_step=AN_EPOCH),
    "fast, 6 epochs": _arm("fast", training__epochs=6),
    "fast, mean of two": _arm("fast") | {MEMBERS: 2},
    "fast, layer decay 0.9": _arm("fast", training__layer_decay=0.9, training__learning_rate=2e-4),
    "accuracy, layer decay 0.9": _arm("accuracy", training__layer_decay=0.9, training__learning_rate=2e-4),
}
