"""Toughen: fine-tune transformer text classifiers that generalise, hold up under attack, and ship.

Names are imported when first used, so ``import toughen`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from toughen.machine.installed import missing_part

__version__ = "0.1.0"

_HOMES = {
    "Asam": "toughen.engine.adversaries",
    "Awp": "toughen.engine.adversaries",
    "CheckpointSoup": "toughen.engine.averages",
    "CrossEntropy": "toughen.engine.objectives",
    "Data": "toughen.data.config",
    "Ema": "toughen.engine.averages",
    "Engine": "toughen.engine.engine",
    "Fgm": "toughen.engine.adversaries",
    "Fgsm": "toughen.engine.adversaries",
    "FreeLb": "toughen.engine.adversaries",
    "GradientPenalty": "toughen.engine.adversaries",
    "Head": "toughen.model.head_config",
    "InputError": "toughen.errors",
    "Lora": "toughen.model.lora_config",
    "Mixup": "toughen.engine.inputs",
    "Neftune": "toughen.engine.inputs",
    "Pgd": "toughen.engine.adversaries",
    "RDrop": "toughen.engine.objectives",
    "Rat": "toughen.engine.adversaries",
    "Recipe": "toughen.recipe.recipe",
    "Run": "toughen.run",
    "Sam": "toughen.engine.adversaries",
    "Smart": "toughen.engine.adversaries",
    "Swa": "toughen.engine.averages",
    "ToughTrainer": "toughen.huggingface.trainer",
    "Training": "toughen.recipe.training",
    "Vat": "toughen.engine.adversaries",
    "WeightAverage": "toughen.engine.weight_average",
    "combine": "toughen.combining.combine",
    "load": "toughen.deploy.predictor",
    "load_recipe": "toughen.recipe.recipe",
    "make_average": "toughen.engine.weight_average",
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
        sentence = missing_part(error, f"toughen.{name}")
        raise (error if sentence is None else ModuleNotFoundError(sentence, name=error.name)) from None


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from toughen.combining.combine import combine
    from toughen.data.config import Data
    from toughen.deploy.predictor import load
    from toughen.engine.adversaries import (
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
    from toughen.engine.averages import CheckpointSoup, Ema, Swa
    from toughen.engine.engine import Engine
    from toughen.engine.inputs import Mixup, Neftune
    from toughen.engine.objectives import CrossEntropy, RDrop
    from toughen.engine.weight_average import WeightAverage, make_average
    from toughen.errors import InputError
    from toughen.huggingface.trainer import ToughTrainer
    from toughen.model.head_config import Head
    from toughen.model.lora_config import Lora
    from toughen.recipe.recipe import Recipe, load_recipe
    from toughen.recipe.training import Training
    from toughen.run import Run, train
