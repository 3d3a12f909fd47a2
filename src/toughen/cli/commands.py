"""Every verb, in the order of the pipeline. Each imports what it needs when it runs, so that help costs nothing."""

from __future__ import annotations

from toughen.cli import check as _check  # isort: skip
from toughen.cli import train as _train  # isort: skip
from toughen.cli import cost as _cost  # isort: skip
from toughen.cli import assess as _assess  # isort: skip
from toughen.cli import audit as _audit  # isort: skip
from toughen.cli import attack as _attack  # isort: skip
from toughen.cli import compare as _compare  # isort: skip
from toughen.cli import report as _report  # isort: skip
from toughen.cli import combine as _combine  # isort: skip
from toughen.cli import deploy as _deploy  # isort: skip
from toughen.cli import cpp as _cpp  # isort: skip
from toughen.cli import serve as _serve  # isort: skip
from toughen.cli.root import app

__all__ = ["app"]

_VERBS = (_check, _train, _cost, _assess, _audit, _attack, _compare, _report, _combine, _deploy, _cpp, _serve)
"""Importing a module registers its verbs; the help lists them in this order."""
