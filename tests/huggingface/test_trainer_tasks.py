"""ToughTrainer on several labels, numbers, words: it is Trainer with nothing on, and reduces rightly with something."""

import pytest
import torch
from transformers import Trainer, TrainerCallback

from engine.models import distance, tiny
from huggingface.trials import losses, make_rows, run, same, trainer, weights
from toughen import Fgm, Rat, Smart
from toughen.engine.averages import Ema
from toughen.engine.inputs import Neftune
from toughen.engine.objectives import CrossEntropy, RDrop
from toughen.tasks import task_of

TASKS = ("multi-label", "regression", "tokens")
# a few steps on a handful of words have not left the majority class yet
pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate")


class Recorder(TrainerCallback):
    """Keeps the gradients of every optimiser step."""

    def __init__(self):
        self.gradients = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.gradients.append({name: p.grad.detach().clone() for name, p in model.named_parameters()})


def rows_of(task, count=13):
    return {"rows": make_rows(count, task=task), "keep": {"eval_dataset": make_rows(12, seed=4, task=task)}}


@pytest.mark.parametrize("task", TASKS)
def test_nothing_on_is_bitwise_trainer(tmp_path, task):
    """One process, no accumulation: weights and optimiser bitwise, dropout on; losses to 1e-6.

    For several labels as near as float64 is: torch's mean of the binary cross-entropy divides its gradient last, where
    a mean over classes and then rows has divided before, which differs in the last bit.
    """
    ends, dtype = {}, torch.float64 if task == "multi-label" else torch.float32
    for cls in (Trainer, ToughTrainerOf(task)):
        made = trainer(
            tmp_path / cls.__name__,
            cls=cls,
            model=tiny("bert", task=task, dtype=dtype, dropout=0.1),
            eval_strategy="epoch",
            **rows_of(task),
        )
        made.train()
        optimizer = made.optimizer.optimizer.state_dict()
        ends[cls] = (weights(made.model), optimizer), losses(made), made.evaluate()["eval_loss"]
    (theirs, their_losses, their_score), (ours, our_losses, our_score) = ends.values()
    assert distance(ours[0], theirs[0]) < 1e-9 if task == "multi-label" else same(ours, theirs)
    assert our_losses == pytest.approx(their_losses, abs=1e-6)
    assert our_score == pytest.approx(their_score, abs=1e-6)
    assert 0 < our_score < 10
    assert distance(ours[0], weights(tiny("bert", task=task, dtype=dtype))) > 1e-4, "canary: it did train"


def ToughTrainerOf(task):  # noqa: N802
    """Return ToughTrainer, which asks the model itself for its task."""
    from toughen.huggingface.trainer import ToughTrainer

    class Asking(ToughTrainer):
        def __init__(self, model, *args, **kwargs):
            assert task_of(model) == task
            super().__init__(model, *args, **kwargs)
            assert self.engine.likelihood.task == task

    return Asking


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("objective", [CrossEntropy(), RDrop(alpha=2.0)], ids=["cross-entropy", "rdrop"])
@pytest.mark.filterwarnings("ignore:.*has no dropout above 0")
def test_accumulation_with_an_uneven_last_window_equals_big_batches(tmp_path, task, objective):
    """13 rows in windows of 2+2+2+2 and 2+2+1: for tokens the mean is over the window's words, whose number varies."""
    found = []
    for name, size, accumulation in (("micro", 2, 4), ("whole", 8, 1)):
        recorder, data = Recorder(), rows_of(task)
        run(
            tmp_path / name,
            {"objective": objective, "adversary": Fgm(radius=0.4)},
            model=tiny("bert", task=task),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_grad_norm=0.0,
            rows=data["rows"],
            keep=data["keep"] | {"callbacks": [recorder]},
        )
        found.append(recorder.gradients)
    assert len(found[0]) == len(found[1]) == 4
    assert max(map(distance, *found)) < (1e-6 if task == "regression" else 1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_a_whole_recipe_trains_every_task(tmp_path, task):
    """Noise, dropout samples, an adversary with a teacher and its average; the loss falls and all terms are logged."""
    recipe = {
        "objective": CrossEntropy(dropout_samples=2),
        "inputs": Neftune(alpha=1.0),
        "adversary": Smart(bregman=5.0),
        "average": Ema(decay=0.8),
    }
    made = run(
        tmp_path,
        recipe,
        model=tiny("bert", task=task, dtype=torch.float32, dropout=0.1),
        num_train_epochs=6,
        **rows_of(task, 24),
    )
    lines = [line for line in made.state.log_history if "loss" in line]
    assert {"loss/task", "loss/adversarial", "loss/bregman", "perturbation_norm"} <= lines[-1].keys()
    assert lines[0]["loss/bregman"] == 0
    assert lines[-1]["loss/bregman"] > 0
    first, last = (sum(line["loss/task"] for line in some) for some in (lines[:6], lines[-6:]))
    assert last < 0.95 * first


@pytest.mark.parametrize("weights_named", ["balanced", "effective-number"])
@pytest.mark.parametrize("task", ["multi-label", "tokens"])
def test_class_weights_are_counted_by_task(tmp_path, task, weights_named):
    """Words of each class, or rows with each label; by hand from the rows."""
    rows = make_rows(13, task=task)
    if task == "tokens":
        rows[0]["labels"][1] = 2
        words = [y for row in rows for y in row["labels"] if y != -100]
        counts, total = [words.count(c) for c in range(3)], len(words)
        balanced = [total / (3 * n) for n in counts]
    else:
        counts = [int(sum(row["labels"][c] for row in rows)) for c in range(3)]
        balanced = [max(13 - n, 1) / n for n in counts]
    objective = CrossEntropy(class_weights=weights_named, effective_beta=0.99)
    found = trainer(tmp_path, {"objective": objective}, model=tiny("bert", task=task), rows=rows)
    effective = [1 / (1 - 0.99**n) for n in counts]
    expected = balanced if weights_named == "balanced" else [3 * w / sum(effective) for w in effective]
    assert found.engine.objective.class_weights == pytest.approx(expected, rel=1e-9)
    assert len(set(expected)) > 1


@pytest.mark.parametrize("adversary", [Rat(radius=0.4, alpha=2.0), Rat(radius=0.4, alpha=2.0, detached=True)])
def test_unlabelled_rows_under_rat_are_accumulated_rightly(tmp_path, adversary):
    """Every third row has a label: windows of 2+2+2+2 give the gradients of batches of 8; with all labels, others."""
    rows, found = make_rows(16), []
    few = [row if i % 3 == 0 else row | {"labels": -100} for i, row in enumerate(rows)]
    for name, size, data in (("micro", 2, few), ("whole", 8, few), ("all", 8, rows)):
        recorder = Recorder()
        run(
            tmp_path / name,
            {"adversary": adversary},
            model=tiny("bert"),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=8 // size,
            max_grad_norm=0.0,
            rows=data,
            keep={"callbacks": [recorder]},
        )
        found.append(recorder.gradients)
    assert max(map(distance, found[0], found[1])) < 1e-9
    assert max(map(distance, found[1], found[2])) > 1e-3, "canary: labels do matter"
