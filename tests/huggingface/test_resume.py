"""A run that is killed and continued is bitwise the run that was not: dropout on, accumulation, any kind of batches."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import EarlyStoppingCallback

from engine.models import distance, tiny
from huggingface.trials import checkpoints, losses, make_rows, same, trainer, weights
from toughen import Fgm, FreeLb, Pgd, Sam, Smart, Vat
from toughen.data.batches import LengthBuckets
from toughen.engine.averages import Ema, Swa
from toughen.engine.inputs import Mixup, Neftune
from toughen.engine.objectives import CrossEntropy, RDrop
from toughen.errors import InputError
from toughen.files.manifest import MANIFEST
from toughen.huggingface.checkpoint import AVERAGE, RAW, STATE

RECIPES = {
    "plain": {},
    "rdrop+pgd+ema": {
        "objective": RDrop(alpha=2.0),
        "adversary": Pgd(radius=0.4, start="random"),
        "average": Ema(decay=0.8),
    },
    "freelb+swa": {"adversary": FreeLb(radius=0.4), "average": Swa(start=0.4)},
    "vat": {"adversary": Vat(radius=0.4)},
    "freelb that adjusts itself": {"adversary": FreeLb(radius="auto", steps=2)},
    # the teacher of the proximal term is the restored average
    "smart+neftune+ema": {
        "inputs": Neftune(alpha=2.0),
        "adversary": Smart(radius=0.05, start_size=0.02, step_size=0.04, bregman=20.0),
        "average": Ema(decay=0.8),
    },
    "samples+mixup+sam": {
        "objective": CrossEntropy(dropout_samples=2),
        "inputs": Mixup(alpha=0.6),
        "adversary": Sam(radius=0.2),
    },
}
ROWS = make_rows(13)
STEPS = 8
EVERY_STEP = {"save_strategy": "steps", "save_steps": 1}


def make(folder, recipe, *, buckets=False, seed=0, rows=ROWS, **changes):
    """Two epochs of 7 micro-batches in windows of 2, 2, 2 and 1; a log line every 3 steps; dropout .1."""
    keep = changes.pop("keep", {})
    if buckets:
        keep |= {"batches": LengthBuckets([len(row["input_ids"]) for row in rows], 2, seed=7)}
    settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "logging_steps": 3, **EVERY_STEP}
    model = tiny("bert", dtype=torch.float32, dropout=0.1, seed=seed)
    return trainer(folder, recipe, model=model, rows=rows, keep=keep, **settings | changes)


def end_of(made, folder):
    """Everything a finished run has: scored weights, raw ones, average, optimiser, schedule, generators, log."""
    last = checkpoints(folder)[max(checkpoints(folder))]
    return {
        "scored": weights(made.model),
        "files": {name: load_file(last / name) for name in (RAW, AVERAGE) if (last / name).exists()},
        "optimizer": made.optimizer.optimizer.state_dict(),
        "schedule": made.lr_scheduler.state_dict()["last_epoch"],
        "generator": torch.get_rng_state(),
        "updates": made.engine.updates,
        "radius": made.engine.radius and made.engine.radius.state(),
        "log": [_without_times(line) for line in made.state.log_history],
    }


def _without_times(line):
    return {name: value for name, value in line.items() if not name.startswith(("train_", "eval_", "total_"))}


@pytest.fixture(scope="module", params=[False, True], ids=["trainer's batches", "length buckets"])
def buckets(request):
    return request.param


@pytest.fixture(scope="module", params=RECIPES)
def whole(request, buckets, tmp_path_factory):
    """An uninterrupted run that left a checkpoint after every step."""
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(1)
    made = make(folder, RECIPES[request.param], buckets=buckets)
    made.train()
    return RECIPES[request.param], folder, end_of(made, folder)


@pytest.mark.parametrize("step", [3, 4, 6], ids=["mid-epoch", "between epochs", "mid second epoch"])
def test_resumed_equals_uninterrupted(whole, buckets, tmp_path, step):
    """A new trainer with other weights and another generator state, from checkpoint k: bitwise the same end."""
    recipe, folder, expected = whole
    torch.manual_seed(99)
    made = make(tmp_path, recipe, buckets=buckets, seed=5)
    assert distance(weights(made.model), expected["scored"]) > 1e-3
    made.train(str(checkpoints(folder)[step]))
    found = end_of(made, tmp_path)
    for part in expected:
        assert same(found[part], expected[part]), part
    assert len(losses(made)) == 2
    assert sorted(checkpoints(tmp_path)) == list(range(step + 1, STEPS + 1)), "canary: it did start at step k"


def test_rows_come_in_another_order_every_epoch(tmp_path):
    """Canary of the above: with buckets the second epoch is no repetition of the first."""
    batches = LengthBuckets([len(row["input_ids"]) for row in ROWS], 2, seed=7)
    orders = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        orders.append(list(batches))
    assert orders[0] != orders[1]


# ---- stopping early


def never_better(prediction):
    return {"goodness": 0.0}


def make_stopping(folder, recipe, **changes):
    settings = {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "metric_for_best_model": "goodness",
        "greater_is_better": True,
        "load_best_model_at_end": True,
        "restore_callback_states_from_checkpoint": True,
    }
    keep = {"compute_metrics": never_better, "callbacks": [EarlyStoppingCallback(3)]}
    return make(folder, recipe, keep=keep, **settings | changes)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that stopped at step 4: the first evaluation is the best, three more are no better."""
    folder = tmp_path_factory.mktemp("stopped")
    made = make_stopping(folder, {"adversary": Fgm()})
    made.train()
    assert made.state.global_step == 4
    return folder


