"""Low-rank adapters: put on a model, saved without the pretrained weights, and read back onto them.

A folder of adapters holds peft's own files, and a config.json of model type ``toughen-adapter`` that knows the whole
model: labels, task, and how the pretrained weights have to be loaded. Importing this module tells transformers' Auto
classes about it; peft alone can read the folder as well.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from toughen.errors import InputError
from toughen.model.head import PooledConfig, PooledForSequenceClassification, load_encoder
from toughen.model.lora_config import ALL_LINEAR, Lora

__all__ = ["AdapterConfig", "Lora", "apply_lora", "is_adapted", "merged"]

ADAPTER = "default"
TASK_TYPES = {"ForSequenceClassification": "SEQ_CLS", "ForTokenClassification": "TOKEN_CLS"}
AUTO = {"SEQ_CLS": AutoModelForSequenceClassification, "TOKEN_CLS": AutoModelForTokenClassification}


def apply_lora(model: Any, config: Lora, seed: int, fresh: Iterable[str] = ()) -> Any:
    """Freeze a classifier and put low-rank adapters on its encoder; the head goes on learning whole.

    Args:
        model: a transformers classifier with a pretrained encoder; it is changed.
        config: rank, scale and place of the adapters.
        seed: of the adapters' first weights.
        fresh: names of the parameters that were not in the pretrained checkpoint. Those of the encoder learn whole too:
            whoever reloads the adapters could not draw them again.

    Returns:
        peft's model around it, which saves adapters, head and config, and no pretrained weight.

    Raises:
        InputError: if peft is missing, or a target names no linear layer of the encoder.
    """
    peft = _peft()
    prefix = model.base_model_prefix
    new = {name.rpartition(".")[0] for name in fresh if name.startswith(f"{prefix}.")}
    head = [name for name, child in model.named_children() if name != prefix and any(True for _ in child.parameters())]
    task = _task_type(model)
    settings = peft.LoraConfig(
        task_type=task,
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=_targets(model, config, new),
        modules_to_save=[*head, *sorted(new)],
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.base_model.modules()),
        base_model_name_or_path=_source(model),
    )
    return _adapt(model, settings, task, seed)


def is_adapted(model: Any) -> bool:
    """Say whether adapters are on the model."""
    return hasattr(model, "peft_config")


def merged(model: Any) -> Any:
    """Return the classifier with its adapters added into its weights: a plain transformers model, for deployment."""
    return model.merge_and_unload() if is_adapted(model) else model


def _peft() -> Any:
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise InputError("adapter lora needs the package peft; install it with pip install 'toughen[peft]'.") from error


def _task_type(model: Any) -> str:
    return next(task for ending, task in TASK_TYPES.items() if type(model).__name__.endswith(ending))


def _source(model: Any) -> str:
    """Return where the pretrained weights are: a hub id, or a folder that stays right in another working directory."""
    name = str(model.config._name_or_path)
    return str(Path(name).resolve()) if Path(name).exists() else name


def _targets(model: Any, config: Lora, new: set[str]) -> list[str]:
    linear = [
        f"{model.base_model_prefix}.{name}"
        for name, module in model.base_model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))
    ]
    linear = [name for name in linear if name not in new]
    if config.targets.strip() == ALL_LINEAR:
        return linear
    known = sorted({name.rpartition(".")[2] for name in linear})
    for name in config.names:
        if not any(f".{full}".endswith(f".{name}") for full in linear):
            raise InputError(
                f"adapter.targets: {name!r} is no linear layer of the encoder of {type(model).__name__}; use "
                f"all-linear, or some of {', '.join(known)}."
            )
    return [full for full in linear if any(f".{full}".endswith(f".{name}") for name in config.names)]


def _adapt(model: Any, settings: Any, task: str, seed: int) -> Any:
    with torch.random.fork_rng(), warnings.catch_warnings():
        # peft knows only the old name of this property of transformers.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        torch.manual_seed(seed)
        return _class(task)(model, settings, ADAPTER)


@cache
def _class(task: str) -> Any:
    """Return peft's class for the task, with our way of saving."""
    base = getattr(
        _peft(), {"SEQ_CLS": "PeftModelForSequenceClassification"}.get(task, "PeftModelForTokenClassification")
    )
    return type(f"Adapted{base.__name__.removeprefix('PeftModel')}", (_Saves, base), {})


