"""What ToughTrainer relies on inside transformers' Trainer: these fail, by name, when it moves."""

import inspect

import pytest
from accelerate.optimizer import AcceleratedOptimizer
from transformers import Trainer, TrainerCallback, TrainerState
from transformers.trainer_callback import CallbackHandler

from toughen.huggingface.bridge import Bridge
from toughen.huggingface.trainer import ToughTrainer

OVERRIDDEN = {
    "__init__": "model args data_collator train_dataset eval_dataset processing_class model_init compute_loss_func "
    "compute_metrics callbacks optimizers optimizer_cls_and_kwargs preprocess_logits_for_metrics",
    "_load_best_model": "",
    "_load_from_checkpoint": "resume_from_checkpoint model",
    "_prepare_for_training": "max_steps train_dataloader resume_from_checkpoint",
    "_run_epoch": "model epoch train_dataloader steps_in_epoch num_update_steps_per_epoch trial ignore_keys_for_eval "
    "start_time resume_from_checkpoint epochs_trained steps_trained_in_current_epoch",
    "_save_checkpoint": "model trial",
    "call_model_init": "trial",
    "create_accelerator_and_postprocess": "",
    "create_optimizer": "model",
    "create_scheduler": "num_training_steps optimizer",
    "evaluate": "eval_dataset ignore_keys metric_key_prefix",
    "evaluation_loop": "dataloader description prediction_loss_only ignore_keys metric_key_prefix",
    "get_batch_samples": "epoch_iterator num_batches device",
    "get_train_dataloader": "",
    "log": "logs start_time",
    "save_model": "output_dir _internal_call",
    "train": "resume_from_checkpoint trial ignore_keys_for_eval",
    "training_step": "model inputs num_items_in_batch",
}
CALLED = {
    "_prepare_inputs": "inputs",
    "_remove_unused_columns": "dataset description",
    "get_optimizer_cls_and_kwargs": "args model",
    "add_callback": "callback",
}
ORDER = {
    "_inner_training_loop": (
        "self.get_train_dataloader()",
        "self._init_training_state(",
        "self._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)",
        "self._tr_loss = ",
        "self._total_loss_scalar = ",
        "self._globalstep_last_logged = ",
        "callback_handler.on_train_begin",
        "callback_handler.on_epoch_begin",
        "self._run_epoch(",
        "epoch=epoch",
        "if self.control.should_training_stop:",
        "self._finalize_training(",
    ),
    "_run_epoch": (
        "self.get_batch_samples(",
        "gradient_state._set_sync_gradients(do_sync_step)",
        "with sync_context():",
        "self.training_step(model, inputs, num_items_in_batch)",
        "self._clip_grad_norm(model)",
        "callback_handler.on_pre_optimizer_step",
        "self.optimizer.step()",
        "callback_handler.on_optimizer_step",
        "self.state.global_step += 1",
        "callback_handler.on_epoch_end",
    ),
    "_save_checkpoint": (
        "self.save_model(output_dir, _internal_call=True)",
        "self.state.save_to_json(os.path.join(output_dir, TRAINER_STATE_NAME))",
        "rotate_checkpoints(",
    ),
    "_finalize_training": ("self._load_best_model()", "callback_handler.on_train_end"),
    "train": ("self.call_model_init(", "self._load_from_checkpoint(resume_from_checkpoint)", "inner_training_loop("),
    "_prepare_for_training": ("self.create_optimizer()", "self.create_scheduler(num_training_steps=max_steps)"),
}
EVENTS = (
    "on_evaluate",
    "on_train_begin",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_step_end",
)


def parameters(name):
    return " ".join(p for p in inspect.signature(getattr(Trainer, name)).parameters if p != "self")


@pytest.mark.parametrize("name", OVERRIDDEN | CALLED)
def test_the_methods_we_override_or_call_have_their_signature(name):
    assert parameters(name) == (OVERRIDDEN | CALLED)[name]


def test_no_override_is_left_out():
    """Every method of Trainer that ToughTrainer replaces stands in the table."""
    methods = {
        name for name in vars(ToughTrainer) if name in dir(Trainer) and inspect.isfunction(vars(ToughTrainer)[name])
    }
    assert methods == set(OVERRIDDEN)


@pytest.mark.parametrize("name", ORDER)
def test_the_loop_does_its_parts_in_order(name):
    """The moments that we hook into follow each other in the Trainer's source as they must."""
    source = inspect.getsource(getattr(Trainer, name))
    position = 0
    for part in ORDER[name]:
        position = source.find(part, position)
        assert position >= 0, f"{part!r} is not where it was in Trainer.{name}"


def test_the_loss_is_not_divided_again():
    """Trainer reads the two switches by which losses are left as the engine reduced them."""
    source = inspect.getsource(Trainer)
    assert "self.loss_is_scaled_for_ga" in source
    assert "self.model_accepts_loss_kwargs" in source
    assert ToughTrainer.loss_is_scaled_for_ga is False


@pytest.mark.parametrize("event", EVENTS)
def test_the_events_of_the_bridge_exist(event):
    """A callback's method that the Trainer does not know would never be called."""
    assert event in vars(Bridge)
    assert event in vars(TrainerCallback)
    assert hasattr(CallbackHandler, event)


def test_the_bridge_has_no_event_that_is_left_out():
    assert {name for name in vars(Bridge) if name.startswith("on_")} == set(EVENTS)


def test_the_state_has_the_fields_we_read():
    state = TrainerState()
    assert {"global_step", "epoch", "max_steps", "best_global_step", "is_world_process_zero"} <= {
        name for name in dir(state) if not name.startswith("_")
    }


def test_accelerate_keeps_the_skip_of_a_step_where_we_set_it():
    """The bridge tells the Trainer of a skip that accelerate cannot see (a fused optimiser's)."""
    assert "return self._is_overflow" in inspect.getsource(AcceleratedOptimizer.step_was_skipped.fget)
    assert "self.accelerator.optimizer_step_was_skipped" in inspect.getsource(Trainer._run_epoch)
