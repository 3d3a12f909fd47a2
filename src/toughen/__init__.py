"""Toughen: fine-tune transformer text classifiers that generalise, hold up under attack, and ship.

Names are imported when first used, so ``import toughen`` costs next to nothing; ``__init__.pyi`` says where each lives.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from toughen.machine.installed import missing_part

__version__ = "0.1.0"

_first_use, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*_names, "__version__"])


def __getattr__(name: str) -> Any:
    try:
        return _first_use(name)
    except ModuleNotFoundError as error:
        sentence = missing_part(error, f"toughen.{name}")
        raise (error if sentence is None else ModuleNotFoundError(sentence, name=error.name)) from None


def __dir__() -> list[str]:
    return list(__all__)
