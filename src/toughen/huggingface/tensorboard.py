"""What a run writes for TensorBoard: every loss term apart, norms, rates, validation metrics with their time."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from toughen.errors import InputError

TAGS = {"loss": "loss/total", "grad_norm": "gradient_norm"}
IGNORED = {"epoch", "step", "total_flos", "train_loss"}


def require_tensorboard() -> None:
    """Refuse early, before a run is started that could not be logged.

    Raises:
        InputError: if the package is not installed.
    """
    if find_spec("tensorboard") is None:
        raise InputError("TensorBoard is not installed; install it with: pip install 'toughen[tensorboard]'.")


class TensorBoardLog(TrainerCallback):
    """Writes scalars under the run's own names (``loss/task``, ``validation/f1``, ...), main process only."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        writer: Any = SummaryWriter
        self._make_writer: Any = lambda: writer(str(folder))
        self._writer: Any = None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one log line's numbers."""
        if not state.is_world_process_zero:
            return
        self._writer = self._writer or self._make_writer()
        for name, value in (logs or {}).items():
            if name in IGNORED or isinstance(value, str) or value is None:
                continue
            tag = f"validation/{name[5:]}" if name.startswith("eval_") else TAGS.get(name, name)
            self._writer.add_scalar(tag, float(value), state.global_step)
        self._writer.flush()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
