"""A step that runs out of memory begins again with half the rows at a time, and the run ends at the same weights."""

import logging

import pytest
import torch

from engine.models import distance, tiny
from huggingface.trials import checkpoints, make_rows, trainer, weights
from toughen import Awp, FreeLb, Pgd, RDrop
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.machine.rows_per_pass import RowsPerPass

ROWS = make_rows(16)
PARTS = {
    "plain": {},
    "pgd": {"adversary": Pgd(radius=0.4, step_size=0.3)},
    "freelb": {"adversary": FreeLb(radius=0.3, start_size=0.0)},
    "rdrop and ema": {"objective": RDrop(), "average": Ema()},
    "auto radius": {"adversary": Pgd(radius="auto")},
}

pytestmark = pytest.mark.filterwarnings("ignore:.*no dropout above 0")  # the draws of other batches would be others


class Memory:
    """A model's memory: passes of more than ``most`` rows run out of it, from the ``after``-th pass on.

    It is the model's own forward that raises, so that the error leaves every hook and context that is open.
    """

    def __init__(self, model, most, after=0, times=10**6):
        self.most, self.left, self.times = most, after, times
        model.register_forward_pre_hook(self._enter, with_kwargs=True)

    def _enter(self, _, args, named):
        self.left -= 1
        if self.left < 0 < self.times and len(named["input_ids"]) > self.most:
            self.times -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def made(folder, parts, *, dropout=0.0, dtype=torch.float64, **changes):
    rows = changes.pop("rows", ROWS)
    model = tiny("bert", dtype=dtype, dropout=dropout)
    return trainer(
        folder, dict(parts), model=model, rows=rows, keep={"model_loss": "ignore"}, max_grad_norm=0.0, **changes
    )


def trained(folder, parts, memory=None, **changes):
    one = made(folder, parts, **changes)
    if memory:
        Memory(one.model, **memory)
    one.train()
    return one


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_a_forced_error_ends_at_the_weights_of_smaller_micro_batches(tmp_path, parts, caplog):
    """Raised once, in the second pass of all; to 1e-9 the weights of half the rows from the start.

    Beside them those of the batches that were asked for, which an optimiser step keeps.
    """
    asked = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    with caplog.at_level(logging.WARNING, "toughen"):
        one = trained(tmp_path / "a", parts, {"most": 0, "after": 1, "times": 1}, **asked)
    smaller = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    other, whole = trained(tmp_path / "b", parts, **smaller), trained(tmp_path / "c", parts, **asked)
    assert distance(weights(one.model), weights(other.model)) < 1e-9
    assert distance(weights(one.model), weights(whole.model)) < 1e-9
    assert one.report()["micro_batch"] == 2
    assert "micro_batch" not in whole.report()
    assert [record.message for record in caplog.records if "memory" in record.message] == [
        "the memory was used up by 4 rows at a time: from now on 2 go through the model at a time, and an optimiser "
        "step has the rows that it had"
    ]
    assert one.report()["steps"] == other.report()["steps"] == whole.report()["steps"] == 4
    assert one.report()["passes_per_step"] == other.report()["passes_per_step"]
    logged = [[line["loss"] for line in run.state.log_history if "loss" in line] for run in (one, other)]
    assert logged[0] == pytest.approx(logged[1], abs=1e-6)


def test_what_was_drawn_is_drawn_again(tmp_path):
    """With dropout and random starts, rows of one length: bitwise the run that has had half the rows from the start."""
    rows = [{**row, "input_ids": row["input_ids"][:3], "attention_mask": [1] * 3} for row in ROWS]
    parts = {"adversary": Pgd(radius=0.4, step_size=0.3, start="random"), "objective": RDrop()}
    settings = {"rows": rows, "dropout": 0.1}
    one = trained(tmp_path / "a", parts, {"most": 6, "after": 1}, per_device_train_batch_size=4, **settings)
    half = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    other = trained(tmp_path / "b", parts, **half, **settings)
    assert distance(weights(one.model), weights(other.model)) == 0
    assert one.report()["micro_batch"] == 2