def test_the_patience_survives(stopped, tmp_path):
    """Continued at step 2 it stops at step 4 again; without the counter (canary) it would at step 5."""
    made = make_stopping(tmp_path, {"adversary": Fgm()})
    made.train(str(checkpoints(stopped)[2]))
    assert made.state.global_step == 4
    forgetful = make_stopping(tmp_path, {"adversary": Fgm()}, restore_callback_states_from_checkpoint=False)
    forgetful.train(str(checkpoints(stopped)[2]))
    assert forgetful.state.global_step == 5


def test_a_run_that_stopped_early_does_not_train_on(stopped, tmp_path):
    """Continued at its stopping checkpoint no step is made, and the model is the best one."""
    made = make_stopping(tmp_path, {"adversary": Fgm()}, seed=5)
    made.train(str(checkpoints(stopped)[4]))
    assert made.state.global_step == 4
    assert checkpoints(tmp_path) == {}
    assert distance(weights(made.model), load_file(checkpoints(stopped)[1] / "model.safetensors")) == 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_finished_run_has_nothing_left_to_do(tmp_path, recipe):
    """Continued at its last checkpoint it makes no step and holds the scored weights."""
    first = make(tmp_path, RECIPES[recipe])
    first.train()
    again = make(tmp_path, RECIPES[recipe], seed=5)
    again.train(resume_from_checkpoint=True)
    assert again.state.global_step == STEPS
    assert same(weights(again.model), weights(first.model))


def test_a_finished_run_can_be_prolonged(tmp_path):
    """With more epochs in the arguments the last checkpoint trains on, as in Trainer."""
    first = make(tmp_path, {"average": Ema()})
    first.train()
    longer = make(tmp_path, {"average": Ema()}, num_train_epochs=3)
    longer.train(resume_from_checkpoint=True)
    assert longer.state.global_step == STEPS + 4


# ---- which checkpoint


def test_half_written_checkpoints_are_passed_over(tmp_path):
    """``True`` takes the newest whole one: not one without state, with half a state, or with another kind of name."""
    full = make(tmp_path / "full", {})
    full.train()
    expected = weights(full.model)
    folder = tmp_path / "broken"
    for step in (5, 6, 7):
        shutil.copytree(checkpoints(tmp_path / "full")[step], folder / f"checkpoint-{step}")
    state = folder / "checkpoint-6" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    (folder / "checkpoint-7" / "trainer_state.json").unlink()
    (folder / "checkpoint-7" / "optimizer.pt").unlink()
    (folder / "checkpoint-best").mkdir()
    made = make(folder, {}, seed=5)
    with pytest.warns(UserWarning, match="is not used"):
        made.train(resume_from_checkpoint=True)
    assert same(weights(made.model), expected)
    assert losses(made) == losses(full)


