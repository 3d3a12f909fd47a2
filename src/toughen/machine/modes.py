"""The words for how a machine is used, which a recipe may choose between."""

from __future__ import annotations

from typing import Literal

Precision = Literal["auto", "bf16", "fp16", "fp32"]
Memory = Literal["normal", "low"]
