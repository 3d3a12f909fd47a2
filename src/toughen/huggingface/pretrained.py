"""A pretrained model with a new head and its tokenizer, tried out before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    set_seed,
)

from toughen import __version__
from toughen.data.tokens.sanitizer import sanitize
from toughen.data.tokens.tokenise import effective_max_length
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.engine.weight_average import make_average
from toughen.errors import InputError
from toughen.files.manifest import verify
from toughen.huggingface.saved_head import fit_head, model_folder
from toughen.machine.hub import hub_answers
from toughen.machine.runtime import best_device
from toughen.model.base_rates import Numbers, set_bias
from toughen.model.groups import in_head
from toughen.model.head import apply_head, check_head, load_encoder, pooled
from toughen.model.learning_rate import learning_rate
from toughen.model.lora import AdapterConfig, apply_lora
from toughen.model.pooling import stated_pooling
from toughen.recipe.auto import fill_auto, is_open
from toughen.recipe.recipe import Recipe
from toughen.tasks import PROBLEM_TYPES, TaskName

TRIAL = (("a",), ("a", "b"))
"""The words of the two texts that a recipe is tried out on."""
PREFIX_SPACE = ('"add_prefix_space":false', '"add_prefix_space":true')
"""A setting in a tokenizer's file, as it is and as it has to be."""


@dataclass
class Prepared:
    """A model with its head, its tokenizer, and the tokens it may read at most.

    Attributes:
        model: with the head (and the adapters) of the recipe.
        tokenizer: its own.
        max_length: tokens per text (or pair), special tokens included.
        recipe: the one asked for, with what it left to the run settled.
        head: what became of a saved head, as a sentence; empty where there was none.
    """

    model: Any
    tokenizer: Any
    max_length: int
    recipe: Recipe
    head: str = ""


def prepare(
    recipe: Recipe,
    label_names: tuple[str, ...],
    task: TaskName = "single-label",
    *,
    pairs: bool = False,
    bias: Numbers | None = None,
) -> Prepared:
    """Load tokenizer and model, with a head of one output per label name, and try the recipe on them.

    The head of a saved classifier goes on where the data have its labels, and maybe more (see
    :mod:`toughen.huggingface.saved_head`); else it is a new one.

    Args:
        recipe: what to do; its head and its adapter are put on the model.
        label_names: names of the classes or tags, in the order of the outputs; of regression's one value.
        task: what a label is.
        pairs: whether it reads two texts at a time.
        bias: where the biases of a new last layer start, [K] (see :mod:`toughen.model.base_rates`).

    Raises:
        InputError: if the model cannot be found, or the recipe cannot be applied to it.
    """
    _check_adapter(recipe)
    recipe = fill_auto(settle_recipe(recipe, task), {"head.pooling": "model"})
    tokenizer, model, fresh, said = _load(recipe, label_names, task)
    length = effective_max_length(recipe.training.max_length, tokenizer, model.config, pairs=pairs)
    model.config.toughen = _note(recipe, task, length) | {"pairs": pairs}
    apply_head(model, recipe.head, recipe.training.seed)
    if bias is not None and (recipe.head.pooling != "model" or any(name.endswith(".bias") for name in fresh)):
        set_bias(model, bias)
    if recipe.adapter is not None:
        model = apply_lora(model, recipe.adapter, recipe.training.seed, fresh)
    _try_out(recipe, model, tokenizer, task)
    return Prepared(model, tokenizer, length, recipe, said)


def settle_recipe(recipe: Recipe, task: TaskName) -> Recipe:
    """Return the recipe with what the pretrained model's files decide: the learning rate, and maybe the pooling.

    The pooling stays `auto` where they leave it open.

    Raises:
        InputError: if the model cannot be found.
    """
    if not is_open(recipe):
        return recipe
    with _find_model(recipe.model) as (source, cached_only):
        config = AutoConfig.from_pretrained(source, local_files_only=cached_only)
        values = {"training.learning_rate": learning_rate(config, adapter=recipe.adapter is not None)}
        pooling = "model" if task == "tokens" else stated_pooling(source, config, local_files_only=cached_only)
    return fill_auto(recipe, values | ({} if pooling is None else {"head.pooling": pooling}))


def load_frozen(recipe: Recipe, label_names: tuple[str, ...], task: TaskName, *, pairs: bool) -> Prepared:
    """Load tokenizer and model to look at as they are: in evaluation mode, on this machine's best device.

    A pooling that is still open counts as the model's own head.

    Raises:
        InputError: if the model cannot be found, or cannot have the recipe's head.
    """
    recipe = fill_auto(recipe, {"head.pooling": "model"})
    tokenizer, model, _, _ = _load(recipe, label_names, task)
    length = effective_max_length(recipe.training.max_length, tokenizer, model.config, pairs=pairs)
    return Prepared(model.to(best_device()).eval(), tokenizer, length, recipe)


def _check_adapter(recipe: Recipe) -> None:
    for name in ("reinit_layers", "freeze_layers"):
        count = getattr(recipe.head, name)
        if recipe.adapter is not None and count:
            raise InputError(
                f"head.{name} {count} cannot be combined with adapter {recipe.adapter.name}, beside which the whole "
                "pretrained model stands still as it was loaded; leave one of them out."
            )


def _note(recipe: Recipe, task: TaskName, length: int) -> dict[str, Any]:
    """Return what a saved model says of itself beside what transformers has words for."""
    training = recipe.training
    reading = {"truncation": training.truncation, "overlap": training.overlap, "max_length": length}
    cleaned = {"sanitize": True} if recipe.data.sanitize else {}
    return {"version": __version__, "task": task, "thresholds": None, **reading, **cleaned}