def test_nothing_to_resume_from_is_an_error(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(InputError, match="there is no complete checkpoint"):
        make(tmp_path, {}).train(resume_from_checkpoint=True)


def test_a_checkpoint_of_plain_trainer_can_be_continued(tmp_path):
    """Checkpoints that transformers' Trainer wrote hold no state of ours: they resume like those of a plain run."""
    from transformers import Trainer

    theirs = trainer(tmp_path / "theirs", cls=Trainer, model=tiny("bert", dtype=torch.float32), **EVERY_STEP)
    theirs.train()
    ours = trainer(tmp_path / "ours", model=tiny("bert", dtype=torch.float32, seed=5), **EVERY_STEP)
    ours.train(str(checkpoints(tmp_path / "theirs")[3]))
    assert same(weights(ours.model), weights(theirs.model))


# ---- another kind of training


AVERAGES = {"none": {}, "ema": {"average": Ema()}, "swa": {"average": Swa()}}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Checkpoints of each kind, and one of plain Trainer."""
    from transformers import Trainer

    found = {}
    for kind, recipe in AVERAGES.items():
        made = make(tmp_path_factory.mktemp(kind), recipe, max_steps=2)
        made.train()
        found[kind] = checkpoints(Path(made.args.output_dir))[2]
    folder = tmp_path_factory.mktemp("theirs")
    trainer(folder, cls=Trainer, model=tiny("bert", dtype=torch.float32), max_steps=2, **EVERY_STEP).train()
    return found | {"plain Trainer": checkpoints(folder)[2]}


@pytest.mark.parametrize("now", AVERAGES)
@pytest.mark.parametrize("before", [*AVERAGES, "plain Trainer"])
def test_another_average_than_the_checkpoint_has_is_refused(written, tmp_path, before, now):
    """The other kind's weights would be taken for the raw ones, or an average would begin in the middle."""
    made = make(tmp_path, AVERAGES[now])
    if now == before or (now, before) == ("none", "plain Trainer"):
        made.train(str(written[before]))
        return
    had = "no average" if before in ("none", "plain Trainer") else f"average {before}"
    has = "no average" if now == "none" else f"average {now}"
    with pytest.raises(InputError, match=f"was written with {had} of the weights, and the recipe has {has}: resume"):
        made.train(str(written[before]))


def test_older_checkpoints_name_no_average_and_are_known_by_their_files(written, tmp_path):
    for kind in ("ema", "none"):
        folder = shutil.copytree(written[kind], tmp_path / kind)
        (folder / MANIFEST).unlink()
        state = json.loads((folder / STATE).read_text())
        del state["average"]
        (folder / STATE).write_text(json.dumps(state))
    with pytest.raises(InputError, match="was written with average ema or swa of the weights, and the recipe has no"):
        make(tmp_path / "a", {}).train(str(tmp_path / "ema"))
    with pytest.raises(InputError, match="was written with no average"):
        make(tmp_path / "b", {"average": Ema()}).train(str(tmp_path / "none"))
    make(tmp_path / "c", {"average": Ema()}).train(str(tmp_path / "ema"))


def test_an_adversary_may_begin_at_a_checkpoint_that_had_none(written, tmp_path):
    """The unit of its lengths is that of the model it begins with."""
    made = make(tmp_path, {"adversary": Fgm(radius=0.3)})
    made.train(str(written["none"]))
    assert made.engine.ascents > 0


def test_steps_of_another_size_are_told_of(written, tmp_path):
    """As on another number of processes: what a checkpoint counts in steps is no longer the same rows."""
    with pytest.warns(UserWarning, match=r"counts steps of 4 rows and this training makes steps of 2 \(1 and 1 proc"):
        make(tmp_path / "other", {}, gradient_accumulation_steps=1).train(str(written["none"]))
    same_rows = {"gradient_accumulation_steps": 1, "per_device_train_batch_size": 4}
    make(tmp_path / "same", {}, **same_rows).train(str(written["none"]))
