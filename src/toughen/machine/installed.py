"""What an installation may leave out, and what to say to those who ask for it."""

from __future__ import annotations

TRAINING = frozenset(
    {
        "torch",
        "transformers",
        "accelerate",
        "datasets",
        "safetensors",
        "sklearn",
        "scipy",
        "pandas",
        "huggingface_hub",
        "httpx",
    }
)
"""Libraries of the extra ``train``, and what they bring. Whatever needs one imports it when it runs."""


def missing_part(error: ModuleNotFoundError, what: str) -> str | None:
    """Return what to say if a library of the extra ``train`` is not there; None if it is some other module.

    Args:
        error: of the import that failed.
        what: that needs the library.
    """
    library = (error.name or "").partition(".")[0]
    if library not in TRAINING:
        return None
    return (
        f"{what} needs {library}, which this installation leaves out (it answers with exported models and no more); "
        "add it: pip install 'toughen[train]'."
    )