def _load(recipe: Recipe, names: tuple[str, ...], task: TaskName) -> tuple[Any, Any, list[str], str]:
    """Return tokenizer, model, the names of the parameters that start anew, and what became of a saved head."""
    with _find_model(recipe.model) as (source, cached_only):
        set_seed(recipe.training.seed)  # the new head's weights
        config = AutoConfig.from_pretrained(source, local_files_only=cached_only)
        _check_config(recipe, task, config)
        tokenizer = _load_tokenizer(source, task, cached_only)
        if recipe.data.sanitize:
            sanitize(tokenizer)
        model, fresh = _load_model(recipe, source, names, task, cached_only)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    saved = [str(config.id2label.get(i, i)) for i in range(config.num_labels)]
    fresh, said = fit_head(model, saved, names, fresh, source)
    return tokenizer, model, sorted(fresh), said


@contextmanager
def _find_model(name: str) -> Iterator[tuple[str, bool]]:
    """Give where a model stands and whether only what is on this machine can be loaded; say why loading failed."""
    source = model_folder(name)
    local = Path(source).exists()
    if Path(source).is_file():
        raise InputError(f"model {name!r} is a file; give the folder of a saved transformers model, or a hub id.")
    if local:
        verify(Path(source))
    cached_only = not local and not hub_answers("model", source)
    try:
        yield source, cached_only
    except InputError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(_fault(name, local, cached_only, error)) from error


def _check_config(recipe: Recipe, task: TaskName, config: Any) -> None:
    if isinstance(config, AdapterConfig):
        raise InputError(
            f"model {recipe.model!r} holds adapters, not a whole model; train from the model that they are for, or "
            "save a whole one with toughen.model.lora.merged first."
        )
    check_head(recipe.head, task, config)


def _load_tokenizer(name: str, task: TaskName, cached_only: bool) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=cached_only)
    if task != "tokens" or not _needs_space(tokenizer):
        return tokenizer
    # Byte-level tokenizers tell words by the space before them, which a word standing alone has not.
    tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=cached_only, add_prefix_space=True)
    if _needs_space(tokenizer):  # RoBERTa's class listens to that; a tokenizer that is read from its file does not
        inner = tokenizer.backend_tokenizer
        inner.pre_tokenizer = type(inner).from_str(inner.to_str().replace(*PREFIX_SPACE)).pre_tokenizer
    return tokenizer


def _needs_space(tokenizer: Any) -> bool:
    inner = getattr(tokenizer, "backend_tokenizer", None)
    return (
        inner is not None and f'"type":"ByteLevel",{PREFIX_SPACE[0]}' in inner.to_str().partition('"post_processor"')[0]
    )


def _load_model(
    recipe: Recipe, source: str, names: tuple[str, ...], task: TaskName, cached_only: bool
) -> tuple[Any, list[str]]:
    labels: dict[str, Any] = {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }
    if task in PROBLEM_TYPES:
        labels["problem_type"] = PROBLEM_TYPES[task]
    if recipe.head.pooling != "model":
        encoder, fresh = load_encoder(source, dtype=torch.float32, local_files_only=cached_only)
        model = pooled(encoder, recipe.head, **labels)
        head = [name for name, _ in model.named_parameters() if in_head(model, name)]
        return model, [*(f"backbone.{name}" for name in fresh), *head]
    auto: Any = AutoModelForTokenClassification if task == "tokens" else AutoModelForSequenceClassification
    model, report = auto.from_pretrained(
        source,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        local_files_only=cached_only,
        output_loading_info=True,
        **labels,
    )
    return model, sorted({*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])})


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


def _try_out(recipe: Recipe, model: Any, tokenizer: Any, task: TaskName) -> None:
    """Run one perturbed pass, so that a model that cannot be attacked is refused now and not after the first batch."""
    objective = replace(recipe.objective, class_weights=None)
    adversary: Any = recipe.adversary and replace(recipe.adversary, start_step=0)
    training = recipe.training
    parts: dict[str, Any] = {"inputs": recipe.inputs, "task": task, "special_ids": tokenizer.all_special_ids}
    parts |= {"memory": training.memory, "compiled": training.compile}
    if getattr(adversary, "bregman", 0) > 0:
        parts["average"] = make_average(Ema(), model)
    with torch.random.fork_rng(), Engine(model, objective, adversary, **parts) as engine:
        engine.backward(trial_batch(tokenizer, int(model.config.num_labels), task))
    model.zero_grad()


def trial_batch(tokenizer: Any, outputs: int, task: TaskName) -> dict[str, Any]:
    """Return two short texts as token ids, with labels that fit the task."""
    texts = [list(words) for words in TRIAL] if task == "tokens" else [" ".join(words) for words in TRIAL]
    encoded = tokenizer(texts, is_split_into_words=task == "tokens", padding=True, return_tensors="pt")
    batch = {name: encoded[name] for name in tokenizer.model_input_names if name in encoded}
    if task == "tokens":
        words = [encoded.word_ids(row) for row in range(len(TRIAL))]
        labels = torch.tensor([[-100 if word is None else 0 for word in row] for row in words])
    elif task == "multi-label":
        labels = torch.eye(2, outputs)
    else:
        labels = torch.arange(2.0) if task == "regression" else torch.tensor([0, 1])
    return batch | {"labels": labels}
