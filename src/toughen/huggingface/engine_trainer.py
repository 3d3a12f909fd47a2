"""What a Trainer with an engine has beside transformers' own: as the modules around `ToughTrainer` know it."""

from __future__ import annotations

from typing import Any

from transformers import Trainer

from toughen.engine.counters import Clock
from toughen.engine.engine import Engine
from toughen.engine.weight_average import WeightAverage
from toughen.huggingface.checkpoint_soup import Candidates


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
