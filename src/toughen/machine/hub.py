"""Asking the hub once, instead of waiting for half a minute of a library's retries."""

from __future__ import annotations

from typing import Literal

PATIENCE_S = 5.0


def hub_answers(kind: Literal["model", "dataset"], repository: str) -> bool:
    """Say whether the hub (``HF_ENDPOINT``; never with ``HF_HUB_OFFLINE``) can be asked about a repository at all."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    ask = HfApi().model_info if kind == "model" else HfApi().dataset_info
    try:
        ask(repository, timeout=PATIENCE_S)
    except (HfHubHTTPError, HFValidationError):
        return True  # an answer, if not the one hoped for: loading says which
    except Exception:  # every HTTP library has its own name for "nobody there"
        return False
    return True
