"""What a person sees while a run trains: a bar with rate and remaining time, or plain lines without a screen."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState

EARLY, LONG = 5, 60.0
"""After so many steps a run that takes so many seconds more says so; the others wait for their first log line."""
SHOWN = ("f1", "f1_micro", "pearson", "spearman", "accuracy", "roc_auc", "loss")


class ProgressLog(TrainerCallback):
    """Draws on stderr, so that stdout stays free for results."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: Any = None
        self._start = (0.0, 0)

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Draw the bar."""
        self._start = (time.perf_counter(), state.global_step)
        if not state.is_world_process_zero or not self._console.is_terminal:
            return
        remaining = TimeRemainingColumn()
        rate = TextColumn("{task.fields[rate]}")
        self._bar = Progress(
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn(), remaining,
            console=self._console,
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=state.max_steps, completed=state.global_step, rate="")
        self._bar.start()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar; without one, say after the first few steps how long the run will take."""
        if self._bar is not None:
            self._bar.update(self._task, completed=state.global_step, rate=f"{self._rate(state):.2f} steps/s")
        elif self._is_early(args, state) and self._seconds_left(state) >= LONG:
            line = f"step {state.global_step}/{state.max_steps}  {self._rate(state):.2f} steps/s"
            self._console.print(
                f"{line}  about {self._seconds_left(state):.0f} s left", highlight=False, soft_wrap=True
            )

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line per log line."""
        if not state.is_world_process_zero or not logs:
            return
        where = f"step {state.global_step}/{state.max_steps}"
        if "loss" in logs:
            names = [name for name in logs if name == "loss" or name.startswith(("loss/", "adversary/"))]
            terms = "  ".join(f"{name.removeprefix('loss/')} {logs[name]:.4f}" for name in names)
            line = f"{where}  {terms}  {self._rate(state):.2f} steps/s  {self._seconds_left(state):.0f} s left"
            self._console.print(line, highlight=False, soft_wrap=True)
        elif "eval_loss" in logs:
            scores = "  ".join(f"{n} {logs[f'eval_{n}']:.4f}" for n in SHOWN if logs.get(f"eval_{n}") is not None)
            self._console.print(f"{where}  validation: {scores}", highlight=False, soft_wrap=True)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _is_early(self, args: Any, state: TrainerState) -> bool:
        return state.is_world_process_zero and state.global_step - self._start[1] == EARLY < args.logging_steps

    def _rate(self, state: TrainerState) -> float:
        began, at = self._start
        return (state.global_step - at) / max(time.perf_counter() - began, 1e-9)

    def _seconds_left(self, state: TrainerState) -> float:
        return (state.max_steps - state.global_step) / max(self._rate(state), 1e-9)
