"""What a Trainer with an engine has beside transformers' own: as the modules around `ToughTrainer` know it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import TrainOutput

from toughen.engine.counters import Clock
from toughen.engine.engine import Engine
from toughen.engine.objectives import CrossEntropy
from toughen.engine.weight_average import WeightAverage
from toughen.errors import InputError
from toughen.files.manifest import MANIFEST, seal
from toughen.huggingface.checkpoint_soup import Candidates
from toughen.huggingface.micro_batches import MicroBatches, Prediction, join_predictions
from toughen.machine.full_speed import full_speed
from toughen.machine.modes import Memory, Precision
from toughen.machine.rows_per_pass import RowsPerPass
from toughen.recipe.recipe import Recipe


class EngineTrainer(Trainer):
    """A Trainer whose training step is an engine's; `toughen.huggingface.trainer.ToughTrainer` is the one.

    Attributes:
        recipe: the techniques; None trains plainly.
        engine: made when it is first needed.
        average: of the weights, while it trains.
        soup: the checkpoints that may join one.
        clock: of the loop.
        micro_batches: how many rows go through the model at a time.
        scoring: how many do without gradients.
        stopped: whether the run was stopped early before it was saved.
        cpu_kernels: whether the process changes on a CPU while it trains (`toughen.machine.full_speed`).
        scores_in_float32: whether validation is computed as the saved model is scored, whatever training computes in.
        restored: the numbers of a checkpoint that wait for the Trainer to zero its own.
    """

    model: Any
    model_init: Any
    train_dataset: Any
    recipe: Recipe | None
    engine: Engine | None
    average: WeightAverage | None
    soup: Candidates | None
    clock: Clock
    micro_batches: MicroBatches
    scoring: RowsPerPass
    stopped: bool
    cpu_kernels: bool
    scores_in_float32: bool = False
    restored: dict[str, Any] | None

    def the_engine(self) -> Engine:
        """Return the engine, made when it is first needed (with ``model_init`` there is no model before training)."""
        if self.engine is None:
            self.engine = self._make_engine()
        return self.engine

    def _make_engine(self) -> Engine:
        raise NotImplementedError

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train as the Trainer does, at full speed where that was asked for."""
        precision: Precision = "bf16" if self.args.bf16 else "fp32"
        with full_speed(precision, self.memory, self.cpu_kernels):
            return super().train(*args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of an evaluation: the model's own, or of probabilities, which it cannot read, the task's."""
        labels = inputs.get("labels")
        soft = labels is not None and labels.dim() == 2 and labels.is_floating_point()
        if not soft or self.the_engine().likelihood.task != "single-label":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        output = model(**{name: value for name, value in inputs.items() if name != "labels"})
        loss = CrossEntropy().task(output.logits.float(), labels).mean()
        return (loss, output) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Prediction:
        """Score a batch as the Trainer does; half of its rows at a time where the memory runs out."""
        step: Any = super().prediction_step
        predict: Callable[[Any], Prediction] = partial(
            step, model, prediction_loss_only=prediction_loss_only, ignore_keys=ignore_keys
        )
        parts = self.scoring.run(lambda part: (predict(part), part), inputs)
        return parts[0][0] if len(parts) == 1 else join_predictions(parts, self.the_engine().likelihood)

    @property
    def memory(self) -> Memory:
        """How the passes of a step share the memory."""
        return self.recipe.training.memory if self.recipe else "normal"

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

    def _check_fired(self) -> None:
        engine = self.engine
        if engine is None or engine.adversary is None or engine.cost.steps == 0 or engine.ascents:
            return
        if engine.updates > engine.adversary.start_step:
            raise RuntimeError("the adversary was configured but never perturbed a batch")
        raise InputError(
            f"adversary.start_step={engine.adversary.start_step} is not before the end of training "
            f"({engine.updates} steps), so the adversary never acted; lower it or train longer."
        )
