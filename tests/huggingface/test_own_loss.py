"""Nobody's loss is dropped without a word, and nobody's arguments are written to."""

import pytest
import torch
from transformers import Trainer

from engine.models import distance, tiny
from huggingface.trials import arguments, make_rows, run, trainer, weights
from toughen.engine.objectives import CrossEntropy
from toughen.errors import InputError
from toughen.huggingface.trainer import ToughTrainer


class Heavier(type(tiny("bert"))):
    """A classifier whose own loss is twice the cross-entropy."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        if output.loss is not None:
            output.loss = 2 * output.loss
        return output


def test_a_model_with_a_loss_of_its_own_is_refused_unless_told_to_ignore_it(tmp_path):
    model = tiny("bert", dtype=torch.float32)
    model.__class__ = Heavier
    with pytest.raises(InputError, match=r"own loss on the first batch is .* the loss of task single-label"):
        trainer(tmp_path, model=model, remove_unused_columns=False).train()
    model.zero_grad()
    other = tiny("bert", dtype=torch.float32)
    trainer(tmp_path / "a", model=model, keep={"model_loss": "ignore"}, remove_unused_columns=False).train()
    trainer(tmp_path / "b", model=other).train()
    assert distance(weights(model), weights(other)) == 0, "the comparison changes nothing"


@pytest.mark.parametrize("task", ["single-label", "multi-label", "regression", "tokens"])
def test_transformers_own_losses_are_the_tasks(task, tmp_path):
    """The comparison runs, and lets every task's ordinary model through."""
    model = tiny("bert", task=task, dtype=torch.float32)
    built = trainer(tmp_path, model=model, rows=make_rows(8, task=task), keep={"task": task})
    built.train()
    assert built._compared


def test_a_subclass_with_compute_loss_is_refused(tmp_path):
    class Own(ToughTrainer):
        def compute_loss(self, *args, **kwargs):
            return super().compute_loss(*args, **kwargs)

    with pytest.raises(InputError, match="compute_loss"):
        Own(tiny("bert"), arguments(tmp_path), train_dataset=make_rows(4))


def test_the_callers_arguments_are_left_as_they_were(tmp_path):
    """Two trainers made with the same arguments smooth alike."""
    args = arguments(tmp_path, label_smoothing_factor=0.2)
    before = {name: getattr(args, name) for name in ("label_smoothing_factor", "ddp_broadcast_buffers", "_n_gpu")}
    built = [ToughTrainer(tiny("bert"), args, train_dataset=make_rows(4)) for _ in range(2)]
    assert {name: getattr(args, name) for name in before} == before
    assert [one.the_engine().objective for one in built] == [CrossEntropy(label_smoothing=0.2)] * 2


def test_the_evaluation_loss_is_smoothed_as_trainers_is(tmp_path):
    rows = make_rows(8)
    losses = [
        run(tmp_path / cls.__name__, cls=cls, label_smoothing_factor=0.3, learning_rate=0.0).evaluate(rows)["eval_loss"]
        for cls in (Trainer, ToughTrainer)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_numbers_per_label_mean_several_labels_where_the_config_is_silent(tmp_path):
    """As in transformers, whose first forward infers it: the weights are Trainer's."""
    rows = [row | {"labels": [float(row["labels"]), 1.0]} for row in make_rows(8)]
    found = []
    for cls in (Trainer, ToughTrainer):
        model = tiny("bert", labels=2, dtype=torch.float32)
        assert model.config.problem_type is None
        trainer(tmp_path / cls.__name__, cls=cls, model=model, rows=rows).train()
        found.append(weights(model))
    assert distance(*found) < 1e-6
    assert torch.isfinite(next(iter(found[0].values()))).all()
