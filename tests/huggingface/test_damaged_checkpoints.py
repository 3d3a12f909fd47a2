"""A checkpoint is resumed from only if all its files are what was written; else it is named, and an older one used."""

import json
import shutil

import pytest
from safetensors import safe_open

import toughen
from huggingface.test_resume import make
from huggingface.trials import checkpoints, same, weights
from toughen import Pgd
from toughen.engine.averages import Ema
from toughen.errors import InputError
from toughen.files.manifest import MANIFEST
from toughen.huggingface.checkpoint import AVERAGE, RAW, STATE, last_complete

RECIPE = {"adversary": Pgd(radius=0.4, start="random"), "average": Ema(decay=0.8)}
FILES = [
    *("optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", "config.json", "trainer_state.json"),
    *(RAW, AVERAGE, STATE, MANIFEST),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    made = make(folder, RECIPE)
    made.train()
    return folder, weights(made.model)


@pytest.fixture
def copied(whole, tmp_path):
    for step in (6, 7, 8):
        shutil.copytree(checkpoints(whole[0])[step], tmp_path / f"checkpoint-{step}")
    return tmp_path


def damage(path, fault):
    content = path.read_bytes()
    middle = len(content) // 2
    changed = {
        "missing": None,
        "empty": b"",
        "cut": content[:middle],
        "flipped": content[:middle]
        + bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
        + content[middle + 64 :],
    }[fault]
    path.unlink() if changed is None else path.write_bytes(changed)


def test_a_checkpoint_holds_no_pickle_of_settings(whole):
    listed = json.loads((checkpoints(whole[0])[8] / MANIFEST).read_text())["files"]
    assert {*listed, MANIFEST} >= set(FILES)
    assert list(whole[0].rglob("training_args.bin")) == []


@pytest.mark.parametrize("fault", ["missing", "empty", "cut", "flipped"])
@pytest.mark.parametrize("name", FILES)
def test_any_damaged_file_is_named_and_the_checkpoint_before_used(copied, name, fault):
    said = []
    assert last_complete(copied, said.append) == str(copied / "checkpoint-8"), "canary"
    damage(copied / "checkpoint-8" / name, fault)

    assert last_complete(copied, said.append) == str(copied / "checkpoint-7")

    if (name, fault) == (MANIFEST, "missing"):
        assert said == [], "without its last file it was never finished"
    else:
        (line,) = said
        assert name in line
        assert "checkpoint-8" in line


def test_going_on_before_a_damaged_checkpoint_ends_at_the_same_weights(copied, whole):
    damage(copied / "checkpoint-8" / "optimizer.pt", "flipped")
    made = make(copied, RECIPE, seed=5)
    with pytest.warns(UserWarning, match=r"checkpoint-8 is not used.*optimizer\.pt holds other bytes"):
        made.train(resume_from_checkpoint=True)
    assert same(weights(made.model), whole[1])
    assert last_complete(copied) == str(copied / "checkpoint-8"), "it was written again, and is whole"


def test_a_checkpoint_that_is_asked_for_by_name_is_refused_if_it_is_damaged(copied):
    damage(copied / "checkpoint-8" / RAW, "flipped")
    with pytest.raises(InputError, match=RAW):
        make(copied, RECIPE).train(str(copied / "checkpoint-8"))


def test_what_a_checkpoint_holds_says_which_version_wrote_it_and_a_newer_one_is_refused(copied):
    """It is whole: to go on from the one before would throw it away. One of an older version is used."""
    newest = copied / "checkpoint-8"
    for name in (RAW, AVERAGE):
        with safe_open(newest / name, framework="pt") as opened:
            assert opened.metadata() == {"toughen": toughen.__version__}
    content = json.loads((newest / MANIFEST).read_text())
    assert content["toughen"] == json.loads((newest / STATE).read_text())["toughen"] == toughen.__version__

    (newest / MANIFEST).write_text(json.dumps(content | {"toughen": "0.0.1"}))
    assert last_complete(copied) == str(newest)
    (newest / MANIFEST).write_text(json.dumps(content | {"toughen": "0.2.0"}))
    for asked in (True, str(newest)):
        with pytest.raises(InputError, match=r"checkpoint-8 was written by toughen 0\.2\.0, and this is"):
            make(copied, RECIPE).train(resume_from_checkpoint=asked)


def test_a_checkpoint_whose_best_weights_are_lost_is_not_used(copied):
    """Going on from it would end at other weights than those that scored best."""
    for step in (7, 8):
        path = copied / f"checkpoint-{step}" / "trainer_state.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"best_model_checkpoint": "elsewhere/checkpoint-6"}))
        (path.parent / MANIFEST).unlink()
    (copied / "checkpoint-6" / MANIFEST).unlink()  # as an older version wrote them
    said = []
    assert last_complete(copied, said.append) == str(copied / "checkpoint-8"), "canary: the best one is there"
    shutil.rmtree(copied / "checkpoint-6")
    assert last_complete(copied, said.append) is None
    assert all("best weights so far" in line for line in said)


def test_older_checkpoints_without_a_manifest_are_used_unless_a_needed_file_is_missing(copied):
    for step in (6, 7, 8):
        (copied / f"checkpoint-{step}" / MANIFEST).unlink()
    said = []
    assert last_complete(copied, said.append) == str(copied / "checkpoint-8")
    damage(copied / "checkpoint-8" / "optimizer.pt", "empty")
    damage(copied / "checkpoint-7" / "rng_state.pth", "missing")
    assert last_complete(copied, said.append) == str(copied / "checkpoint-6")
    assert "optimizer.pt" in said[0]
    assert "rng_state" in said[1]
