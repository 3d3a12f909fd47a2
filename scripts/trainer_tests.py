"""Run transformers' own tests of its Trainer with ToughTrainer in its place, and list what passes with one alone.

    python scripts/trainer_tests.py TRANSFORMERS/tests/trainer -k "not distributed"

What follows the folder goes to pytest. The regression models of these tests get their task named and token ids that
they do not read; docs/composition.md says which tests differ, and why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

OURS, TOLD = "TOUGHEN_IN_PLACE_OF_TRAINER", "TOUGHEN_TEST_OUTCOMES"
_outcomes: dict[str, str] = {}


def main(folder: str, *options: str) -> int:
    """Run the tests with each trainer; return 0 if they pass with both or with neither."""
    theirs, ours = (outcomes(folder, options, in_place=in_place) for in_place in ("", "1"))
    for name, found in (("Trainer", theirs), ("ToughTrainer", ours)):
        print(f"{name}: {sum(one == 'passed' for one in found.values())} of {len(found)} pass")
    other = sorted(name for name in theirs if theirs[name] != ours.get(name))
    for name in other:
        print(f"{name}: {theirs[name]} with Trainer, {ours.get(name, 'not run')} with ToughTrainer")
    return int(bool(other))


def outcomes(folder: str, options: tuple[str, ...], *, in_place: str) -> dict[str, str]:
    """Run the tests in a process of their own; return the outcome of each that was not skipped."""
    with tempfile.TemporaryDirectory() as place:
        told = Path(place) / "outcomes.json"
        path = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "pytest", "-q", "-p", Path(__file__).stem, str(Path(folder).resolve())]
        settings = {"PYTHONPATH": path, OURS: in_place, TOLD: str(told)}
        done = subprocess.run([*command, *options], env=os.environ | settings, stdout=subprocess.DEVNULL, check=False)
        if not told.exists():
            sys.exit(f"pytest ended with {done.returncode} before any test")
        found: dict[str, str] = json.loads(told.read_text())
        return found


# ---- as a plugin of that pytest


def pytest_configure(config: Any) -> None:
    """Put ToughTrainer in Trainer's place."""
    if not os.environ.get(OURS):
        return
    import torch
    import transformers
    import transformers.trainer

    from toughen.huggingface.trainer import ToughTrainer

    class InPlace(ToughTrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            collate: Any = self.data_collator

            def with_ids(rows: Any) -> Any:
                batch = collate(rows)
                return batch if "input_ids" in batch else {**batch, "input_ids": torch.zeros(len(rows), 1).long()}

            self.data_collator = with_ids

        def _task_of(self, model: Any) -> Any:
            return "regression" if type(model).__name__.startswith("Regression") else super()._task_of(model)

    transformers.Trainer = transformers.trainer.Trainer = InPlace


def pytest_runtest_logreport(report: Any) -> None:
    """Note how a test ended: its own words, or those of what was made for it."""
    if report.outcome == "failed" or (report.when == "call" and report.outcome == "passed"):
        _outcomes[report.nodeid.partition("::")[2]] = report.outcome


def pytest_sessionfinish(session: Any) -> None:
    """Write the outcomes down."""
    if os.environ.get(TOLD):
        Path(os.environ[TOLD]).write_text(json.dumps(_outcomes))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
