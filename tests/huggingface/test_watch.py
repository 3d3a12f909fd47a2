"""A run whose training accuracy sits at the majority rate for an epoch says so, with the suspect's name."""

import re
import warnings

import pytest
import torch

from engine.models import tiny
from huggingface.trials import make_rows, trainer
from toughen import Pgd

ROWS = [row | {"input_ids": [row["input_ids"][0], 5 + row["labels"], *row["input_ids"][2:]]} for row in make_rows(80)]
"""The second word says the label: easy to learn."""

HUGE = Pgd(radius=500.0, step_size=500.0, steps=2, radius_unit="absolute", clean=False, start="random")


def warned(folder, recipe, **changes):
    """Train 80 rows for two epochs; return the warnings."""
    return train(folder, recipe, **changes)[1]


def train(folder, recipe, **changes):
    """Return the trainer, too."""
    made = trainer(
        folder,
        recipe,
        model=tiny("bert", dtype=torch.float32),
        rows=ROWS,
        **{"per_device_train_batch_size": 4, "learning_rate": 3e-3, "lr_scheduler_type": "constant"} | changes,
    )
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        made.train()
    return made, [str(w.message) for w in found if "majority rate" in str(w.message)]


def test_a_radius_that_collapses_training_is_named(tmp_path):
    """Each epoch warns, with epoch, rates, adversary, radius and unit, and what to change."""
    found = warned(tmp_path, {"adversary": HUGE})
    assert len(found) == 2
    assert "epoch 1" in found[0]
    assert "epoch 2" in found[1]
    for words in ("adversary pgd with radius 500.0 (absolute)", "lower adversary.radius", "adversary.start_step"):
        assert words in found[0]


def test_a_run_at_chance_says_so_after_50_steps(tmp_path):
    """Long before its first epoch ends, with the accuracy on perturbed texts, which is that of the log."""
    changes = {"max_steps": 60, "per_device_train_batch_size": 1, "logging_steps": 50}
    made, found = train(tmp_path, {"adversary": HUGE}, **changes)
    assert ["for the first 50 steps" in found[0], "for epoch 1" in found[1]] == [True, True]
    (accuracy,) = re.findall(r"\((.*)% on perturbed texts\)", found[0])
    logged = next(line["adversary/accuracy"] for line in made.state.log_history if line["step"] == 50)
    assert float(accuracy) == pytest.approx(100 * logged, abs=0.05)
    assert "set it to auto" in found[0]


def test_the_steps_are_counted_from_the_end_of_the_warm_up(tmp_path):
    """While the rate warms up, a run that will learn stands at chance."""
    changes = {"max_steps": 70, "per_device_train_batch_size": 1, "warmup_steps": 10}
    changes["lr_scheduler_type"] = "constant_with_warmup"
    found = warned(tmp_path, {"adversary": HUGE}, **changes)
    assert "for the first 60 steps" in found[0]


def test_a_plain_run_at_chance_waits_for_its_epoch(tmp_path):
    """Its rate may still be warming up."""
    found = warned(tmp_path, None, max_steps=60, per_device_train_batch_size=1, learning_rate=1e-12)
    assert [message.partition(" for ")[2][:7] for message in found] == ["epoch 1"]


def test_a_radius_that_adjusts_itself_says_where_it_stands(tmp_path):
    found = warned(tmp_path, {"adversary": Pgd(radius="auto")}, learning_rate=1e-12)
    assert re.search(r"radius auto, now [\d.]+ \(site\)", found[0])


def test_a_rate_of_nearly_0_is_named_without_an_adversary(tmp_path):
    """A plain run that does not learn warns of its learning rate instead."""
    found = warned(tmp_path, None, learning_rate=1e-12)
    assert len(found) == 2
    assert "the learning rate may be too high, too low" in found[0]
    assert "adversary" not in found[0]


def test_a_sane_run_says_nothing(tmp_path):
    """Canary: the same rows, seed and rate with a small radius learn, and nothing is said."""
    assert warned(tmp_path, {"adversary": Pgd(radius=0.05, step_size=0.05)}) == []


@pytest.mark.parametrize("count", [10, 49])
def test_too_few_rows_say_nothing(tmp_path, count):
    """An epoch of under 50 rows is no evidence."""
    made = trainer(tmp_path, {"adversary": HUGE}, rows=make_rows(count))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.train()


def test_rows_of_one_class_say_nothing(tmp_path):
    """Where every row has the same label, the majority rate is all there is."""
    rows = [row | {"labels": 1} for row in ROWS]
    made = trainer(tmp_path, None, rows=rows, learning_rate=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.train()
