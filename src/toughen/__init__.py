"""Toughen: fine-tune transformer text classifiers that generalise, hold up under attack, and ship.

Names are imported when first used, so ``import toughen`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Asam": "toughen.training.adversaries",
    "Awp": "toughen.training.adversaries",
    "CheckpointSoup": "toughen.training.averages",
    "CrossEntropy": "toughen.training.objectives",
    "Data": "toughen.data.config",
    "Ema": "toughen.training.averages",
    "Engine": "toughen.training.engine",
    "Fgm": "toughen.training.adversaries",
    "Fgsm": "toughen.training.adversaries",
    "FreeLb": "toughen.training.adversaries",
    "GradientPenalty": "toughen.training.adversaries",
    "Head": "toughen.training.head_config",
    "InputError": "toughen.errors",
    "Lora": "toughen.training.lora_config",
    "Mixup": "toughen.training.inputs",
    "Neftune": "toughen.training.inputs",
    "Pgd": "toughen.training.adversaries",
    "RDrop": "toughen.training.objectives",
    "Rat": "toughen.training.adversaries",
    "Recipe": "toughen.recipe",
    "Run": "toughen.run",
    "Sam": "toughen.training.adversaries",
    "Smart": "toughen.training.adversaries",
    "Swa": "toughen.training.averages",
    "ToughTrainer": "toughen.training.trainer",
    "Training": "toughen.training.config",
    "Vat": "toughen.training.adversaries",
    "WeightAverage": "toughen.training.averaging",
    "combine": "toughen.combining.combine",
    "load": "toughen.deploy.predictor",
    "load_recipe": "toughen.recipe",
    "make_average": "toughen.training.averaging",
    "train": "toughen.run",
}

__all__ = [
    "Asam",
    "Awp",
    "CheckpointSoup",
    "CrossEntropy",
    "Data",
    "Ema",
    "Engine",
    "Fgm",
    "Fgsm",
    "FreeLb",
    "GradientPenalty",
    "Head",
    "InputError",
    "Lora",
    "Mixup",
    "Neftune",
    "Pgd",
    "RDrop",
    "Rat",
    "Recipe",
    "Run",
    "Sam",
    "Smart",
    "Swa",
    "ToughTrainer",
    "Training",
    "Vat",
    "WeightAverage",
    "__version__",
    "combine",
    "load",
    "load_recipe",
    "make_average",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'toughen' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from toughen.installed import missing_part

        sentence = missing_part(error, f"toughen.{name}")
        raise (error if sentence is None else ModuleNotFoundError(sentence, name=error.name)) from None


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from toughen.combining.combine import combine
    from toughen.data.config import Data
    from toughen.deploy.predictor import load
    from toughen.errors import InputError
    from toughen.recipe import Recipe, load_recipe
    from toughen.run import Run, train
    from toughen.training.adversaries import (
        Asam,
        Awp,
        Fgm,
        Fgsm,
        FreeLb,
        GradientPenalty,
        Pgd,
        Rat,
        Sam,
        Smart,
        Vat,
    )
    from toughen.training.averages import CheckpointSoup, Ema, Swa
    from toughen.training.averaging import WeightAverage, make_average
    from toughen.training.config import Training
    from toughen.training.engine import Engine
    from toughen.training.head_config import Head
    from toughen.training.inputs import Mixup, Neftune
    from toughen.training.lora_config import Lora
    from toughen.training.objectives import CrossEntropy, RDrop
    from toughen.training.trainer import ToughTrainer
