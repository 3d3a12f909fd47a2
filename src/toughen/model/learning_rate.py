"""The peak learning rate of a run that names none: a rule by the encoder's width."""

from __future__ import annotations

from typing import Any

RATE, WIDTH = 2.5e-5, 768
"""The rate at a width: between the 2e-5 and 3e-5 that BERT's authors chose for its base size."""
POWER = 2.0
LOWEST, HIGHEST = 1e-5, 3e-4
ADAPTED = 10.0
"""How much faster low-rank adapters learn than all weights."""


def learning_rate(config: Any, *, adapter: bool) -> float:
    """Return the peak rate: 2.5e-5 * (768 / width)^2, at least 1e-5 and at most 3e-4; ten times that for adapters.

    A width of 768 gives 2.5e-5, 1024 1.4e-5, 384 1e-4, 256 2.3e-4. Two significant digits.

    Source: Devlin et al., "BERT" (1810.04805), A.3, for 768 (5e-5, 3e-5, 2e-5) and its larger size; Turc et al.,
    "Well-Read Students Learn Better" (1908.08962) search from 5e-5 up to 3e-4 for smaller ones. The power is fitted to
    a width of 384. Adapters: Hu et al., "LoRA" (2106.09685), table 9, 4e-4 to 5e-4 for a width of 768.

    Args:
        config: the pretrained model's; one without a width counts as 768.
        adapter: whether low-rank adapters learn in place of the weights.
    """
    width = int(getattr(config, "hidden_size", None) or getattr(config, "d_model", None) or WIDTH)
    rate = min(max(RATE * (WIDTH / width) ** POWER, LOWEST), HIGHEST)
    return float(f"{rate * (ADAPTED if adapter else 1.0):.1e}")
