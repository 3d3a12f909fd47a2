"""Serve a trained model over HTTP, with one page for people: `toughen serve`, or `make_app` in a server of one's own.

Everything here is imported when it is first used; it needs the extra ``serve``.
Imports from `deploy`, `attack` and below; the command may import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toughen.serve.app import make_app
    from toughen.serve.limits import Limits
    from toughen.serve.model import Served, open_model

__all__ = ["Limits", "Served", "make_app", "open_model"]

_HOMES = {"make_app": "app", "Limits": "limits", "Served": "model", "open_model": "model"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"toughen.serve.{_HOMES[name]}"), name)
