"""What both ends of a service need: where its token is, and whether an address stays on this machine."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from toughen.errors import InputError


def is_loopback(host: str) -> bool:
    """Tell whether who listens at a host is heard on this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(where: str) -> str:
    """Return the token that an environment variable or a file holds.

    Raises:
        InputError: if there is neither, or it is empty, or has what a header cannot.
    """
    path = Path(where)
    if where in os.environ:
        found = os.environ[where].strip()
    elif path.is_file():
        found = path.read_text(encoding="utf-8", errors="replace").strip()
    else:
        raise InputError(
            f"--token {where} is neither an environment variable nor a file; put the token into one of them, not into "
            "the command, which others can see."
        )
    if not found or not found.isascii() or not found.isprintable() or " " in found:
        raise InputError(f"the token in {where} is empty or has other characters than visible ASCII; choose another.")
    return found