class _Saves:
    """What our adapted models do otherwise than peft's: the config goes with the adapters."""

    def save_pretrained(self, save_directory: str | Path, is_main_process: bool = True, **kwargs: Any) -> None:
        """Write adapters, head and config."""
        peft_model: Any = super()
        # Else peft asks the hub whether the vocabulary was resized, which it never is here.
        kwargs["save_embedding_layers"] = False
        peft_model.save_pretrained(str(save_directory), is_main_process=is_main_process, **kwargs)
        if is_main_process:
            this: Any = self
            _write_config(this.get_base_model(), Path(save_directory))

    def create_or_update_model_card(self, output_dir: str) -> None:
        """Write none: peft's is a form with nothing filled in."""


def _write_config(model: Any, folder: Path) -> None:
    base = json.loads(model.config.to_json_string(use_diff=True))
    shared = ("id2label", "label2id", "problem_type", "toughen", "transformers_version")
    content = {name: base[name] for name in shared if name in base}
    content |= {"model_type": AdapterConfig.model_type, "architectures": [type(model).__name__], "base": base}
    (folder / "config.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


class AdapterConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Config of a folder of adapters.

    Attributes:
        base: the whole config of the model that they are put on, as a mapping.
    """

    model_type = "toughen-adapter"

    def __init__(self, base: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.base = base
        super().__init__(**kwargs)


class _Reader(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Stands in the Auto classes for a folder of adapters; what it loads is peft's model."""

    config_class = AdapterConfig

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, folder: Any, *_: Any, config: Any = None, dtype: Any = None, local_files_only: bool = False, **kwargs: Any
    ) -> Any:
        """Load the pretrained weights, in ``dtype``, and the adapters onto them; nothing of it learns.

        Raises:
            InputError: if peft is missing, or the pretrained weights are not where they were.
        """
        settings = _peft().LoraConfig.from_pretrained(str(folder))
        settings.inference_mode = True
        dtype = dtype if isinstance(dtype, torch.dtype) else torch.float32
        # The entry outside is the one that tools write thresholds to.
        whole = AutoConfig.for_model(**{**config.base, "toughen": getattr(config, "toughen", None)})
        try:
            model = _base(settings, whole, dtype=dtype, local_files_only=bool(local_files_only))
        except OSError as error:
            raise InputError(
                f"{folder} holds adapters of the model {settings.base_model_name_or_path!r}, which cannot be loaded: "
                "put it back there, or name its place as base_model_name_or_path in adapter_config.json."
            ) from error
        made = _adapt(model, settings, settings.task_type, seed=0)
        made.load_adapter(str(folder), ADAPTER)
        return made.eval()


def _base(settings: Any, config: Any, *, dtype: torch.dtype, local_files_only: bool) -> Any:
    """Load the model that the adapters were put on; its head and whatever else was new come with the adapters."""
    source = settings.base_model_name_or_path
    if not isinstance(config, PooledConfig):
        auto: Any = AUTO[settings.task_type]
        loading: dict[str, Any] = {"config": config, "dtype": dtype, "ignore_mismatched_sizes": True}
        return auto.from_pretrained(source, local_files_only=local_files_only, **loading)
    model: Any = PooledForSequenceClassification(config)
    model.backbone, _ = load_encoder(source, dtype=dtype, local_files_only=local_files_only)
    model.name_or_path = config._name_or_path = source
    return model.to(dtype)


AutoConfig.register(AdapterConfig.model_type, AdapterConfig, exist_ok=True)
for _auto in AUTO.values():
    _auto.register(AdapterConfig, _Reader, exist_ok=True)
