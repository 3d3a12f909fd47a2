"""Rows whose loss is not finite, in `ToughTrainer`: left out, counted, and the end of a run that has too many."""

import pytest
import torch

from engine.models import VOCABULARY, distance, tiny
from huggingface.trials import make_rows, trainer, weights
from toughen import Fgm
from toughen.errors import InputError

BROKEN = VOCABULARY - 1
"""A word that becomes no number in the model."""


def rows_with_broken(count, broken):
    rows = [row | {"input_ids": [min(i, BROKEN - 1) for i in row["input_ids"]]} for row in make_rows(count)]
    for row in rows[:broken]:
        row["input_ids"][1] = BROKEN
    return rows


def made(folder, rows, **changes):
    model = tiny("bert", dtype=torch.float64)
    model.get_input_embeddings().register_forward_hook(
        lambda _, args, hidden: hidden.masked_fill((args[0] == BROKEN).unsqueeze(-1), torch.nan)
    )
    settings = {"per_device_train_batch_size": 4, "num_train_epochs": 1, "keep": {"model_loss": "ignore"}} | changes
    return trainer(folder, {"adversary": Fgm(radius=0.3)}, model=model, rows=rows, **settings)


def test_a_row_leaves_its_step_and_is_counted(tmp_path):
    """One optimiser step of two micro-batches: the weights are those of the same rows without the broken one."""
    rows = rows_with_broken(8, 1)
    one = made(tmp_path / "a", rows, gradient_accumulation_steps=2)
    one.train()
    other = made(tmp_path / "b", rows[1:], gradient_accumulation_steps=2)
    other.train()
    assert one.report()["rows_left_out"] == 1
    assert "rows_left_out" not in other.report()
    assert distance(weights(one.model), weights(other.model)) < 1e-9
    assert all(value.isfinite().all() for value in weights(one.model).values())


def test_too_many_end_the_run_by_name(tmp_path):
    with pytest.raises(InputError, match=r"the loss of 1\d of .* rows is not finite"):
        made(tmp_path, rows_with_broken(40, 20), num_train_epochs=3).train()


def test_a_resumed_run_counts_on(tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 1, "num_train_epochs": 2}
    rows = rows_with_broken(8, 1)
    one = made(tmp_path, rows, **settings)
    one.train()
    again = made(tmp_path, rows, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert one.report()["rows_left_out"] == again.report()["rows_left_out"] == 2
    assert distance(weights(one.model), weights(again.model)) == 0
