"""The numbers of a training in progress: out of a `ToughTrainer` into a checkpoint, and back into another one."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

from toughen.machine.launch import mean_over_processes

if TYPE_CHECKING:
    from toughen.huggingface.engine_trainer import EngineTrainer


def state_of(trainer: EngineTrainer) -> dict[str, Any]:
    """Return what a checkpoint must know beside weights, optimiser and generators; every process must ask."""
    engine = trainer.the_engine()
    log = engine.log_state()
    # Every process goes on with the mean, so that the next log line is the one of an uninterrupted run.
    log["terms"] = mean_over_processes(trainer.accelerator, log["terms"])
    loss = mean_over_processes(trainer.accelerator, {"": float(trainer._tr_loss)})[""]
    return {
        "average": trainer.recipe.average.name if trainer.recipe and trainer.recipe.average else None,
        "processes": trainer.accelerator.num_processes,
        "rows_per_step": _rows_per_step(trainer),
        "updates": engine.updates,
        "seconds": trainer.clock.seconds,
        "rows": trainer.clock.rows,
        "cost": engine.cost.state(),
        "ascents": engine.ascents,
        "left_out": engine.left_out.state(),
        "unperturbed": mean_over_processes(trainer.accelerator, {"": engine.unperturbed.here()})[""],
        "micro_batch": trainer.micro_batches.rows,
        # A run that merely reached its last step can be prolonged; one that was stopped early is over.
        "stopped": trainer.control.should_training_stop and trainer.state.global_step < trainer.state.max_steps,
        "unit": engine.site.unit if engine.site else None,
        "radius": engine.radius.state() if engine.radius else None,
        "log": log,
        "loss_since_log": loss,
        "logged_loss": trainer._total_loss_scalar,
        "last_logged_step": trainer._globalstep_last_logged,
    }


def take_over(trainer: EngineTrainer, state: dict[str, Any]) -> None:
    """Continue with the numbers of a checkpoint; the losses among them wait for :func:`restore_losses`."""
    engine = trainer.the_engine()
    _tell_of_other_steps(trainer, state)
    engine.updates = state["updates"]
    engine.load_log_state(state["log"], trainer.args.device)
    engine.cost.restore(state["cost"])
    engine.ascents = state["ascents"]
    if "left_out" in state:  # an older version counted none
        engine.left_out.restore(state["left_out"])
    engine.unperturbed.restore(state.get("unperturbed", 0.0))
    trainer.micro_batches.rows = state.get("micro_batch")
    if engine.site is not None and state["unit"] is not None:  # None: it was made without an adversary
        engine.site.unit = state["unit"]
    if engine.radius is not None and state.get("radius"):
        engine.radius.restore(state["radius"])
    trainer.stopped = state["stopped"]
    trainer.clock.before = (state["seconds"], state["rows"])
    trainer.restored = state


def _rows_per_step(trainer: EngineTrainer) -> int:
    """Return the labelled rows of an optimiser step over all processes."""
    per_process = trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps
    return int(per_process * trainer.accelerator.num_processes)


def _tell_of_other_steps(trainer: EngineTrainer, state: dict[str, Any]) -> None:
    """Warn where a step has another number of rows than those that a checkpoint has counted."""
    before, now = state.get("rows_per_step"), _rows_per_step(trainer)
    if before in (None, now):
        return
    processes = f"{state['processes']} and {trainer.accelerator.num_processes} processes"
    warnings.warn(
        f"the checkpoint counts steps of {before} rows and this training makes steps of {now} ({processes}): its "
        "schedule and its place in the epoch are kept in steps, so some rows come twice in this epoch or not at all. "
        f"Let batch size x accumulation x processes be {before} to keep both.",
        stacklevel=2,
    )


def close_counts(trainer: EngineTrainer) -> None:
    """Add up over processes what each has counted alone, where training ends; every process must ask."""
    engine = trainer.the_engine()
    mean = partial(mean_over_processes, trainer.accelerator)
    engine.unperturbed.close(getattr(engine.adversary, "name", ""), mean, trainer.accelerator.num_processes)


def restore_losses(trainer: EngineTrainer) -> None:
    """Put the unlogged loss of a checkpoint back: the Trainer has just zeroed it."""
    state, trainer.restored = trainer.restored, None
    if state is not None:
        trainer._tr_loss += state["loss_since_log"]
        trainer._total_loss_scalar = state["logged_loss"]
        trainer._globalstep_last_logged = state["last_logged_step"]
