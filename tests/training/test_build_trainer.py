"""Between reading and training: what is refused, with the rows that there really are, and what transformers is told."""

import json

import pytest
import torch

import toughen
from tiny import reviews, save_tiny_model
from toughen.errors import InputError
from toughen.huggingface import trackers
from toughen.huggingface.trainer import ToughTrainer
from toughen.recipe.recipe import load_recipe
from toughen.training import build_trainer

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")


@pytest.fixture
def model(tmp_path):
    return str(save_tiny_model(tmp_path / "model"))


def train(model, folder, start_step, **training):
    return toughen.train(
        reviews(40, seed=1),
        model=model,
        recipe="fgm",
        output=folder,
        adversary={"start_step": start_step},
        training={"epochs": 1, "batch_size": 4, "save_total_limit": 1} | training,
        quiet=True,
    )


WINDOWS = {"truncation": "windows", "max_length": 6}


@pytest.mark.parametrize("reading", [{}, WINDOWS], ids=["texts", "windows"])
def test_an_adversary_that_would_never_act_is_refused_before_anything_is_written(model, tmp_path, reading):
    with pytest.raises(InputError, match=r"start_step is 500, but training has only \d+ steps"):
        train(model, tmp_path / "run", 500, **reading)
    assert not (tmp_path / "run").exists()


def test_windows_count_as_rows(model, tmp_path):
    """36 texts are 9 steps, their windows some more; canary: without windows the same adversary never acts."""
    with pytest.raises(InputError, match="only 9 steps"):
        train(model, tmp_path / "texts", 9)
    steps = train(model, tmp_path / "windows", 9, **WINDOWS).metrics["train"]["steps"]
    assert steps > 9


def told(monkeypatch, tmp_path, device="cpu", capability=(8, 0), steps=5000, **training):
    """Return the arguments of a recipe's training as on that device."""
    monkeypatch.setattr(build_trainer, "best_device", lambda: torch.device(device))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    seen = {}

    def note(**arguments):
        seen.update(arguments)

    monkeypatch.setattr(build_trainer, "TrainingArguments", note)
    monkeypatch.setattr(build_trainer, "_checkpointing_arguments", lambda: {"checkpointing": True})
    build_trainer.training_arguments(
        load_recipe("plain", {"training": {"learning_rate": 2e-5, **training}}), tmp_path, "f1", steps
    )
    return seen


@pytest.mark.parametrize(
    ("device", "capability", "tf32", "pinned"),
    [("cpu", (8, 0), None, False), ("cuda", (7, 5), None, True), ("cuda", (8, 0), True, True)],
)
def test_a_gpu_gets_pinned_memory_and_tf32_where_it_has_it(monkeypatch, tmp_path, device, capability, tf32, pinned):
    seen = told(monkeypatch, tmp_path, device, capability, precision="fp32")
    assert seen["tf32"] is tf32
    assert seen["dataloader_pin_memory"] is pinned
    assert seen["use_cpu"] is (device == "cpu")


@pytest.mark.parametrize(("steps", "every"), [(7, 1), (59, 2), (400, 20), (1000, 50), (9999, 50)])
def test_a_short_run_is_logged_twenty_times_and_a_long_one_as_it_asks(monkeypatch, tmp_path, steps, every):
    assert told(monkeypatch, tmp_path, steps=steps)["logging_steps"] == every
    assert told(monkeypatch, tmp_path, steps=steps, log_steps=1)["logging_steps"] == 1


def test_what_is_logged_of_validation_is_what_the_table_says(model, tmp_path):
    """In bf16 too: the scores that choose the weights are computed as the saved model's are."""
    settings = {"precision": "bf16", "epochs": 2.0, "learning_rate": 3e-3, "early_stopping": None, "max_length": 32}
    data = {"train": reviews(40, seed=1), "validation": reviews(24, seed=2)}
    run = toughen.train(data, model=model, recipe="plain", output=tmp_path / "run", quiet=True, training=settings)
    states = sorted((tmp_path / "run").glob("checkpoints/*/trainer_state.json"), key=lambda path: path.stat().st_mtime)
    history = json.loads(states[-1].read_text())["log_history"]
    best = run.metrics["train"]["best_step"]
    logged = next(line for line in history if line["step"] == best and "eval_log_loss" in line)
    assert logged["eval_log_loss"] == pytest.approx(run.metrics["validation"]["log_loss"], rel=1e-5)


@pytest.mark.parametrize(("name", "line"), [("wandb", "Weights & Biases is"), ("mlflow", "MLflow is")])
def test_a_tracker_that_is_not_installed_is_refused_with_the_line_to_install_it(monkeypatch, name, line):
    monkeypatch.setattr(trackers, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=f"{line} not installed .*install it with: pip install {name}"):
        trackers.require_tracker(load_recipe("plain", {"training.report_to": name}).training.report_to)
    assert trackers.tracker_callbacks("tensorboard") == []
    with pytest.raises(InputError, match="report_to"):
        load_recipe("plain", {"training.report_to": "visdom"})


def test_settings_of_speed_and_memory_are_passed_on(monkeypatch, tmp_path):
    seen = told(monkeypatch, tmp_path, precision="bf16", compile=True, gradient_checkpointing=True, workers=2)
    assert (seen["bf16"], seen["fp16"], seen["torch_compile"], seen["checkpointing"]) == (True, False, True, True)
    assert seen["dataloader_num_workers"] == 2
    assert "checkpointing" not in told(monkeypatch, tmp_path)


def test_a_training_has_fused_adamw_and_fused_attention_and_reads_no_loss_per_step(model, tmp_path, monkeypatch):
    """Two of them are what transformers does by itself; that it still does is what this test is for."""
    trainers, inner = [], ToughTrainer.train

    def noted(self, *args, **kwargs):
        trainers.append(self)
        return inner(self, *args, **kwargs)

    monkeypatch.setattr(ToughTrainer, "train", noted)
    train(model, tmp_path / "run", 0, max_steps=2)
    (trainer,) = trainers
    assert isinstance(trainer.optimizer.optimizer, torch.optim.AdamW)
    assert trainer.optimizer.optimizer.defaults["fused"] is True
    assert trainer.model.config._attn_implementation == "sdpa"
    assert trainer.args.logging_nan_inf_filter is False
