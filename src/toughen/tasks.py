"""The kinds of classification: what a label is, told apart by name everywhere."""

from __future__ import annotations

from typing import Any, Literal

TaskName = Literal["single-label", "multi-label", "regression", "tokens"]
"""``single-label``: one class per text; ``multi-label``: any number of them; ``regression``: a number;
``tokens``: a class per word. Sentence pairs are inputs, not a kind: the first three take them."""

PROBLEM_TYPES: dict[TaskName, str] = {
    "single-label": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regression": "regression",
}
"""What transformers calls them in a sequence classifier's config (tokens have an architecture of their own)."""


def task_of(model: Any) -> TaskName:
    """Return the task of a transformers model, as its class or its config has it."""
    if type(model).__name__.endswith("ForTokenClassification"):
        return "tokens"
    return task_of_config(getattr(model, "config", None))


def task_of_config(config: Any) -> TaskName:
    """Return the task of a model's config: the one its training noted, or what transformers' own entries say."""
    noted: TaskName | None = (getattr(config, "toughen", None) or {}).get("task")
    if noted is not None:
        return noted
    if any(name.endswith("ForTokenClassification") for name in getattr(config, "architectures", None) or ()):
        return "tokens"
    by_type = {problem: task for task, problem in PROBLEM_TYPES.items()}
    found = by_type.get(getattr(config, "problem_type", None) or "")
    # What transformers itself takes a single output for.
    return found or ("regression" if getattr(config, "num_labels", 2) == 1 else "single-label")
