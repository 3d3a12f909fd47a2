"""Attack: how a classifier stands up to noise, to adversaries, and what of it is certain.

Everything here is imported when it is first used.
Imports from `assess` and below; `deploy`, `report`, `serve` and `training` may import it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toughen.attack.certificates import Certified, certify
    from toughen.attack.curve import NoiseCurve, noise_curve
    from toughen.attack.diff import as_html, side_by_side
    from toughen.attack.results import AttackResult
    from toughen.attack.run_attack import ATTACKS, attack
    from toughen.attack.standardised import StandardResult, standard
    from toughen.attack.subject import TextClassifier

__all__ = [
    "ATTACKS",
    "AttackResult",
    "Certified",
    "NoiseCurve",
    "StandardResult",
    "TextClassifier",
    "as_html",
    "attack",
    "certify",
    "noise_curve",
    "side_by_side",
    "standard",
]

_HOMES = {
    "certificates": ("Certified", "certify"),
    "curve": ("NoiseCurve", "noise_curve"),
    "diff": ("as_html", "side_by_side"),
    "results": ("AttackResult",),
    "run_attack": ("ATTACKS", "attack"),
    "standardised": ("StandardResult", "standard"),
    "subject": ("TextClassifier",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"toughen.attack.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
