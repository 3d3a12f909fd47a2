"""Every verb, in the order of the pipeline. Each imports what it needs when it runs, so that help costs nothing."""

from __future__ import annotations

from toughen.cli import train as _train  # isort: skip
from toughen.cli import assess as _assess  # isort: skip
from toughen.cli import deploy as _deploy  # isort: skip
from toughen.cli.app import app

__all__ = ["app"]

_VERBS = (_train, _assess, _deploy)
"""Importing a module registers its verbs; the help lists them in this order."""
