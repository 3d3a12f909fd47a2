"""`ToughTrainer`: transformers' Trainer with the engine as its training step. Only this module knows its internals."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import TrainingArguments
from transformers.trainer_utils import EvalLoopOutput, TrainOutput

from toughen.engine.averages import CheckpointSoup
from toughen.engine.counters import Clock
from toughen.engine.engine import Engine
from toughen.engine.objectives import CrossEntropy, resolve_class_weights, weights_per_class
from toughen.engine.rows import Window, count_rows, rows_per_class
from toughen.engine.weight_average import make_average
from toughen.errors import InputError
from toughen.files.manifest import verify
from toughen.huggingface import checkpoint, training_state
from toughen.huggingface.bridge import Bridge, TrainerRuntime
from toughen.huggingface.checkpoint_soup import Candidates, Cooked, cook
from toughen.huggingface.composition import TrainerSetup, check_trainer, smooth_labels
from toughen.huggingface.engine_trainer import EngineTrainer
from toughen.huggingface.loaders import check_fillers, on_device, own_loader, sharded_batches
from toughen.huggingface.micro_batches import MicroBatches
from toughen.huggingface.own_loss import compare_losses, task_of_rows
from toughen.huggingface.schedules import with_average_tail
from toughen.huggingface.validation import scored_in_float32
from toughen.machine.launch import mean_over_processes, one_device
from toughen.machine.rows_per_pass import RowsPerPass
from toughen.machine.runtime import let_lengths_vary
from toughen.machine.sharding import asks_for_shards, is_sharded
from toughen.model.groups import parameter_groups
from toughen.recipe.recipe import load_recipe
from toughen.tasks import TaskName

if TYPE_CHECKING:
    from toughen.data.batches import LengthBuckets
    from toughen.recipe.recipe import Recipe


class EpochHook(Protocol):
    """What may change the training rows between two epochs."""

    def before_epoch(self, epoch: int, model: nn.Module, *, begun: bool) -> None:
        """Act before an epoch.

        Args:
            epoch: from 0.
            model: as it is now.
            begun: whether steps of this epoch have been taken already, by a run that is resumed.
        """


class ToughTrainer(EngineTrainer):
    """Transformers' ``Trainer`` plus ``recipe=``: its objective, adversary, average and layer-wise rate decay.

    Everything else is as the ``TrainingArguments`` say. The weights that are scored are the weights that are saved and
    loaded as best: the average where there is one, while the optimiser goes on with the raw ones. After ``train()`` the
    model holds the scored weights.
    """

    # The engine reduces once; the Trainer must neither divide again nor pass counts into the model.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: nn.Module | None = None,
        args: TrainingArguments | None = None,
        *positional: Any,
        recipe: Recipe | str | None = None,
        batches: LengthBuckets | None = None,
        task: TaskName | None = None,
        model_loss: Literal["compare", "ignore"] = "compare",
        cpu_kernels: bool = False,
        **kwargs: Any,
    ) -> None:
        """Build the trainer.

        Args:
            model: a transformers model with one row of logits per text.
            args: TrainingArguments, obeyed as they are.
            positional: the Trainer's further positional arguments.
            recipe: a Recipe, the name of a shipped one or a file; None trains plainly.
            batches: a batch sampler of our own instead of the Trainer's; its indices go to ``train_dataset``.
            task: what a label is; None asks the model's config, then the labels.
            model_loss: compare = refuse a model whose own loss on the first batch is another than the task's, because
                the recipe's objective takes its place; ignore = train on the objective all the same.
            cpu_kernels: whether `train` changes this process on a CPU until it ends, as ``toughen.train`` does
                (``training.cpu_kernels``): quicker dropout and attention, freed memory kept.
            kwargs: the Trainer's other arguments.

        Raises:
            InputError: if the recipe does not fit the model or the arguments.
        """
        check_trainer(TrainerSetup(None, asks_for_shards(args) or is_sharded(model)))  # packages may be missing
        # A copy: what is set here for this trainer must not reach the next one made with the same arguments.
        args = copy(TrainingArguments() if args is None else args)
        one_device(args)
        self.recipe = None if recipe is None else load_recipe(recipe)
        self._batches, self._task, self.cpu_kernels = batches, task, cpu_kernels
        self.average = self.soup = self.engine = None
        self.cooked: Cooked | None = None
        self.clock, self.micro_batches, self.scoring = Clock(), MicroBatches(), RowsPerPass()
        self._window: Window | None = None
        self._model_loss, self._compared = model_loss, False
        self.epoch_hook: EpochHook | None = None
        self.stopped, self.restored = False, None
        # A second forward would otherwise overwrite buffers that the first backward still needs.
        args.ddp_broadcast_buffers = False
        super().__init__(model, args, *positional, **kwargs)
        # Losses of ours are per example and reduced by the engine; num_items_in_batch is not for the model.
        self.model_accepts_loss_kwargs = False
        own_loss = type(self).compute_loss is not ToughTrainer.compute_loss
        sharded = bool(self.is_deepspeed_enabled or self.is_fsdp_enabled)
        facts = (sharded, self.compute_loss_func, own_loss, self.args.neftune_noise_alpha, self._scores())
        check_trainer(TrainerSetup(self.recipe, *facts))
        self.soup = self._candidates()
        self.add_callback(Bridge(self))
        if self.model_init is None:
            self.the_engine()

    # ---- the step

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Run the engine on one micro-batch; returns its detached loss."""
        engine = self.the_engine()
        model.train()
        optimizer: Any = self.optimizer
        if callable(getattr(optimizer, "train", None)):  # schedule-free optimisers
            optimizer.train()
        batch = self._prepare_inputs(on_device(inputs, self.args.device))
        batch["labels"] = batch.pop("label") if "label" in batch else batch["labels"]
        window = self._window or Window(*count_rows(batch, engine.likelihood))
        engine.model = model
        self.clock.rows += len(batch["labels"])
        sync = self.accelerator.gradient_state.sync_gradients
        return self.micro_batches.backward(engine, batch, window, sync=sync)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], None]:
        """Collect one optimiser step's micro-batches and count their rows over all processes."""
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not samples:
            return samples, None
        engine = self.the_engine()
        samples = [engine.with_fitting_labels(batch) for batch in samples]
        if not self._compared and self._model_loss == "compare":
            compare_losses(self, engine, samples[0])
        self._compared = True
        counts = [count_rows(batch, engine.likelihood) for batch in samples]
        examples, labelled = (sum(column) for column in zip(*counts, strict=True))
        world = self.accelerator.num_processes
        if world > 1:
            check_fillers(samples[0], self._batches)
            both = torch.stack([torch.as_tensor(n, dtype=torch.float64, device=device) for n in (examples, labelled)])
            # DDP averages over processes, so each one divides by the mean count.
            examples, labelled = self.accelerator.reduce(both, reduction="sum") / world
        self._window = Window(examples, labelled)
        return samples, None

    def create_accelerator_and_postprocess(self) -> None:
        """Add what accelerate leaves out: one compiled program for all lengths, and on a CPU fp16's gradient scaler."""
        super().create_accelerator_and_postprocess()
        if self.args.torch_compile:
            self.accelerator.state.dynamo_plugin.dynamic = True
            let_lengths_vary()
        if self.args.fp16 and self.accelerator.device.type == "cpu":  # it would silently train in fp32
            self.accelerator.native_amp = True
            self.accelerator.scaler = torch.amp.GradScaler("cpu")

    def _make_engine(self) -> Engine:
        tokenizer = self.processing_class
        bare = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        return Engine(
            bare,
            self._objective(bare),
            self.recipe.adversary if self.recipe else None,
            inputs=self.recipe.inputs if self.recipe else None,
            task=self._task_of(bare),
            memory=self.memory,
            compiled=bool(self.args.torch_compile),
            special_ids=getattr(tokenizer, "all_special_ids", None),
            runtime=TrainerRuntime(self),
        )

    def _task_of(self, model: Any) -> TaskName:
        """Return the task that is named, or that the model's config has, or left open for the labels to say."""
        return self._task or task_of_rows(model, self.train_dataset)

    def _objective(self, model: Any) -> CrossEntropy:
        objective = self.recipe.objective if self.recipe else CrossEntropy()
        objective = smooth_labels(objective, self.args.label_smoothing_factor)
        if objective.class_weights is None:
            return objective
        classes = int(model.config.num_labels)
        if not weights_per_class(objective):
            return resolve_class_weights(objective, [1] * classes)
        counts, rows = rows_per_class(self.train_dataset, classes)
        several = self._task_of(model) == "multi-label"
        return resolve_class_weights(objective, counts, rows=rows if several else None)

    # ---- batches

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the Trainer's loader, or one over our own batches: always when there are several processes."""
        if self._batches is None and self.accelerator.num_processes > 1:
            self._batches = sharded_batches(self)
        return super().get_train_dataloader() if self._batches is None else own_loader(self, self._batches)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.stopped:
            # The run was stopped early before it was saved: nothing is left to train.
            self.control.should_training_stop = True
            return
        if self.epoch_hook is not None:
            bare = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
            begun = self.state.global_step > kwargs["epoch"] * kwargs["num_update_steps_per_epoch"]
            self.epoch_hook.before_epoch(kwargs["epoch"], bare, begun=begun)
        if self._batches is not None:
            self._batches.set_epoch(kwargs["epoch"])
        loop: Any = super()
        loop._run_epoch(*args, **kwargs)

    def _scores(self) -> bool:
        return self.args.eval_strategy != "no" and bool(self.args.metric_for_best_model)

    def _candidates(self) -> Candidates | None:
        average = self.recipe.average if self.recipe else None
        if not isinstance(average, CheckpointSoup):
            return None
        folder, better = Path(str(self.args.output_dir)) / "soup", bool(self.args.greater_is_better)
        return Candidates(folder, average.top_k, greater_is_better=better, writes=self.args.should_save)

    # ---- optimiser and schedule

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the Trainer's optimiser; where layers or the head have rates of their own, over groups of our own."""
        decay = self.recipe.training.layer_decay if self.recipe else 1.0
        faster = self.recipe.head.lr_multiplier if self.recipe else 1.0
        if self.optimizer is None and (decay, faster) != (1.0, 1.0):
            cls, kwargs = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            bare = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
            groups = parameter_groups(bare, self.args.learning_rate, self.args.weight_decay, decay, faster)
            self.optimizer = cls(groups, **kwargs)
        return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Build the Trainer's schedule, with SWA's tail where the recipe asks for it."""
        created = self.lr_scheduler is None
        scheduler: Any = super().create_scheduler(num_training_steps, optimizer)
        if created and self.recipe is not None:
            with_average_tail(scheduler, self.recipe.average, num_training_steps)
        return scheduler

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None) -> Any:
        loop: Any = super()
        self.the_engine().check()
        with warnings.catch_warnings():
            # accelerate knows only the old name of this setting of DDP.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            prepared = loop._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)
        average = self.recipe.average if self.recipe else None
        if self.soup is not None:
            self.soup.restart(checkpoint.step_of(resume_from_checkpoint))
        elif average is not None:
            self.average = make_average(average, self.model, total_steps=max_steps)
            self.the_engine().average = self.average
            if resume_from_checkpoint is not None:
                checkpoint.load_average(Path(resume_from_checkpoint), self.average)
        return prepared

    # ---- the average: scored, saved, loaded

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train as the Trainer does; afterwards the model holds the scored weights.

        ``resume_from_checkpoint=True`` takes the last *complete* checkpoint of ``output_dir``.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = checkpoint.last_complete(Path(str(self.args.output_dir)))
            if resume_from_checkpoint is None:
                raise InputError(f"there is no complete checkpoint in {self.args.output_dir} to resume from.")
        self.stopped, self.average, self.clock, self.micro_batches = False, None, Clock(), MicroBatches()
        if self.engine is not None:
            self.engine.restart()
        output = super().train(resume_from_checkpoint, *args, **kwargs)
        self._check_fired()
        training_state.close_counts(self)
        self._retire_average()
        if self.soup is not None:
            self.cooked = cook(self, self.soup)
        return output

    def call_model_init(self, trial: Any = None) -> Any:
        """Make a new model, which gets an engine of its own."""
        if self.engine is not None:
            self.engine.close()
        self.engine = None
        return super().call_model_init(trial)

    def _retire_average(self) -> None:
        if self.average is not None:
            self.average.copy_to_model()
            self.average = None

    def report(self) -> dict[str, Any]:
        """Return what training cost: the loop's seconds (without validation and checkpoints), rows and passes."""
        engine = self.the_engine()
        steps = max(engine.cost.steps, 1)
        soup = {} if self.cooked is None else {"soup": self.cooked.report()}
        return (
            soup
            | self.micro_batches.report()
            | {
                "seconds": self.clock.seconds,
                "samples_per_second": self.clock.rows * self.accelerator.num_processes / max(self.clock.seconds, 1e-9),
                "passes_per_step": engine.cost.forwards / steps,
                "units_per_step": engine.cost.units / steps,
                "steps": self.state.global_step,
                "epochs": self.state.epoch or 0.0,
                "best_step": self.state.best_global_step or self.state.global_step,
                **engine.left_out.report(),
                **engine.unperturbed.report(),
            }
        )

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score as the Trainer does; the clock of the loop stands still."""
        with self.clock.paused():
            return super().evaluate(*args, **kwargs)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with self.clock.paused():
            super()._save_checkpoint(*args, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Score the average, if there is one; the raw weights come back afterwards."""
        with self._scored_weights(), scored_in_float32(self.model, self.scores_in_float32):
            return super().evaluation_loop(*args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the scored weights; a checkpoint gets the raw ones and the average's state beside them."""
        with self._scored_weights():
            super().save_model(output_dir, _internal_call=_internal_call)
        if _internal_call and output_dir is not None:
            state = training_state.state_of(self)
            if self.args.should_save:
                checkpoint.save_beside(Path(output_dir), self.model, self.average, state)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        verify(Path(resume_from_checkpoint))
        checkpoint.refuse_other_average(Path(resume_from_checkpoint), self.recipe.average if self.recipe else None)
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        checkpoint.load_raw(Path(resume_from_checkpoint), model or self.model)
        state = checkpoint.read_state(Path(resume_from_checkpoint))
        if state is not None:
            training_state.take_over(self, state)

    def _load_best_model(self) -> None:
        verify(Path(str(self.state.best_model_checkpoint)))
        super()._load_best_model()
        # The best checkpoint's weights are scored weights already; later evaluation must not swap the last average in.
        self.average = None

    def _scored_weights(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.applied()

    # ---- the log

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add every term of the loss, the perturbation's size and the average's decay to a training log line."""
        if "loss" in logs and self.engine is not None:
            logs = logs | self._log_terms(self.engine)
        super().log(logs, start_time)

    def _log_terms(self, engine: Engine) -> dict[str, float]:
        terms = engine.terms(partial(mean_over_processes, self.accelerator))
        facts = ("perturbation_norm", "adversary/scale", "adversary/flipped", "adversary/accuracy")
        named = {name if name in facts else f"loss/{name}": value for name, value in terms.items()}
        if self.average is not None:
            named["average_decay"] = self.average.decay
        return named
