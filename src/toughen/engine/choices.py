"""The words that the settings of an adversary may take."""

from __future__ import annotations

from typing import Literal

Norm = Literal["l2", "linf"]
Unit = Literal["relative", "absolute"]
SiteUnit = Literal["site", "per-token", "relative", "absolute"]
Scope = Literal["example", "vocabulary"]
Loss = Literal["objective", "task"]
Direction = Literal["l2", "sign", "max"]
Radius = float | Literal["auto"]

AUTO_RADIUS: dict[Norm, float] = {"l2": 0.2, "linf": 0.002}
"""What ``radius: auto`` stands for before it is scaled; other lengths keep their proportion to it."""
