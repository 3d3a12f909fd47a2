"""A pretrained model with a new head and its tokenizer, tried out before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

from toughen.data.tokens import effective_max_length
from toughen.errors import InputError
from toughen.hub import hub_answers
from toughen.recipe import Recipe
from toughen.training.engine import Engine


@dataclass
class Prepared:
    """A model with a new head, its tokenizer, and the tokens it may read at most."""

    model: Any
    tokenizer: Any
    max_length: int


def prepare(recipe: Recipe, label_names: tuple[str, ...]) -> Prepared:
    """Load tokenizer and model, with a new head of one output per label name, and try the recipe on them.

    Raises:
        InputError: if the model cannot be found, or the recipe cannot be applied to it.
    """
    tokenizer, model = _load(recipe, dict(enumerate(label_names)))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    _try_out(recipe, model, tokenizer)
    return Prepared(model, tokenizer, effective_max_length(recipe.training.max_length, tokenizer, model.config))


def _load(recipe: Recipe, names: dict[int, str]) -> tuple[Any, Any]:
    local = Path(recipe.model).exists()
    if Path(recipe.model).is_file():
        raise InputError(
            f"model {recipe.model!r} is a file; give the folder of a saved transformers model, or a hub id."
        )
    cached_only = not local and not hub_answers("model", recipe.model)
    set_seed(recipe.training.seed)  # the new head's weights
    try:
        tokenizer = AutoTokenizer.from_pretrained(recipe.model, local_files_only=cached_only)
        model = AutoModelForSequenceClassification.from_pretrained(
            recipe.model,
            num_labels=len(names),
            id2label=names,
            label2id={name: i for i, name in names.items()},
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            local_files_only=cached_only,
        )
    except (OSError, ValueError) as error:
        raise InputError(_fault(recipe.model, local, cached_only, error)) from error
    return tokenizer, model


def _fault(name: str, local: bool, cached_only: bool, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    if local:
        return f"model {name!r} cannot be loaded: {reason}; give the folder of a saved transformers model."
    if cached_only:
        return (
            f"model {name!r} is no local folder and the hub is unreachable: check the name and the network, set "
            "HF_ENDPOINT to a mirror, or give the folder of a saved model."
        )
    return f"model {name!r} cannot be loaded from the hub: {reason}; check the name, or give a local folder."


def _try_out(recipe: Recipe, model: Any, tokenizer: Any) -> None:
    """Run one perturbed pass, so that a model that cannot be attacked is refused now and not after the first batch."""
    objective = replace(recipe.objective, class_weights=None)
    batch = tokenizer(["a", "a b"], padding=True, return_tensors="pt")
    batch = {name: batch[name] for name in tokenizer.model_input_names if name in batch}
    adversary = recipe.adversary and replace(recipe.adversary, start_step=0)
    special = tokenizer.all_special_ids
    with torch.random.fork_rng(), Engine(model, objective, adversary, special_ids=special) as engine:
        engine.backward(batch | {"labels": torch.tensor([0, 1])})
    model.zero_grad()