def test_it_is_halved_until_it_fits(tmp_path):
    one = trained(tmp_path / "a", {"adversary": Awp()}, {"most": 1}, per_device_train_batch_size=5)
    assert one.report()["micro_batch"] == 1  # by way of 3 and 2


def test_one_row_that_does_not_fit_is_an_error(tmp_path):
    one = made(tmp_path, {})
    Memory(one.model, 0)
    with pytest.raises(torch.OutOfMemoryError):
        one.train()
    assert one.micro_batches.rows == 1


def test_of_several_processes_it_stays_an_error(tmp_path, monkeypatch):
    """Others may have sent their gradients already, and cannot take them back."""
    one = made(tmp_path, {})
    Memory(one.model, 2)
    monkeypatch.setattr(type(one.engine.runtime), "processes", 2)
    with pytest.raises(torch.OutOfMemoryError):
        one.train()


def test_a_resumed_run_knows_what_fits(tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 1}
    memory = {"most": 2}
    whole = trained(tmp_path / "a", {}, memory, **settings)
    again = made(tmp_path / "a", {}, **settings)
    Memory(again.model, **memory)
    again.train(resume_from_checkpoint=str(checkpoints(tmp_path / "a")[2]))
    assert again.report()["micro_batch"] == 2
    assert distance(weights(whole.model), weights(again.model)) == 0


def test_an_engine_of_ones_own_loop_leaves_it_to_the_loop(tmp_path):
    model = tiny("bert")
    Memory(model, 0)
    with Engine(model) as engine, pytest.raises(torch.OutOfMemoryError):
        engine.backward({name: torch.tensor([value]) for name, value in ROWS[0].items()})


def scores(folder, most, *, task="single-label"):
    """Return what is scored, and the trainer, where passes of more than ``most`` rows run out of memory."""
    rows = make_rows(7, seed=4, task=task)
    if task == "single-label":
        rows[0]["labels"] = -100  # the only row of a part of one: its loss is the mean of no label
    one = trainer(folder, {}, model=tiny("bert", task=task), rows=rows, per_device_eval_batch_size=5)
    if most is not None:
        Memory(one.model, most)
    return one.predict(rows), one


@pytest.mark.parametrize("task", ["single-label", "multi-label", "regression", "tokens"])
@pytest.mark.parametrize("most", [3, 1])
def test_validation_that_runs_out_of_memory_goes_on_with_half_the_rows_to_the_same_scores(tmp_path, task, most, caplog):
    whole, _ = scores(tmp_path / "a", None, task=task)
    with caplog.at_level(logging.WARNING, "toughen"):
        divided, one = scores(tmp_path / "b", most, task=task)
    torch.testing.assert_close(divided.predictions, whole.predictions, rtol=0, atol=1e-12)
    assert (divided.label_ids == whole.label_ids).all()
    assert divided.metrics["test_loss"] == pytest.approx(whole.metrics["test_loss"], abs=1e-6)
    assert one.scoring.rows == most
    warned = [record.args for record in caplog.records if "scoring" in record.msg]
    assert warned == ([(5, 3)] if most == 3 else [(5, 3), (3, 2), (2, 1)])


def test_what_the_model_returns_as_its_own_loss_is_compared_on_what_fits(tmp_path):
    model = tiny("bert", dtype=torch.float64)
    one = trainer(tmp_path, {}, model=model, rows=ROWS, max_grad_norm=0.0)
    Memory(model, 2)
    one.train()
    assert (one.scoring.rows, one.micro_batches.rows) == (2, 2)


def run_out(_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_row_that_does_not_fit_and_a_batch_that_cannot_be_divided_are_errors(tmp_path):
    with pytest.raises(torch.OutOfMemoryError):
        scores(tmp_path, 0)
    passes = RowsPerPass()
    with pytest.raises(torch.OutOfMemoryError):
        passes.run(run_out, {"input_ids": torch.ones(4, 3), "layer": 3})
    assert passes.rows is None
