"""What a Trainer with an engine has beside transformers' own: as the modules around `ToughTrainer` know it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer import TRAINING_ARGS_NAME

from toughen.engine.counters import Clock
from toughen.engine.engine import Engine
from toughen.engine.weight_average import WeightAverage
from toughen.huggingface.checkpoint_soup import Candidates
from toughen.manifest import MANIFEST, seal


class EngineTrainer(Trainer):
    """A Trainer whose training step is an engine's; `toughen.huggingface.trainer.ToughTrainer` is the one.

    Attributes:
        engine: made when it is first needed.
        average: of the weights, while it trains.
        soup: the checkpoints that may join one.
        clock: of the loop.
        stopped: whether the run was stopped early before it was saved.
        restored: the numbers of a checkpoint that wait for the Trainer to zero its own.
    """

    model: Any
    model_init: Any
    train_dataset: Any
    engine: Engine | None
    average: WeightAverage | None
    soup: Candidates | None
    clock: Clock
    stopped: bool
    restored: dict[str, Any] | None

    def the_engine(self) -> Engine:
        """Return the engine, made when it is first needed (with ``model_init`` there is no model before training)."""
        if self.engine is None:
            self.engine = self._make_engine()
        return self.engine

    def _make_engine(self) -> Engine:
        raise NotImplementedError

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        folder = Path(self._get_output_dir(trial=None)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:  # one that an interrupted attempt left is written again
            (folder / MANIFEST).unlink(missing_ok=True)
        super()._save_checkpoint(*args, **kwargs)
        self.accelerator.wait_for_everyone()  # each process has written its generators
        if self.args.should_save:
            seal(folder)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:  # a pickle of settings that nothing reads
            (Path(output_dir or str(self.args.output_dir)) / TRAINING_ARGS_NAME).unlink(missing_ok=True)
